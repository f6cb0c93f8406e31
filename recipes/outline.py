"""A recipe as tables and curves: plain values that a command prints and a picture draws.

The phases before the variants belong to every run; each variant begins where they end. Numbers are those of whole
steps, as a run will count them.
"""

from typing import Any

from .recipe import Recipe
from .training_schedule import ScheduledPhase, TrainingSchedule

_POINTS = 160  # of a phase's curve; warm-ups are sampled as densely as all that follows


def outline(recipe: Recipe) -> dict[str, Any]:
    """Lay a recipe out phase by phase."""
    schedule = recipe.schedule()
    return {
        "name": recipe.name,
        "stable": [_outlined(schedule, scheduled) for scheduled in schedule.scheduled_phases],
        "variants": [_outlined(end, end.scheduled_phases[-1]) for end in map(recipe.schedule, recipe.variants)],
    }


def _outlined(schedule: TrainingSchedule, scheduled: ScheduledPhase) -> dict[str, Any]:
    phase, first, end = scheduled.phase, scheduled.first_step, scheduled.end_step
    curve = _curve(schedule, scheduled)
    return {
        "name": phase.name,
        "first_step": first,
        "steps": end - first,
        "first_token": scheduled.tokens_before,
        "tokens": scheduled.tokens_into(end),
        "languages": None if phase.reads_all else sum(tag != "code" for tag in phase.languages),
        "code": "code" in phase.languages or "code" in phase.shares,
        "shares": dict(phase.shares),
        "temperature": phase.temperature,
        "masking_ratio": phase.masking_ratio,
        "context_length": phase.context_length,
        "rope_theta": phase.rope_theta,
        "rows": (phase.batches.rows_at(0), phase.batches.rows_at(end - first - 1)),
        "learning_rate": (max(curve["learning_rate"]), schedule.learning_rate(end - 1)),
        "decay": phase.decay,
        "curve": curve,
    }


def _curve(schedule: TrainingSchedule, scheduled: ScheduledPhase) -> dict[str, list[float]]:
    """Sample rate and rows at the ends of steps: evenly over the warm-ups, evenly over the whole."""
    first, end, phase = scheduled.first_step, scheduled.end_step, scheduled.phase
    growing = phase.batches.warmup_steps
    warming = next((s for s in _evenly(first, end) if scheduled.tokens_into(s) >= phase.warmup_tokens), end) - first
    steps = {first, end - 1, *_evenly(first, end)}
    for length in (growing, warming):
        steps.update(_evenly(first, min(end, first + length)))
    ordered = sorted(step for step in steps if step < end)
    return {
        "tokens": [float(schedule.tokens(step)) for step in ordered],
        "learning_rate": [schedule.learning_rate(step) for step in ordered],
        "rows": [float(phase.batches.rows_at(step - first)) for step in ordered],
    }


def _evenly(first: int, end: int) -> list[int]:
    return sorted({first + (end - first) * number // _POINTS for number in range(_POINTS)})

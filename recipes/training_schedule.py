"""Phases laid end to end, and every schedule as a pure function of the optimizer step.

Workers, restarts and ranks compute the same values from the same schedule, so nothing is sent between them. Steps are
counted from zero over the whole run; step s trains on batch s.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .phase import Phase


@dataclass(frozen=True, slots=True)
class ScheduledPhase:
    """One phase and the steps that it covers: first_step <= s < end_step."""

    index: int
    phase: Phase
    first_step: int
    end_step: int
    tokens_before: int

    def rows_into(self, step: int) -> int:
        """Return the rows of this phase that the first `step` steps of the run have read."""
        return self.phase.batches.rows_before(step - self.first_step)

    def tokens_into(self, step: int) -> int:
        """Return the planned tokens of this phase that the first `step` steps of the run have read."""
        return self.rows_into(step) * self.phase.context_length


class TrainingSchedule:
    """The phases of one run in their order.

    Args:
        phases: The phases; at least one.

    Attributes:
        scheduled_phases: The phases with the steps that each covers.

    Raises:
        ValueError: If there is no phase.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        if not phases:
            raise ValueError("a training schedule needs at least one phase, got none; add one under `phases:`.")
        self.scheduled_phases: list[ScheduledPhase] = []
        step = tokens = 0
        for index, phase in enumerate(phases):
            self.scheduled_phases.append(ScheduledPhase(index, phase, step, step + phase.steps, tokens))
            step += phase.steps
            tokens += phase.batches.rows_before(phase.steps) * phase.context_length
        self._ends = [scheduled.end_step for scheduled in self.scheduled_phases]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order."""
        return tuple(scheduled.phase for scheduled in self.scheduled_phases)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._ends[-1]

    @property
    def peak_learning_rate(self) -> float:
        """The highest peak of all phases."""
        return max(phase.learning_rate for phase in self.phases)

    def at(self, step: int) -> ScheduledPhase:
        """Return the phase, with its steps, that trains a step from 0; past the end, the last one."""
        if step < 0:
            raise ValueError(f"a step is counted from 0, got {step}.")
        return self.scheduled_phases[min(bisect.bisect_right(self._ends, step), len(self.scheduled_phases) - 1)]

    def is_phase_end(self, step: int) -> bool:
        """Whether a phase, the last included, ends once `step` steps are done."""
        return step in self._ends

    def tokens(self, step: int) -> int:
        """Return the planned tokens of the first `step` steps: rows times context length, summed."""
        scheduled = self.at(max(step - 1, 0))
        return scheduled.tokens_before + scheduled.tokens_into(step)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of step `step`: linear warm-up, then stable, then the phase's decay if it has one.

        The stable part is flat; `1-sqrt` falls as 1 - sqrt(progress) and `linear` as 1 - progress, from the peak to
        `final_learning_rate_ratio` times it (ModernBERT src/scheduler.py; mmBERT-base-decay.yaml). Progress is counted
        in tokens, so that a batch that grows does not bend the curve: a step of the warm-up has the rate of where it
        ends, one of the decay that of where it begins.

        Args:
            step: Step from 0. Past the end the rate stays where it was.

        Returns:
            The rate.
        """
        scheduled = self.at(step)
        phase, done = scheduled.phase, scheduled.tokens_into(step)
        if done < phase.warmup_tokens:
            return phase.learning_rate * min(1.0, scheduled.tokens_into(step + 1) / phase.warmup_tokens)
        if phase.decay == "none":
            return phase.learning_rate
        whole = scheduled.tokens_into(scheduled.end_step)
        progress = min(1.0, (done - phase.warmup_tokens) / max(1, whole - phase.warmup_tokens))
        left = 1 - (math.sqrt(progress) if phase.decay == "1-sqrt" else progress)
        floor = phase.final_learning_rate_ratio
        return phase.learning_rate * (floor + (1 - floor) * left)

    def phases_begun(self, step: int) -> list[dict[str, Any]]:
        """Return the plain values of every phase that had begun before `step` steps were done.

        Two schedules with equal answers have trained on the same batches so far, which is what a resume must know.

        Args:
            step: Steps done.

        Returns:
            One dict per phase.
        """
        return [scheduled.phase.to_dict() for scheduled in self.scheduled_phases if scheduled.first_step < step]

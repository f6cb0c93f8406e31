"""The efficiency benchmark of the paper on a CPU: settings, models, time, roofline, memory.

    cases -> built once, weights shared -> run in turns (`timing`) -> one `Row` each

What runs in turns compares: `Row.compared_with` names the setting in whose rounds a row was measured: a network at
8,192 tokens can be set against XLM-R at 512, which runs its own short batches in the same rounds.

Only processors are measured. On a GPU, CPU time says nothing.
"""

import gc
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .flops import GEMM_ROWS, EncoderShape, gemm_calls, gemm_rate, rate_of, useful_flops
from .memory import Peak, encoding_peak
from .models import Builder, Entry, batch_for, computed_in, configuration, forward, longest_input
from .report import Row
from .settings import SETTINGS, Setting
from .timing import Tell, Timing, clock_for, interleave, with_threads


@dataclass(frozen=True, slots=True)
class Case:
    """A model and the batch that it reads.

    Attributes:
        entry: The model.
        setting: How long the rows of its batch are.
    """

    entry: Entry
    setting: Setting


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to measure.

    Attributes:
        threads: Threads to compute with.
        rounds: Timed rounds of each model.
        seconds: A model that was timed for so long runs no more rounds, once it has two.
        seed: Of the lengths of rows.
        memory: Whether to measure peak memory too, one more pass of each model in a process of its own.
    """

    threads: int = 1
    rounds: int = 5
    seconds: float = 60.0
    seed: int = 0
    memory: bool = True


@dataclass(slots=True)
class _Run:
    """What is built for the cases of one setting."""

    calls: dict[Hashable, Callable[[], object]] = field(default_factory=dict)
    configs: list[Any] = field(default_factory=list)


def fits(case: Case) -> bool:
    """Return True if the model reads rows as long as the setting's."""
    return case.setting.longest <= longest_input(configuration(case.entry))


def measure(cases: Sequence[Case], compared_with: str, plan: Plan, tell: Tell | None = None) -> list[Row]:
    """Run models in turns and measure them.

    Args:
        cases: Who runs, and what.
        compared_with: Name for the rounds they share.
        plan: Threads and how long.
        tell: Told about progress, see `interleave`.

    Returns:
        One row a case, in their order.

    Raises:
        ValueError: If a model cannot read so many tokens, there are none, or mmbert and stock differ.
    """
    if not cases:
        raise ValueError("there is nothing to measure; name at least one network")
    for case in cases:
        if not fits(case):
            limit = longest_input(configuration(case.entry))
            raise ValueError(
                f"{case.entry.network} reads at most {limit} tokens, {case.setting.name} has rows of "
                f"{case.setting.longest}; leave one of them out"
            )
    began = time.perf_counter()
    with with_threads(plan.threads):
        run = _build(cases, plan.seed)
        timings = interleave(run.calls, rounds=plan.rounds, seconds=plan.seconds, tell=tell)
    shapes = [EncoderShape.of(config) for config in run.configs]
    del run  # the children that measure memory need the room
    gc.collect()
    measured = [plan.memory and case.setting.name == compared_with for case in cases]
    peaks = _peaks(cases, measured, plan, began, tell)
    return [
        _row(
            case,
            compared_with,
            plan,
            shape,
            timings[number],
            _rate(shape, case.entry.dtype, timings, plan.threads),
            peak,
        )
        for number, (case, shape, peak) in enumerate(zip(cases, shapes, peaks, strict=True))
    ]


def _peaks(
    cases: Sequence[Case], measured: Sequence[bool], plan: Plan, began: float, tell: Tell | None
) -> list[Peak | None]:
    """Measure peak memory of one model after the other, where it is asked for."""
    peaks: list[Peak | None] = []
    first = time.perf_counter()
    for case, wanted in zip(cases, measured, strict=True):
        peaks.append(encoding_peak(case.entry, case.setting.lengths(plan.seed), plan.threads) if wanted else None)
        if tell is not None and wanted:
            now = time.perf_counter()
            done = sum(measured[: len(peaks)])
            tell(now - began, (now - first) / done * (sum(measured) - done))
    return peaks


def _build(cases: Sequence[Case], seed: int) -> _Run:
    run, builder = _Run(), Builder()
    models: dict[Entry, Any] = {}
    for number, case in enumerate(cases):
        model = models.get(case.entry) or models.setdefault(case.entry, builder.build(case.entry))
        run.configs.append(model.config)
        run.calls[number] = forward(model, batch_for(model.config, case.setting.lengths(seed)))
        shape = EncoderShape.of(model.config)
        if (shape.products, case.entry.dtype, GEMM_ROWS[0]) not in run.calls:
            for rows, call in gemm_calls(shape, computed_in(case.entry.dtype)).items():
                run.calls[shape.products, case.entry.dtype, rows] = call
    return run


def _rate(shape: EncoderShape, dtype: str, timings: Mapping[Hashable, Timing], threads: int) -> float:
    """Return the rate of the layer's products in these rounds."""
    return rate_of(shape, {rows: timings[shape.products, dtype, rows] for rows in GEMM_ROWS}, threads)


def _row(
    case: Case, compared_with: str, plan: Plan, shape: EncoderShape, timing: Timing, rate: float, peak: Peak | None
) -> Row:
    entry, lengths = case.entry, case.setting.lengths(plan.seed)
    seconds = timing.median(clock_for(plan.threads))
    flops = useful_flops(shape, lengths)
    return Row(
        setting=case.setting.name,
        compared_with=compared_with,
        network=entry.network,
        size=entry.size,
        dtype=entry.dtype,
        threads=plan.threads,
        rows=len(lengths),
        tokens=sum(lengths),
        padded_tokens=len(lengths) * max(lengths),
        rounds=len(timing.cpu),
        cpu_seconds=timing.median("cpu"),
        wall_seconds=timing.median("wall"),
        tokens_per_second=sum(lengths) / seconds,
        flops=flops,
        gemm_rate=rate,
        roofline=flops / (rate * seconds),
        peak_total=peak.total if peak else None,
        peak_over_weights=peak.over_weights if peak else None,
        date=datetime.now(UTC).date().isoformat(),
    )


__all__ = ["SETTINGS", "Case", "Entry", "Plan", "Setting", "fits", "gemm_rate", "measure", "useful_flops"]

"""Fair times on a machine that is not quiet: models run in turns, and the processor's own clock counts.

One round runs every model once; the first round warms caches and is discarded; a model's time is the median
of its rounds. Whatever slows the machine for a while slows all of them, so ratios hold where times do not.

On one thread the time is the CPU time of the process, which other processes barely touch. On several threads CPU time
adds up over threads and counts the ones that only wait, so there it is wall time; both are kept.
"""

import math
import os
import statistics
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch

Clock = Literal["cpu", "wall"]
Tell = Callable[[float, float | None], None]
Key = TypeVar("Key", bound=Hashable)

_LEAST_ROUNDS = 2  # however slow a model is


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of every timed round of one model."""

    cpu: tuple[float, ...]  # CPU time of the whole process, over all its threads
    wall: tuple[float, ...]  # time on the wall

    def median(self, clock: Clock) -> float:
        """Return the median of the rounds in seconds, by one of the two clocks."""
        return statistics.median(self.cpu if clock == "cpu" else self.wall)


def clock_for(threads: int) -> Clock:
    """Say by which clock a number of threads is measured: CPU time for one, wall time for more."""
    return "cpu" if threads == 1 else "wall"


@contextmanager
def with_threads(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads, at most one per core, and with as many as before afterwards."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not 1 <= threads <= cores:
        raise ValueError(f"threads must lie between 1 and the {cores} cores of this machine, got {threads}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def interleave(
    calls: Mapping[Key, Callable[[], object]], *, rounds: int = 5, seconds: float = 60.0, tell: Tell | None = None
) -> dict[Key, Timing]:
    """Time calls in turns; `tell` hears wall seconds spent and left (None at first) after each; see the module."""
    if rounds < _LEAST_ROUNDS or seconds <= 0:
        raise ValueError(f"timing needs at least 2 rounds and some seconds, got {rounds} rounds and {seconds} s")
    began = time.perf_counter()
    first = {key: _once(call, began, tell)[1] for key, call in calls.items()}
    spent: dict[Key, list[tuple[float, float]]] = {key: [] for key in calls}

    def left(key: Key) -> float:
        walls = [wall for _, wall in spent[key]]
        if len(walls) >= rounds or (len(walls) >= _LEAST_ROUNDS and sum(walls) >= seconds):
            return 0.0
        one = sum(walls) / len(walls) if walls else first[key]
        wanted = max(_LEAST_ROUNDS, math.ceil(seconds / max(one, 1e-9)))
        return one * max(1, min(rounds, wanted) - len(walls))

    while running := [key for key in calls if left(key) > 0]:
        for key in running:
            spent[key].append(_once(calls[key], began, None))
            if tell is not None:
                tell(time.perf_counter() - began, sum(map(left, calls)))
    return {key: Timing(*(tuple(clock) for clock in zip(*spent[key], strict=True))) for key in calls}


def _once(call: Callable[[], object], began: float, tell: Tell | None) -> tuple[float, float]:
    """Run it; return CPU and wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    took = time.process_time() - cpu, time.perf_counter() - wall
    if tell is not None:
        tell(time.perf_counter() - began, None)
    return took

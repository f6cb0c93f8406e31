"""How far an evaluation is: runs done, runs known, and an estimate of the time that is left.

A run's cost is the rows that it goes through; what the finished runs took says how long a row lasts. Runs that are not
chosen yet are counted with the middle of their grid, so the estimate moves when a choice falls.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .sweep import Run, mean_score

Tell = Callable[[str, int, int, float | None], None]
"""Called after each run: its line, runs done, runs known, seconds left (None: unknown)."""

_FORWARD = 0.3  # scoring a row costs about a third of training on it: forward only


def cost_of(run: Run, rows: Mapping[str, int]) -> float:
    """Count the rows that a run goes through, scored ones by what they cost."""
    evaluated = rows["dev"] + (rows["test"] if run.stage != "sweep" else 0)
    return rows["train"] * run.setting.epochs + _FORWARD * evaluated


class Clock:
    """Counts runs, up to `processes` at a time, and tells after each what is left by its estimate."""

    def __init__(self, tell: Tell | None, processes: int) -> None:
        self.tell, self.processes = tell, processes
        self.left: dict[tuple[str, str], float] = {}
        self.done, self.worked, self.seconds = 0, 0.0, 0.0

    def add(self, task: str, rows: Mapping[str, int], runs: Sequence[Run]) -> None:
        """Take in runs to come, in place of those that were guessed for their task."""
        if any(run.stage != "guess" for run in runs) and self.done:
            self.left = {key: cost for key, cost in self.left.items() if key[0] != task or "/guess-" not in key[1]}
        self.left |= {(task, run.name): cost_of(run, rows) for run in runs}

    def dropped(self, task: str) -> None:
        """Forget a task that failed."""
        self.left = {key: cost for key, cost in self.left.items() if key[0] != task}

    def finished(self, run: Run, record: Mapping[str, Any], before: bool) -> None:
        """Tell that a run is done."""
        cost = self.left.pop((run.task, run.name), 0.0)
        self.done += 1
        if not before:
            self.worked, self.seconds = self.worked + cost, self.seconds + record["seconds"]
        if self.tell is not None:
            left = sum(self.left.values()) * self.seconds / self.worked / self.processes if self.worked else None
            self.tell(_words(run, record, before), self.done, self.done + len(self.left), left)


def _words(run: Run, record: Mapping[str, Any], before: bool) -> str:
    scores = ", ".join(
        f"{part} {100 * mean_score(by_language, record['metric']):.1f}"
        for part, by_language in record["scores"].items()
    )
    return f"{run.task} {run.stage} {run.setting.name} seed {run.seed}: {scores}{' (done before)' if before else ''}"

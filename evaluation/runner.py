"""Runs of many tasks, one after the other or in parallel processes, resumed where they stopped.

    every task: read its rows -> sweep -> choose -> final runs          every run: one JSON file

All tasks are read before the first training, so that a wrong path costs seconds and not a night. What fails takes its
task out, with its reason; the others go on. A finished run is found by its file and not repeated, so a stopped
evaluation is continued by the same command.

Runs in parallel give the numbers that they give one by one: a run depends on its seed, never on its neighbours. With
other numbers of threads a run may round differently; `threads` is therefore fixed for all of them.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .learning import Job, execute
from .protocol import Run, Setting, choose, final_runs, sweep_runs
from .runs import identity_of, read_record, record_path, write_record

logger = logging.getLogger(__name__)

Tell = Callable[[str, int, int, float, float | None], None]
"""Told after each run: its words, runs done, runs known, seconds spent, seconds left (None: unknown)."""

_JUDGING = 0.3  # judging a row costs about a third of training on it: forward only


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is to be done.

    Attributes:
        jobs: A task each.
        settings: Grid of every task, by name.
        seeds: Seeds of the final runs.
        output: Folder for the records.
        oracle: Choose by the test as well, labelled so.
        processes: Runs at the same time.
        redo: Do runs anew whose record was made under other conditions.
    """

    jobs: Sequence[Job]
    settings: Mapping[str, Sequence[Setting]]
    seeds: Sequence[int]
    output: Path
    oracle: bool = False
    processes: int = 1
    redo: bool = False


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        records: Records of all runs that were wanted and are there, sweep included.
        failures: Reason by task.
        done_before: Runs whose record lay there already.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    done_before: int = 0


@dataclass(slots=True)
class _Progress:
    """Of one task: which runs come next, and what they gave."""

    job: Job
    identity: Mapping[str, Any]
    stage: list[Run]
    after: Callable[[list[dict[str, Any]]], list[Run]] | None
    results: list[dict[str, Any]] = field(default_factory=list)
    cost_of_rows: Mapping[str, int] = field(default_factory=dict)

    def cost(self, run: Run) -> float:
        """Rows to go through, judged ones counted by what they cost."""
        judged = self.cost_of_rows["dev"] + (self.cost_of_rows["test"] if run.stage != "sweep" else 0)
        return self.cost_of_rows["train"] * run.setting.epochs + _JUDGING * judged


def evaluate(plan: Evaluation, tell: Tell | None = None) -> Outcome:
    """Do all runs that are not done yet.

    Args:
        plan: What to do.
        tell: Told about progress.

    Returns:
        Records and failures.

    Raises:
        ValueError: If there is no task, or seeds are twice the same.
        ChangedRun: If a record there was made under other conditions and `redo` is off.
    """
    if not plan.jobs:
        raise ValueError("there is no task to evaluate; name at least one")
    outcome = Outcome()
    tasks = {job.task.name: begun for job in plan.jobs if (begun := _begin(job, plan, outcome)) is not None}
    clock = _Clock(tell, tasks, plan, outcome)
    waiting = [(name, run) for name, begun in tasks.items() for run in begun.stage]
    with _workers(plan, tasks) as submit:
        running: dict[Future[dict[str, Any]], tuple[str, Run]] = {}
        while waiting or running:
            while waiting and len(running) < plan.processes:
                name, run = waiting.pop(0)
                if name not in outcome.failures:
                    running[submit(name, run)] = (name, run)
            if not running:
                continue
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name, run = running.pop(future)
                waiting += _settle(future, tasks[name], run, plan, outcome, clock)
    return outcome


def _begin(job: Job, plan: Evaluation, outcome: Outcome) -> _Progress | None:
    """Read a task and lay out its first stage; what is wrong with it is known here."""
    from ..modeling.checkpoint import checkpoint_fingerprint
    from ..trainers.starting import local_checkpoint

    name = job.task.name
    try:
        rows = job.rows()
        identity = {"rows": rows.fingerprint, "checkpoint": checkpoint_fingerprint(local_checkpoint(job.checkpoint))}
    except (ValueError, OSError) as error:
        outcome.failures[name] = _one_line(error)
        logger.error("%s: %s", name, outcome.failures[name])
        return None
    counts = {"train": len(rows.train), "dev": len(rows.dev), "test": len(rows.test)}
    settings = plan.settings[name]
    sweep = sweep_runs(job.task, settings, plan.seeds, plan.oracle)
    if not sweep:
        return _Progress(job, identity, final_runs(job.task, settings[0], plan.seeds), None, cost_of_rows=counts)

    def after(records: list[dict[str, Any]]) -> list[Run]:
        runs = final_runs(job.task, choose(records, job.task.metric), plan.seeds)
        if plan.oracle:
            best = choose(records, job.task.metric, "test")
            runs += [run for run in final_runs(job.task, best, plan.seeds, "oracle") if run not in sweep]
        return runs

    return _Progress(job, identity, sweep, after, cost_of_rows=counts)


def _settle(
    future: "Future[dict[str, Any]]", task: _Progress, run: Run, plan: Evaluation, outcome: Outcome, clock: "_Clock"
) -> list[Run] | list[tuple[str, Run]]:
    """Take in what a run gave; return the task's next runs once its stage is complete."""
    name = task.job.task.name
    try:
        record = future.result()
    except BrokenProcessPool:
        outcome.failures.setdefault(name, f"{run.name}: its process was killed (out of memory?); try fewer --jobs")
        record = None
    except Exception as error:  # whatever it is, the other tasks go on
        outcome.failures.setdefault(name, f"{run.name}: {_one_line(error)}")
        logger.debug("%s", run.name, exc_info=error)
        record = None
    if record is None:
        logger.error("%s", outcome.failures[name])
        clock.dropped(name)
        return []
    before = record.pop("done_before", False)
    outcome.done_before += before
    outcome.records.append(record)
    task.results.append(record)
    clock.finished(task, run, record, before)
    if len(task.results) < len(task.stage) or task.after is None or name in outcome.failures:
        return []
    task.stage = task.stage + (following := task.after(task.results))
    task.after = None
    clock.add(task, following)
    return [(name, following_run) for following_run in following]


def do(job: Job, run: Run, identity: Mapping[str, Any], output: Path, redo: bool) -> dict[str, Any]:
    """Do a run, or read its record if it was done.

    Args:
        job: Task, data and checkpoint.
        run: The run.
        identity: Fingerprints of rows and checkpoint.
        output: Folder of the evaluation.
        redo: Do it anew where it was done under other conditions.

    Returns:
        The record, with `done_before` where it was there.

    Raises:
        ChangedRun: If it was done under other conditions and `redo` is off.
    """
    whole = identity_of(run, job.task, identity["rows"], identity["checkpoint"])
    try:
        record = read_record(output, run, whole)
    except ValueError:
        if not redo:
            raise
        record = None
    if record is not None:
        return {**record, "done_before": True}
    record = execute(job, run, whole)
    write_record(output, run, record)
    return record


@contextmanager
def _workers(
    plan: Evaluation, tasks: Mapping[str, _Progress]
) -> Iterator[Callable[[str, Run], "Future[dict[str, Any]]"]]:
    """Give a function that begins a run: here and now, or in a process of its own."""
    if plan.processes == 1:
        yield lambda name, run: _at_once(tasks[name], run, plan)
        return
    pools = [_pool(plan.processes)]

    def submit(name: str, run: Run) -> "Future[dict[str, Any]]":
        arguments = (tasks[name].job, run, tasks[name].identity, plan.output, plan.redo)
        try:
            return pools[-1].submit(do, *arguments)
        except BrokenProcessPool:  # a process died; the runs beside it have failed, the next get a fresh pool
            pools.append(_pool(plan.processes))
            return pools[-1].submit(do, *arguments)

    try:
        yield submit
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _pool(processes: int) -> ProcessPoolExecutor:
    # spawn: a fork of a process in which torch has run may hang
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_quieten)


def _quieten() -> None:
    from transformers.utils import logging as transformers_logging

    logging.basicConfig(level=logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def _at_once(task: _Progress, run: Run, plan: Evaluation) -> "Future[dict[str, Any]]":
    future: Future[dict[str, Any]] = Future()
    try:
        future.set_result(do(task.job, run, task.identity, plan.output, plan.redo))
    except Exception as error:
        future.set_exception(error)
    return future


class _Clock:
    """Counts runs and rows, and estimates what is left from what the runs so far took."""

    def __init__(self, tell: Tell | None, tasks: Mapping[str, _Progress], plan: Evaluation, outcome: Outcome) -> None:
        self.tell, self.processes = tell, plan.processes
        self.left: dict[tuple[str, str], float] = {}
        self.began, self.done, self.worked, self.seconds = time.monotonic(), 0, 0.0, 0.0
        for task in tasks.values():
            self.add(task, task.stage)
            if task.after is not None:  # the final runs are not chosen yet: guess the middle of the grid
                guess = sorted(plan.settings[task.job.task.name], key=lambda setting: setting.epochs)
                self.add(task, final_runs(task.job.task, guess[len(guess) // 2], plan.seeds, "guess"))

    def add(self, task: _Progress, runs: Sequence[Run]) -> None:
        name = task.job.task.name
        guessed = [key for key in self.left if key[0] == name and "/guess-" in key[1]]
        for key in guessed:
            del self.left[key]
        self.left |= {(name, run.name): task.cost(run) for run in runs}

    def dropped(self, name: str) -> None:
        self.left = {key: cost for key, cost in self.left.items() if key[0] != name}

    def finished(self, task: _Progress, run: Run, record: Mapping[str, Any], before: bool) -> None:
        cost = self.left.pop((task.job.task.name, run.name), 0.0)
        self.done += 1
        if not before:
            self.worked, self.seconds = self.worked + cost, self.seconds + record["seconds"]
        if self.tell is not None:
            left = sum(self.left.values()) * self.seconds / self.worked / self.processes if self.worked else None
            self.tell(_words(run, record, before), self.done, self.done + len(self.left), self._spent(), left)

    def _spent(self) -> float:
        return time.monotonic() - self.began


def _words(run: Run, record: Mapping[str, Any], before: bool) -> str:
    from .protocol import mean_score

    scores = ", ".join(
        f"{part} {100 * mean_score(by_language, record['metric']):.1f}"
        for part, by_language in record["scores"].items()
    )
    return f"{run.task} {run.stage} {run.setting.name} seed {run.seed}: {scores}{' (done before)' if before else ''}"


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, (ValueError, OSError, ImportError)) else f"{type(error).__name__}: {text}"


__all__ = ["Evaluation", "Outcome", "evaluate", "record_path"]

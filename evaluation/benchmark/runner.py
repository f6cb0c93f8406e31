"""Runs of many tasks, one after the other or in parallel processes, resumed where they stopped.

    every task: read its rows -> sweep -> choose -> final runs          every run: one JSON file

All tasks are read before the first training, so that a wrong path costs seconds and not a night. What fails takes its
task out, with its reason; the others go on. A finished run is found by its file and not repeated, so a stopped
evaluation is continued by the same command.

Runs in parallel give the numbers that they give one by one: a run depends on its seed, never on its neighbours. With
another number of threads a run may round differently; `Job.threads` is therefore the same for all of them.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .catalogue.row_checks import require_scorable
from .clock import Clock, Tell
from .records import ChangedRun, identity_of, read_record, write_record
from .run_task import Job, execute
from .sweep import Run, Setting, choose, final_runs, sweep_runs
from .workers import Workers

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is to be done."""

    jobs: Sequence[Job]  # a task each
    settings: Mapping[str, Sequence[Setting]]  # grid of every task, by name
    seeds: Sequence[int]  # seeds of the final runs
    output: Path  # folder for the records
    oracle: bool = False  # choose by the test as well, labelled so
    processes: int = 1  # runs at the same time
    overwrite: bool = False  # do runs anew whose record was made under other conditions


@dataclass(slots=True)
class Outcome:
    """What an evaluation gave."""

    records: Records = field(default_factory=list)  # records of all runs that were wanted and are there, sweep included
    failures: dict[str, str] = field(default_factory=dict)  # reason by task
    done_before: int = 0  # runs whose record lay there already


@dataclass(slots=True)
class _Task:
    """A task on its way: what it needs, which runs were begun, what they gave, what comes after."""

    job: Job
    identity: Mapping[str, str]
    rows: Mapping[str, int]
    runs: list[Run]
    after: Callable[[Records], list[Run]] | None = None
    results: Records = field(default_factory=list)


def evaluate(plan: Evaluation, tell: Tell | None = None) -> Outcome:
    """Do all runs that are not done yet.

    Args:
        plan: What to do.
        tell: Told about progress.

    Returns:
        Records and failures.

    Raises:
        ValueError: If there is no task, seeds are twice the same, or `processes` is below 1.
    """
    if not plan.jobs:
        raise ValueError("there is no task to evaluate; name at least one")
    workers, evaluator = Workers(plan.processes), _Evaluator(plan, Clock(tell, plan.processes))
    try:
        evaluator.run(workers)
    finally:
        workers.close()
    return evaluator.outcome


class _Evaluator:
    """Does the runs of a plan and tells the clock about every one."""

    def __init__(self, plan: Evaluation, clock: Clock) -> None:
        self.plan, self.clock, self.outcome = plan, clock, Outcome()
        self.waiting: list[Run] = []
        self.suspects: set[Run] = set()  # runs whose pool of processes broke; they go on alone
        self.tasks: dict[str, _Task] = {}

    def run(self, workers: Workers) -> None:
        for job in self.plan.jobs:
            self._begin(job)
        running: dict[Future[dict[str, Any]], Run] = {}
        while self.waiting or running:
            while self.waiting and len(running) < (1 if self.suspects else self.plan.processes):
                run = self.waiting.pop(0)
                if run.task not in self.outcome.failures:
                    task = self.tasks[run.task]
                    arguments = (task.job, run, task.identity, self.plan.output, self.plan.overwrite)
                    running[workers.submit(do, *arguments)] = run
            if running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    self._settle(future, running.pop(future))

    def _begin(self, job: Job) -> None:
        """Read a task and lay out its first runs; what is wrong with its rows is known here."""
        name = job.task.name
        try:
            identity, rows = _read(job)
        except (ValueError, OSError, ImportError) as error:
            self._fail(name, _one_line(error))
            return
        settings = list(self.plan.settings[name])
        sweep = sweep_runs(job.task, settings, self.plan.seeds, self.plan.oracle)
        runs = sweep or final_runs(job.task, settings[0], self.plan.seeds)
        self.tasks[name] = _Task(job, identity, rows, runs, self._chooser(job, sweep) if sweep else None)
        self.waiting += runs
        self.clock.add(name, rows, runs)
        if sweep:
            middle = sorted(settings, key=lambda setting: setting.epochs)[len(settings) // 2]
            self.clock.add(name, rows, final_runs(job.task, middle, self.plan.seeds, "guess"))

    def _chooser(self, job: Job, sweep: list[Run]) -> Callable[[Records], list[Run]]:
        def final(records: Records) -> list[Run]:
            runs = final_runs(job.task, choose(records, job.task.metric), self.plan.seeds)
            if self.plan.oracle:
                best = choose(records, job.task.metric, "test")
                runs += [run for run in final_runs(job.task, best, self.plan.seeds, "oracle") if run not in sweep]
            return runs

        return final

    def _settle(self, future: "Future[dict[str, Any]]", run: Run) -> None:
        """Take in what a run gave; once the task's runs are done, lay out those that follow."""
        try:
            record = future.result()
        except BrokenProcessPool:
            if run in self.suspects:
                self._fail(run.task, f"{run.name}: its process was killed (out of memory?); try fewer --jobs")
            else:
                self.suspects.add(run)
                self.waiting.insert(0, run)
            return
        except Exception as error:  # whatever it is, the other tasks go on
            logger.debug("%s", run.name, exc_info=error)
            self._fail(run.task, f"{run.name}: {_one_line(error)}")
            return
        finally:
            self.suspects -= {run} if future.exception() is None else set()
        task, before = self.tasks[run.task], record.pop("done_before", False)
        self.outcome.done_before += before
        self.outcome.records.append(record)
        task.results.append(record)
        self.clock.finished(run, record, before)
        if len(task.results) == len(task.runs) and task.after is not None:
            following, task.after = task.after(task.results), None
            task.runs = task.runs + following
            self.waiting = following + self.waiting  # while the task's rows are still at hand
            self.clock.add(run.task, task.rows, following)

    def _fail(self, name: str, reason: str) -> None:
        if name not in self.outcome.failures:
            self.outcome.failures[name] = reason
            logger.error("%s failed: %s", name, reason)
        self.suspects = {run for run in self.suspects if run.task != name}
        self.clock.dropped(name)


def do(job: Job, run: Run, identity: Mapping[str, str], output: Path, overwrite: bool) -> dict[str, Any]:
    """Do a run, or read its record if it was done."""
    whole = identity_of(run, job.task, identity["rows"], identity["checkpoint"])
    try:
        record = read_record(output, run, whole)
    except ChangedRun:
        if not overwrite:
            raise
        record = None
    if record is not None:
        return {**record, "done_before": True}
    record = execute(job, run, whole)
    write_record(output, run, record)
    return record


def _read(job: Job) -> tuple[dict[str, str], dict[str, int]]:
    from ...common.checkpoints.hub import local_checkpoint
    from ...common.checkpoints.reader import checkpoint_fingerprint

    rows = job.rows()
    require_scorable(job.task, rows.dev, rows.test)
    identity = {"rows": rows.fingerprint, "checkpoint": checkpoint_fingerprint(local_checkpoint(job.checkpoint))}
    return identity, {"train": len(rows.train), "dev": len(rows.dev), "test": len(rows.test)}


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, (ValueError, OSError, ImportError)) else f"{type(error).__name__}: {text}"

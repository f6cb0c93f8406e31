"""One run done: fine-tune on a task, score it language by language, give back the record.

Training and scoring are those of the fine-tuning scripts (`mmbert.tasks`): the same defaults, and the best checkpoint
by dev. Rows and their encoding are kept between the runs of one task, because only rate, epochs and seed differ there.
What is kept is the last task's, so that memory does not grow with the catalogue.
"""

import math
import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...data.labelled.read import places_by_language
from ...tasks.base import Task
from .catalogue import BenchmarkTask, TaskRows, read_task
from .catalogue.rows import Limits
from .sweep import Run

_kept: dict[str, Any] = {}  # of one task at a time


@dataclass(frozen=True, slots=True)
class Job:
    """What the runs of one task have in common; plain data that another process can be given."""

    checkpoint: str  # folder or Hub id of the encoder
    task: BenchmarkTask  # the task
    data: Mapping[str, str] = field(default_factory=dict)  # files in place of the Hub, by split; "" for all
    limits: Limits = field(default_factory=Limits)  # languages and numbers of rows
    models: str | None = None  # folder to keep the trained networks in; None: they are deleted
    threads: int = 0  # threads to compute with; 0: torch's default

    def rows(self) -> TaskRows:
        """Read the task's rows, or give back those of the last call."""
        key = repr((self.task.name, self.data, self.limits))
        rows: TaskRows = _remembered("rows", key, lambda: read_task(self.task, self.data, self.limits))
        return rows


def execute(job: Job, run: Run, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Train and score, with the job's threads; torch has its own number of them again afterwards."""
    from ..efficiency.timing import with_threads

    with with_threads(job.threads) if job.threads else nullcontext():
        return _execute(job, run, identity)


def _execute(job: Job, run: Run, identity: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    from ...tasks.training import train_once

    rows, task = job.rows(), _task(job, run)
    began, cpu = time.perf_counter(), time.process_time()
    tests = [] if run.stage == "sweep" else ["test"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(job.models) / run.name if job.models and run.stage != "sweep" else Path(scratch)
        result = train_once(task, job.checkpoint, folder, run.setting.arguments(), run.seed, tests=tests)
    scores = {part: result.by_language[part] for part in ("dev", *tests)}
    _require_finite(run, scores)
    return {
        "task": run.task,
        "title": job.task.title,
        "head": job.task.head,
        "metric": job.task.metric,
        "stage": run.stage,
        "seed": run.seed,
        "setting": run.setting.to_dict(),
        "identity": dict(identity),
        "checkpoint": job.checkpoint,
        "scores": scores,
        "intervals": result.record.get("intervals", {}).get("test", {}).get("languages", {}),
        "baseline": {part: _majority(task, part) for part in scores},
        "rows": {"train": len(rows.train), "dev": len(rows.dev), "test": len(rows.test)},
        "train_languages": list(rows.train_languages),
        "notes": [*rows.notes, *_cut_notes(task, run), *result.record["dropped"]],
        "cut": task.cut,
        "tokens": result.record["tokens"].get("test", {}),
        "steps": result.record["steps"],
        "best_step": result.record["best_step"],
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": result.record["versions"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def build_task(task: BenchmarkTask, rows: TaskRows, tokenizer: Any, checkpoint: str, **reading: Any) -> Task:
    """Encode a task's rows as the fine-tuning scripts do; what training could not have learned counts as wrong."""
    from ...tasks.cli import task_class

    kind = task_class(task.kind)
    known = kind.reading_class.__dataclass_fields__
    given = {"on_bad_row": "wrong", **reading}
    parts = {"train": rows.train, "dev": rows.dev, "test": rows.test}
    if task.head == "answers":
        given |= {"answer_language": task.answer_language, "official": task.official}
        given["unanswerable"] = any(not one["text"] for part in parts.values() for one in part["answers"][:])
    if task.positive is not None:
        given["positive"] = str(task.positive)
    if task.kind == "tagging":
        given["entities"] = task.head == "spans"
    try:
        return kind(parts, tokenizer, kind.reading_class(**{n: v for n, v in given.items() if n in known}), checkpoint)
    except ValueError as error:
        raise ValueError(f"{task.name} {error}") from None


def _task(job: Job, run: Run) -> Task:
    reading = {name: getattr(run.setting, name) for name in ("max_length", "stride")}
    given = {name: value for name, value in reading.items() if value is not None}
    if longest := run.setting.max_length:  # short windows share less, and leave room beside the question
        given = {"stride": min(128, longest // 3), "max_question": min(64, longest // 4), **given}
    key = repr((job.checkpoint, job.task.name, job.data, job.limits, given))

    def build() -> Task:
        from ...common.checkpoints.hub import load_tokenizer

        return build_task(job.task, job.rows(), load_tokenizer(job.checkpoint), job.checkpoint, **given)

    task: Task = _remembered("task", key, build)
    return task


def _majority(task: Task, part: str) -> dict[str, dict[str, float]]:
    """Score the majority baseline language by language."""
    places = places_by_language(task.sources[part])
    return {tag: task.majority(part, members) for tag, members in sorted(places.items())}


def _cut_notes(task: Task, run: Run) -> list[str]:
    """Say which languages lost text to `max_length`: their scores are of what was left."""
    found = []
    for part, cut in task.cut.items():
        if part == "test" and run.stage == "sweep":
            continue
        rows = task.sources[part]["language"][:]
        shares = sorted(((cut[tag] / rows.count(tag), tag) for tag in cut), key=lambda one: (-one[0], one[1]))
        told = ", ".join(f"{tag} {share:.0%}" for share, tag in shares[:12])
        more = f" and {len(shares) - 12} more languages" if len(shares) > 12 else ""
        found.append(f"{part}: {sum(cut.values()):,} of {len(rows):,} texts were cut at max_length: {told}{more}")
    return found


def _remembered(name: str, key: str, make: Callable[[], Any]) -> Any:
    if _kept.get(name, (None, None))[0] != key:
        _kept.pop(name, None)
        _kept[name] = (key, make())
    return _kept[name][1]


def _require_finite(run: Run, scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    for part, by_language in scores.items():
        for tag, numbers in by_language.items():
            broken = [name for name, value in numbers.items() if not math.isfinite(value)]
            if broken:
                raise ValueError(f"{run.name}: {broken[0]} of {tag} on {part} is not finite; lower the learning rate")

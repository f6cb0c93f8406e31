"""One run done: train the head on a task, judge it language by language, give back the record.

Rows and their encoding are kept between the runs of one task, because only rate, epochs and seed differ there. What is
kept is the last task's, so that memory does not grow with the catalogue.
"""

import math
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...data.labelled.hub import is_among
from ...tasks.base import TaskHead
from ...tasks.metrics.classification import FAMILIES, Scores
from ...tasks.texts_head import ChoiceHead, LabelHead, ScoreHead
from ...tasks.words_head import AnswerHead, TagHead
from .catalogue import Task, TaskRows, read_task
from .catalogue.rows import Limits
from .sweep import Run, Setting

HEADS: dict[str, type[TaskHead]] = {
    "labels": LabelHead,
    "score": ScoreHead,
    "choices": ChoiceHead,
    "tags": TagHead,
    "spans": TagHead,
    "answers": AnswerHead,
}
_kept: dict[str, Any] = {}  # of one task at a time


@dataclass(frozen=True, slots=True)
class Job:
    """What the runs of one task have in common; plain data that another process can be given.

    Attributes:
        checkpoint: Folder or Hub id of the encoder.
        task: The task.
        data: Files in place of the Hub, by split; "" for all.
        limits: Languages and numbers of rows.
        models: Folder to keep the trained networks in; None: they are dropped.
        threads: Threads to compute with; 0: torch's default.
    """

    checkpoint: str
    task: Task
    data: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    models: str | None = None
    threads: int = 0

    def rows(self) -> TaskRows:
        """Read the task's rows, or give back those of the last call."""
        rows: TaskRows = _remembered("rows", repr((self.task.name, self.data, self.limits)), self._read)
        return rows

    def _read(self) -> TaskRows:
        return read_task(self.task, self.data, self.limits)


def execute(job: Job, run: Run, identity: Mapping[str, Any]) -> dict[str, Any]:
    """Train and judge, with the job's threads; torch has its own number of them again afterwards.

    Args:
        job: Checkpoint, task and data.
        run: Setting, seed and stage.
        identity: What the numbers depend on, for the record.

    Returns:
        The record: scores of every language beside everything that led to them.

    Raises:
        ValueError: If rows, labels and checkpoint do not fit, or a score is not finite.
    """
    from ..efficiency.timing import with_threads

    with with_threads(job.threads) if job.threads else nullcontext():
        return _execute(job, run, identity)


def _execute(job: Job, run: Run, identity: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    from ...trainers.finetuning.config import FineTuneOptions
    from ...trainers.finetuning.run import fine_tune

    setting, rows = run.setting, job.rows()
    head = _head(job, rows, run)
    parts = ("dev",) if run.stage == "sweep" else ("dev", "test")
    began, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        result = fine_tune(
            job.checkpoint,
            head.model_head,
            _encoded(head, "train"),
            tokenizer=head.tokenizer,
            collator=head.collator,
            metrics=lambda predictions, _: {"rows": float(len(predictions))},  # judged below, row by row of the task
            output_dir=Path(job.models) / run.name if job.models and run.stage != "sweep" else scratch,
            tests={part: _encoded(head, part) for part in parts},
            labels=head.labels or None,
            problem_type=head.problem_type,
            options=FineTuneOptions(
                epochs=setting.epochs,
                learning_rate=setting.learning_rate,
                batch_size=setting.batch_size,
                warmup=setting.warmup,
                weight_decay=setting.weight_decay,
                lora=setting.lora,
                bf16=setting.bf16,
                seed=run.seed,
                redo=True,  # whether a run may be done anew was asked before
            ),
        )
    scores = {part: judge(head, part, head.answers(part, result.predictions[part])) for part in parts}
    _require_finite(run, scores)
    return {
        "task": run.task,
        "title": job.task.title,
        "head": job.task.head,
        "metric": job.task.metric,
        "stage": run.stage,
        "seed": run.seed,
        "setting": setting.to_dict(),
        "identity": dict(identity),
        "checkpoint": job.checkpoint,
        "scores": scores,
        "trivial": {part: judge(head, part, head.trivial(part)) for part in parts},
        "rows": {"train": len(rows.train), "dev": len(rows.dev), "test": len(rows.test)},
        "train_languages": list(rows.train_languages),
        "notes": [*rows.notes, *result.record["dropped"]],
        "steps": result.record["steps"],
        "seconds": round(time.perf_counter() - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": result.record["versions"],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def judge(head: TaskHead, part: str, answers: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Judge answers language by language.

    Args:
        head: Of the task.
        part: `dev` or `test`.
        answers: One a row.

    Returns:
        By language: `rows`, `trained` (whether training had the language), and the numbers of the task's family.

    Raises:
        ValueError: If a language cannot be judged; the message names it.
    """
    references, found = head.references(part), dict[str, dict[str, Any]]()
    places: dict[str, list[int]] = {}
    for place, tag in enumerate(head.part(part)["language"]):
        places.setdefault(tag, []).append(place)
    for tag, members in sorted(places.items()):
        own_answers, own_references = ([side[place] for place in members] for side in (answers, references))
        try:
            own = _scores(head.task, own_answers, own_references, tag)
        except ValueError as error:
            raise ValueError(
                f"{head.task.name}, {part} in {tag}: {error}; give the language more rows, or leave it out"
            ) from None
        found[tag] = {"rows": len(members), "trained": is_among(tag, head.rows.train_languages), **own}
    return found


def require_judgeable(task: Task, rows: TaskRows) -> None:
    """Judge what is trivial, so that rows that cannot be judged are told before anything is trained.

    Args:
        task: The task.
        rows: Its rows.

    Raises:
        ValueError: If a language of dev or test has nothing to judge, or but one gold score.
    """
    head = HEADS[task.head](task, rows, None, Setting())
    for part in ("dev", "test"):
        judge(head, part, head.trivial(part))


def _scores(task: Task, answers: list[Any], references: list[Any], language: str) -> Scores:
    measure = FAMILIES[task.family]
    if task.family == "answers":
        return measure(answers, references, language)
    if task.family == "labels" and task.positive is not None:
        return measure(answers, references, positive=task.positive)
    if task.family in ("tags", "spans"):
        return measure(*_tagged_words(answers, references))
    return measure(answers, references)


def _tagged_words(answers: list[Any], references: list[Any]) -> tuple[list[Any], list[Any]]:
    """Leave out the words that nobody tagged."""
    if not any("_" in tags for tags in references):
        return answers, references
    pairs = [
        [(guess, tag) for guess, tag in zip(own, tags, strict=True) if tag != "_"]
        for own, tags in zip(answers, references, strict=True)
    ]
    return [[guess for guess, _ in row] for row in pairs], [[tag for _, tag in row] for row in pairs]


def _head(job: Job, rows: TaskRows, run: Run) -> TaskHead:
    key = repr((job.checkpoint, job.task.name, job.data, job.limits, run.setting.max_length, run.setting.stride))
    head: TaskHead = _remembered("head", key, lambda: _build_head(job, rows, run))
    return head


def _build_head(job: Job, rows: TaskRows, run: Run) -> TaskHead:
    from transformers import AutoTokenizer

    from ...trainers.finetuning.model import label_order
    from ...trainers.pretraining.model_init import local_checkpoint

    tokenizer = AutoTokenizer.from_pretrained(local_checkpoint(job.checkpoint))
    head = HEADS[job.task.head](job.task, rows, tokenizer, run.setting)
    if head.labels:
        head.labels = label_order(job.checkpoint, head.model_head, head.labels)
    _kept.pop("encoded", None)
    return head


def _encoded(head: TaskHead, part: str) -> Any:
    """Encode a part once for all runs of a head."""
    kept = _kept.setdefault("encoded", {})
    if part not in kept:
        kept[part] = head.encode(part)
    return kept[part]


def _remembered(name: str, key: str, make: Callable[[], Any]) -> Any:
    if _kept.get(name, (None, None))[0] != key:
        _kept[name] = (key, make())
    return _kept[name][1]


def _require_finite(run: Run, scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    for part, by_language in scores.items():
        for tag, numbers in by_language.items():
            broken = [name for name, value in numbers.items() if not math.isfinite(value)]
            if broken:
                raise ValueError(f"{run.name}: {broken[0]} of {tag} on {part} is not finite; lower the learning rate")

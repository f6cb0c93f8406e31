"""Fine-tuning with several seeds: a folder each, the same rows and the same guesses to beat, every prediction written.

What a task is stands in a `SeededTask`; everything else is alike for classes, tags, answers and choices. Given again
with the same folder, finished seeds are read back and a stopped one goes on; a folder of other data, options, labels or
another checkpoint is refused before the first training, also where only a later seed's is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState

from ..trainers import FineTuned, FineTuneOptions, fine_tune
from ..trainers.finetuning.previous_run import identity_of, look, rows_fingerprint
from .metrics.classification import Scores
from .overlap import warn_of_copies

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning.model import Head
    from ..trainers.finetuning.trainer import Metrics

logger = logging.getLogger(__name__)

_FREE = ("on_bad_row", "n_best")  # of how rows are read: what they decide is in the rows, or in files written anew


@dataclass(frozen=True, kw_only=True)
class SeededTask:
    """What a task is to the trainer, whatever the seed.

    Attributes:
        head: What the network decides.
        sources: Labelled rows by data set: `train`, perhaps `dev`, and what is judged.
        encoded: The same, encoded.
        same: Columns that make a judged row a copy of a training row.
        collator: Pads encoded rows to a batch.
        metrics: Scores predictions.
        baselines: By judged data set the scores of what needs no network.
        write: Called as `write(data set, result)` for each test, to write its predictions into `result.folder`.
        reading: How rows are read, under the name that records have it by.
        facts: What else the records shall hold, such as `left_out`.
        labels: Names of the classes in the order of their numbers.
        problem_type: Of "sequence".
        more_scores: What is scored on dev beside what the baselines have.
    """

    head: Head
    sources: Mapping[str, Dataset]
    encoded: Mapping[str, Dataset]
    same: Sequence[str]
    collator: Callable[[list[dict[str, Any]]], Any]
    metrics: Metrics
    baselines: Mapping[str, Mapping[str, Scores]]
    write: Callable[[str, FineTuned], None]
    reading: tuple[str, Mapping[str, Any]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    labels: Sequence[str] | None = None
    problem_type: str | None = None
    more_scores: Sequence[str] = ()


def fine_tune_seeds(
    checkpoint: str | Path,
    task: SeededTask,
    *,
    tokenizer: Any,
    output_dir: str | Path,
    options: FineTuneOptions | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    score: str | None = None,
    facts: Mapping[str, Any] | None = None,
) -> list[FineTuned]:
    """Fine-tune with every seed, or go on where it was stopped.

    Args:
        checkpoint: What to start from, see `mmbert.trainers.fine_tune`.
        task: What is learned and judged.
        tokenizer: The checkpoint's.
        output_dir: Gets a folder a seed, `seed-0`, ...; with one seed it is the network's folder itself.
        options: Hyper-parameters.
        seeds: One run each.
        score: A score of the tests that will be wanted; one that there is not is refused now.
        facts: What else the records shall hold.

    Returns:
        A result a seed.

    Raises:
        ValueError: If rows or options are of no use, there is no such score or metric, or a folder holds another run.
    """
    plan = options or FineTuneOptions()
    _require_score(score, task.baselines)
    _require_metric(plan.metric, task)
    folders = {seed: Path(output_dir) / f"seed-{seed}" if len(seeds) > 1 else Path(output_dir) for seed in seeds}
    conditions = _conditions(task)
    identity = identity_of(
        checkpoint,
        task.head,
        task.encoded,
        plan,
        labels=task.labels,
        problem_type=task.problem_type,
        conditions=conditions,
    )
    for seed, folder in folders.items():
        look(folder, {**identity, "seed": seed}, redo=plan.redo)
    tests = dict(task.encoded)
    train, dev = tests.pop("train"), tests.pop("dev", None)
    name, reading = task.reading
    known = {"baselines": task.baselines, "copies": warn_of_copies(task.sources, task.same), name: dict(reading)}
    results = []
    for seed, folder in folders.items():
        logger.info("seed %d", seed)
        result = fine_tune(
            checkpoint,
            task.head,
            train,
            dev=dev,
            tests=tests,
            tokenizer=tokenizer,
            collator=task.collator,
            metrics=task.metrics,
            labels=task.labels,
            problem_type=task.problem_type,
            output_dir=folder,
            options=replace(plan, seed=seed),
            facts={**known, **task.facts, **(facts or {})},
            conditions=conditions,
        )
        for test in tests if PartialState().is_main_process else ():
            task.write(test, result)
        results.append(result)
    return results


def _conditions(task: SeededTask) -> dict[str, Any]:
    """Name what scores depend on beside the encoded rows: how they are read, and all that is right."""
    name, reading = task.reading
    sources = {part: f"{len(rows)} rows {rows_fingerprint(rows)}" for part, rows in task.sources.items()}
    return {name: {key: value for key, value in reading.items() if key not in _FREE}, "sources": sources}


def _require_score(score: str | None, baselines: Mapping[str, Mapping[str, Scores]]) -> None:
    known = next(iter(baselines.get("test", {}).values()), None)
    if score is not None and known is not None and score not in known:
        raise ValueError(f"no score {score!r}; there are {', '.join(known)}.")


def _require_metric(metric: str | None, task: SeededTask) -> None:
    """Refuse now what would be found out when dev is scored for the first time."""
    scores = next(iter(task.baselines.get("dev", {}).values()), None)
    known = [*(scores or ()), *task.more_scores, "loss"]
    if metric is not None and scores is not None and metric not in known:
        raise ValueError(f"no metric {metric!r} to choose by; there are {', '.join(known)}.")
    if metric is not None and "dev" not in task.encoded:
        logger.warning("metric %s chooses nothing, because there is no dev: the last network is kept", metric)

"""A task fine-tuned with several seeds: a folder per seed, the same rows and baselines, every prediction written.

Given again with the same folder, finished seeds are read back and a stopped one goes on; a folder of other data,
options, labels or another checkpoint is refused before the first training, also where only a later seed's is.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate import PartialState

from ..common.checkpoints.hub import load_tokenizer
from ..common.messages import require_known
from ..trainers import FineTuned, FineTuningArguments, fine_tune
from ..trainers.finetuning.previous_run import find_previous_run, identity_of, rows_fingerprint
from .base import Task

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

_FREE = ("on_bad_row", "n_best")  # of how rows are read: what they decide is in the rows, or in files written anew


def fine_tune_task(
    kind: type[Task],
    checkpoint: str | Path,
    rows: Mapping[str, Dataset],
    output_dir: str | Path,
    args: FineTuningArguments | None = None,
    *,
    tokenizer: Any = None,
    reading: Any = None,
    seeds: Sequence[int] | None = None,
    score: str | None = None,
    facts: Mapping[str, Any] | None = None,
    **old: Any,
) -> list[FineTuned]:
    """Fine-tune with every seed, or go on where it was stopped.

    Args:
        kind: The task.
        checkpoint: What to start from, see `mmbert.trainers.fine_tune`.
        rows: From `read_labelled`: `train`, perhaps `dev` (which chooses the network), and any data sets to test on.
        output_dir: Gets a folder per seed, `seed-0`, ...; with one seed it is the network's folder itself.
        args: Hyper-parameters.
        tokenizer: The checkpoint's; None: loaded from there.
        reading: How rows are read, such as `TextOptions`.
        seeds: One run each; None: as `args` says.
        score: A score of the tests that will be wanted; one that there is not is refused now.
        facts: What else the records shall hold.
        **old: `options`, the name of `args` in 0.1, and that of `reading` (`texts`, `words`, `passages`, `choices`), or
            single fields of it.

    Returns:
        A result per seed. Records hold `baselines`, `copies`, `cut` and what the task counts.

    Raises:
        ValueError: If rows or options are of no use, there is no such score or metric, or a folder holds another run.
    """
    reading = reading or old.pop(kind.reading_name, None)
    if "options" in old:
        warnings.warn("options= is args=FineTuningArguments(...) now.", FutureWarning, stacklevel=3)
        args = args or old.pop("options")
    if unknown := sorted(set(old) - {one.name for one in fields(kind.reading_class)}):
        raise TypeError(f"there is no argument {unknown[0]!r}")
    if old:
        reading = kind.reading_class(**{**(vars(reading) if reading else {}), **old})
    args = args or FineTuningArguments()
    seeds = range(args.seed, args.seed + args.seeds) if seeds is None else seeds
    require_known_scores(kind, args, score)
    task = kind(rows, tokenizer or load_tokenizer(checkpoint), reading, checkpoint)
    baselines = {name: task.baselines(name) for name in task.encoded if name != "train"}
    _require_score(score, baselines)
    _require_metric(args.metric_for_best_model, task, baselines)
    folders = {seed: Path(output_dir) / f"seed-{seed}" if len(seeds) > 1 else Path(output_dir) for seed in seeds}
    for seed, folder in folders.items():  # all of them, before the first is trained
        identity = _identity(task, checkpoint, args, seed)
        find_previous_run(folder, identity, overwrite=args.overwrite_output_dir)
    known = {"baselines": baselines, "copies": warn_of_copies(task.sources, task.same), **(facts or {})}
    results = []
    for seed, folder in folders.items():
        logger.info("seed %d: %d training rows", seed, len(task.sources["train"]))
        results.append(train_once(task, checkpoint, folder, args, seed, facts=known))
        for test in task.encoded if PartialState().is_main_process else ():
            if test not in ("train", "dev"):
                task.write(test, results[-1])
    return results


def train_once(
    task: Task,
    checkpoint: str | Path,
    folder: Path,
    args: FineTuningArguments,
    seed: int,
    *,
    tests: Sequence[str] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> FineTuned:
    """Fine-tune with one seed; dev, where there is one, chooses the network."""
    tests = [name for name in task.encoded if name not in ("train", "dev")] if tests is None else tests
    tokens = {name: task.token_facts(name) for name in tests}
    return fine_tune(
        checkpoint,
        task.head,
        task.encoded["train"],
        dev=task.encoded.get("dev"),
        tests={name: task.encoded[name] for name in tests},
        tokenizer=task.tokenizer,
        collator=task.collator,
        metrics=task,
        labels=task.labels or None,
        problem_type=task.problem_type,
        output_dir=folder,
        args=args,
        seed=seed,
        facts={task.reading_name: vars(task.reading), "cut": task.cut, "tokens": tokens, **task.facts, **(facts or {})},
        conditions=_conditions(task),
    )


def warn_of_copies(rows: Mapping[str, Dataset], columns: Sequence[str]) -> dict[str, int]:
    """Say how many rows of dev and test stand in the training rows too: a score on them says nothing."""
    keys = {
        name: [json.dumps([row.get(column) for column in columns]) for row in part.select_columns(there)]
        for name, part in rows.items()
        if (there := [column for column in columns if column in part.column_names])
    }
    trained = set(keys.pop("train"))
    copies = {name: sum(key in trained for key in found) for name, found in keys.items()}
    for name, count in copies.items():
        if count:
            logger.warning("%d of %d rows of %s are in the training rows too", count, len(keys[name]), name)
    return {name: count for name, count in copies.items() if count}


def _identity(task: Task, checkpoint: str | Path, args: FineTuningArguments, seed: int) -> dict[str, Any]:
    return identity_of(
        checkpoint,
        task.head,
        task.encoded,
        args,
        seed=seed,
        labels=task.labels or None,
        problem_type=task.problem_type,
        conditions=_conditions(task),
    )


def _conditions(task: Task) -> dict[str, Any]:
    """Name what scores depend on beside the encoded rows: how they are read, and all that is right."""
    sources = {part: f"{len(rows)} rows {rows_fingerprint(rows)}" for part, rows in task.sources.items()}
    usual = vars(task.reading_class())
    read = {
        name: value
        for name, value in vars(task.reading).items()
        if name not in _FREE and (name not in task.younger or value != usual[name])
    }
    return {task.reading_name: read, "sources": sources}


def require_known_scores(kind: type[Task], args: FineTuningArguments, score: str | None) -> None:
    """Refuse names of scores that a task has on no rows, before anything is read; which it has, the rows decide."""
    require_known("metric", args.metric_for_best_model, (None, *kind.score_names, "loss"))
    require_known("table_score", score, (None, *kind.score_names))


def _require_score(score: str | None, baselines: Mapping[str, Mapping[str, Any]]) -> None:
    known = next(iter(baselines.get("test", {}).values()), None)
    if score is not None and known is not None and score not in known:
        raise ValueError(f"no score {score!r}; there are {', '.join(known)}.")


def _require_metric(metric: str | None, task: Task, baselines: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse now what would be found out when dev is scored for the first time."""
    scores = next(iter(baselines.get("dev", {}).values()), None)
    known = [*(scores or ()), *task.more_scores, "loss"]
    if metric is not None and scores is not None and metric not in known:
        raise ValueError(f"no metric {metric!r} to choose by; there are {', '.join(known)}.")
    if metric is not None and "dev" not in task.encoded:
        logger.warning("metric %s chooses nothing, because there is no dev: the last network is kept", metric)

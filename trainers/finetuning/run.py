"""Fine-tuning: encoded rows and a head in; scores by language, predictions and a saved folder out.

What the rows mean is the task's business, in three things that the caller passes: rows already encoded, a collator that
pads them, and metrics over predictions. So classes, tags, answers and choices share one way of being trained, scored
and saved:

    result = fine_tune(
        checkpoint, "tokens", train, dev=dev, tests={"test": test}, tokenizer=tokenizer, labels=["O", "B-PER", ...],
        collator=DataCollatorForTokenClassification(tokenizer), metrics=f1_of_words, output_dir="run",
        args=FineTuningArguments(num_train_epochs=5, seed=1),
    )
    result.by_language["test"]["swh_Latn"]["f1"]

The folder holds the network (adapters merged into it), its tokenizer, `predictions.safetensors` (logits of every row
evaluated) and `fine_tune_record.json`; `adapter/` in it holds the adapters alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import PartialState
from datasets import Dataset
from transformers import EarlyStoppingCallback, TrainerCallback, set_seed

from ...callbacks import ActiveVocabularyCallback
from ...common.locks import only_writer
from ...data.labelled.read import places_by_language
from ...languages.tags import is_among
from .class_weights import class_weights
from .config import FineTuningArguments
from .model import Head, add_lora, build_network
from .output import finish_folder, leftovers, read_predictions, save_fine_tuned
from .previous_run import clear, find_previous_run, identity_of
from .trainer import FineTuneTrainer, Metrics, Predictions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FineTuned:
    """What came of a fine-tuning.

    Attributes:
        folder: The saved network and tokenizer.
        scores: By data set ("dev" and the names of `tests`), over all its rows: score by name.
        by_language: By data set and language: `rows`, `trained` (whether training had the language) and the scores.
        predictions: By data set, one array a row; see `FineTuneTrainer.predict_rows`.
        record: All of the above but the predictions, with every option, the data and what was dropped; as saved.
    """

    folder: Path
    scores: dict[str, dict[str, float]]
    by_language: dict[str, dict[str, dict[str, Any]]]
    predictions: dict[str, Predictions]
    record: dict[str, Any]


def fine_tune(
    checkpoint: str | Path,
    head: Head,
    train: Dataset,
    *,
    tokenizer: Any,
    collator: Callable[[list[dict[str, Any]]], Any],
    metrics: Metrics,
    output_dir: str | Path,
    dev: Dataset | None = None,
    tests: Mapping[str, Dataset] | None = None,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    args: FineTuningArguments | None = None,
    seed: int | None = None,
    facts: Mapping[str, Any] | None = None,
    conditions: Mapping[str, Any] | None = None,
    options: FineTuningArguments | None = None,
) -> FineTuned:
    """Train a head and its encoder, score it by language, save it. Every process of a launch must call.

    Called again with the same folder, a finished run is read back, not trained again; a stopped one goes on from its
    last checkpoint, if `args` has `save_steps` or `save_strategy`; and a folder of other data, options, labels or
    another checkpoint is refused.

    Args:
        checkpoint: What to start from, see `build_network`.
        head: "sequence", "tokens", "spans" or "choices".
        train: Encoded rows: `input_ids`, `attention_mask`, and `labels` (a class or numbers; -100 where a token is
            not scored) or `start_positions` and `end_positions`. Other columns are left aside, but `language` is read,
            and `row` (which source row an encoded row is a part of) to count rows.
        tokenizer: Saved with the network; it pads on the right.
        collator: Makes a batch of tensors of a list of such rows.
        metrics: Called as `metrics(predictions, rows)` with one array a row, in the order of the rows and with all
            their columns; also on the rows of one language. Returns scores by name; the first one is the main one.
        output_dir: Folder of the saved network.
        dev: Scored while training; the best of these networks is kept. Without it the last one is.
        tests: Scored once, at the end, with the network that is kept.
        labels: Names of the classes in the order of their numbers ("sequence", "tokens"); see `label_order`.
        problem_type: Of "sequence"; None: one class a row.
        args: Hyper-parameters.
        seed: The run's seed; None: that of the arguments.
        facts: Whatever else the record shall hold, as JSON: data, task, revision.
        conditions: What else the scores depend on, as JSON: how rows are read, how answers are found.
        options: Old name of `args`.

    Returns:
        Scores, predictions and the folder.

    Raises:
        ValueError: If checkpoint, labels or rows do not fit, the loss is not finite, or the folder holds another run.
        FileNotFoundError: If there is no such checkpoint.
    """
    args, folder = args or options or FineTuningArguments(), Path(output_dir)
    seed = args.seed if seed is None else seed
    if head == "sequence":
        problem_type = problem_type or "single_label_classification"
    check_rows(train, tokenizer)
    evaluated = {**({} if dev is None else {"dev": dev}), **(tests or {})}
    named: dict[str, Any] = {"labels": labels, "problem_type": problem_type}
    rows = {"train": train, **evaluated}
    identity = identity_of(checkpoint, head, rows, args, seed=seed, conditions=conditions, **named)
    with only_writer(folder) if PartialState().is_main_process else nullcontext():
        before = find_previous_run(folder, identity, overwrite=args.overwrite_output_dir)
        own = args.of_run(head, folder, seed, has_dev=dev is not None)
        if before.record is not None:
            return _read_back(folder, before.record, evaluated, own)
        PartialState().wait_for_everyone()  # every process has looked
        set_seed(seed)
        model, dropped = build_network(checkpoint, head, labels, problem_type)
        given = {"data_collator": collator, "processing_class": tokenizer, "metrics": metrics, "identity": identity}
        trainer = _build_trainer(model, head, args, own, train, dev, named, **given)
        seconds = _train(trainer, before.checkpoint, folder)
        predictions, scores, by_language, intervals = score_by_language(trainer, evaluated, languages_of(train))
        record = {
            "checkpoint": str(checkpoint),
            "head": head,
            "problem_type": problem_type,
            "labels": list(labels or []),
            "dropped": dropped,
            "options": {**args.choices(), "seed": seed},
            "resumed_from": before.checkpoint and before.checkpoint.name,
            "seconds": seconds,
            **_of_training(trainer, train, evaluated),
            "scores": scores,
            "by_language": by_language,
            "intervals": intervals,
            "identity": identity,
            **(facts or {}),
        }
        save_fine_tuned(trainer, folder, record, predictions)
        return FineTuned(folder, scores, by_language, predictions, record)


def _build_trainer(
    model: Any,
    head: Head,
    args: FineTuningArguments,
    own: FineTuningArguments,
    train: Dataset,
    dev: Dataset | None,
    named: Mapping[str, Any],
    **given: Any,
) -> FineTuneTrainer:
    """Put adapters, callbacks and weights of classes to a network, as the arguments say."""
    callbacks = _active_vocabulary(args, own, model, train, given["processing_class"])
    callbacks += [EarlyStoppingCallback(args.patience)] if args.patience and dev is not None else []
    grouped = args.train_sampling_strategy == "group_by_length"
    return FineTuneTrainer(
        model=add_lora(model, head, args, _tokens(train) if args.lora_embeddings else None) if args.lora else model,
        args=own,
        train_dataset=train.add_column("length", [len(ids) for ids in train["input_ids"]]) if grouped else train,
        eval_dataset=dev,
        main_metric=args.metric_for_best_model,
        layer_decay=args.layer_decay,
        class_weights=class_weights(args.class_weights, train, **named),
        callbacks=callbacks,
        **given,
    )


def _active_vocabulary(
    args: FineTuningArguments, own: FineTuningArguments, model: Any, train: Dataset, tokenizer: Any
) -> list[TrainerCallback]:
    """Train only embedding rows that training rows hold, where that is wanted and exact."""
    if not args.active_vocabulary or args.lora:
        return []
    if reason := ActiveVocabularyCallback.obstacle(model, own):
        logger.info("the whole embedding table is trained: %s", reason)
        return []
    folder = Path(str(own.output_dir))
    place = next(home for home in (folder, *folder.absolute().parents) if home.is_dir())
    return [ActiveVocabularyCallback(model, [*_tokens(train), *tokenizer.all_special_ids], place)]


def _train(trainer: FineTuneTrainer, checkpoint: Path | None, folder: Path) -> float:
    """Train from the beginning, or from the checkpoint of a run that was stopped; return the seconds."""
    if checkpoint is not None:
        logger.info("%s goes on from %s", folder, checkpoint.name)
    elif PartialState().is_main_process:
        clear(folder)
    started = time.perf_counter()
    trainer.train_from(checkpoint)
    return time.perf_counter() - started


def _of_training(trainer: FineTuneTrainer, train: Dataset, evaluated: Mapping[str, Dataset]) -> dict[str, Any]:
    model: Any = trainer.model
    return {
        "processes": trainer.accelerator.num_processes,
        "rows": {"train": row_count(train), **{name: row_count(rows) for name, rows in evaluated.items()}},
        "train_languages": languages_of(train),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "parameters": _parameters(model),
        "history": trainer.state.log_history,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _read_back(
    folder: Path, record: dict[str, Any], evaluated: Mapping[str, Dataset], own: FineTuningArguments
) -> FineTuned:
    logger.info("%s is finished: read back, not trained again", folder)
    if PartialState().is_main_process and leftovers(folder):
        finish_folder(folder)
    if own.push_to_hub:
        logger.warning("it is not pushed again; by hand: mmbert push %s %s", folder, own.hub_model_id)
    return FineTuned(folder, record["scores"], record["by_language"], read_predictions(folder, [*evaluated]), record)


def score_by_language(
    trainer: FineTuneTrainer, evaluated: Mapping[str, Dataset], trained: Sequence[str]
) -> tuple[dict[str, Predictions], dict[str, dict[str, float]], dict[str, dict[str, dict[str, Any]]], dict[str, Any]]:
    """Predict and score data sets, whole and by language, with the intervals over rows that the metrics know."""
    predictions: dict[str, Predictions] = {}
    scores: dict[str, dict[str, float]] = {}
    by_language: dict[str, dict[str, dict[str, Any]]] = {}
    intervals: dict[str, Any] = {}
    interval: Any = getattr(trainer.metrics, "intervals", lambda found, rows: {})
    for name, rows in evaluated.items():
        found, _ = trainer.predict_rows(rows)
        predictions[name], scores[name], by_language[name] = found, trainer.metrics(found, rows), {}
        intervals[name] = {"overall": interval(found, rows), "languages": {}}
        places = places_by_language(rows) if "language" in rows.column_names else {}
        for tag, members in sorted(places.items()):
            part = rows.select(members)
            chosen = [found[place] for place in members]
            own = trainer.metrics(chosen, part)
            by_language[name][tag] = {"rows": row_count(part), "trained": is_among(tag, trained), **own}
            intervals[name]["languages"][tag] = interval(chosen, part)
    return predictions, scores, by_language, intervals


def row_count(rows: Dataset) -> int:
    """Count the rows of the source; windows of one text are one row."""
    return len(set(rows["row"][:])) if "row" in rows.column_names else len(rows)


def languages_of(rows: Dataset) -> list[str]:
    """List the languages of rows."""
    return sorted(set(rows["language"])) if "language" in rows.column_names else []


def check_rows(rows: Dataset, tokenizer: Any) -> None:
    """Refuse rows that cannot be trained on."""
    if not len(rows):
        raise ValueError("there is no training row.")
    if "input_ids" not in rows.column_names:
        raise ValueError(f"rows must be encoded first; there is no input_ids among {', '.join(rows.column_names)}.")
    if tokenizer.padding_side != "right":
        raise ValueError(f"the tokenizer pads on the {tokenizer.padding_side}; set tokenizer.padding_side = 'right'.")


def _tokens(rows: Dataset) -> list[int]:
    """Find the ids that rows hold, also where a row is a list of choices."""
    found: set[int] = set()
    for ids in rows["input_ids"]:
        for choice in ids if ids and isinstance(ids[0], list) else [ids]:
            found.update(choice)
    return sorted(found)


def _parameters(model: torch.nn.Module) -> dict[str, int]:
    every = list(model.parameters())
    trained = sum(parameter.numel() for parameter in every if parameter.requires_grad)
    return {"all": sum(parameter.numel() for parameter in every), "trained": trained}

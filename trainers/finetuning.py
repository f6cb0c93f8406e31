"""Fine-tuning: encoded rows and a head in; scores by language, predictions and a saved folder out.

What the rows mean is the task's business, in three things that the caller passes: rows already encoded, a collator that
pads them, and metrics over predictions. So classes, tags, answers and choices share one way of being trained, scored
and saved:

    result = fine_tune(
        checkpoint, "tokens", train, dev=dev, tests={"test": test}, tokenizer=tokenizer, labels=["O", "B-PER", ...],
        collator=DataCollatorForTokenClassification(tokenizer), metrics=f1_of_words, output_dir="run",
        options=FineTuneOptions(epochs=5, seed=1),
    )
    result.by_language["test"]["swh_Latn"]["f1"]

The folder holds the network (adapters merged into it), its tokenizer and `fine_tune_record.json`; `adapter/` in it
holds the adapters alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from transformers import EarlyStoppingCallback, set_seed

from .class_weights import balanced_weights
from .finetuning_arguments import training_arguments
from .finetuning_model import Head, add_lora, build_network
from .finetuning_options import FineTuneOptions
from .finetuning_saving import save_fine_tuned
from .finetuning_trainer import FineTuneTrainer, Metrics, Predictions


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
    options: FineTuneOptions | None = None,
    facts: Mapping[str, Any] | None = None,
) -> FineTuned:
    """Train a head and its encoder, score it by language, save it. Every process of a launch must call.

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
        options: Hyper-parameters.
        facts: Whatever else the record shall hold, as JSON: data, task, revision.

    Returns:
        Scores, predictions and the folder.

    Raises:
        ValueError: If checkpoint, labels or rows do not fit, or the loss is not finite.
        FileNotFoundError: If there is no such checkpoint.
    """
    plan = options or FineTuneOptions()
    folder = Path(output_dir)
    if head == "sequence":
        problem_type = problem_type or "single_label_classification"
    check_rows(train, tokenizer)
    set_seed(plan.seed)
    model, dropped = build_network(checkpoint, head, labels, problem_type)
    network = add_lora(model, head, plan) if plan.lora else model
    trainer = FineTuneTrainer(
        model=network,
        args=training_arguments(plan, head, folder, judged=dev is not None),
        train_dataset=_with_lengths(train) if plan.group_by_length else train,
        eval_dataset=dev,
        data_collator=collator,
        processing_class=tokenizer,
        metrics=metrics,
        main_metric=plan.metric,
        layer_decay=plan.layer_decay,
        class_weights=_class_weights(plan, train, labels, problem_type),
        callbacks=[EarlyStoppingCallback(plan.patience)] if plan.patience and dev is not None else None,
    )
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    judged = {**({} if dev is None else {"dev": dev}), **(tests or {})}
    predictions, scores, by_language = _judge(trainer, judged, _languages(train))
    record = {
        "checkpoint": str(checkpoint),
        "head": head,
        "problem_type": problem_type,
        "labels": list(labels or []),
        "dropped": dropped,
        "options": plan.to_dict(),
        "processes": trainer.accelerator.num_processes,
        "rows": {"train": _row_count(train), **{name: _row_count(rows) for name, rows in judged.items()}},
        "train_languages": _languages(train),
        "steps": trainer.state.global_step,
        "best_step": trainer.state.best_global_step,
        "seconds": seconds,
        "parameters": _parameters(network),
        "scores": scores,
        "by_language": by_language,
        "history": trainer.state.log_history,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        **(facts or {}),
    }
    save_fine_tuned(trainer, folder, record)
    return FineTuned(folder, scores, by_language, predictions, record)


def check_rows(rows: Dataset, tokenizer: Any) -> None:
    """Refuse rows that cannot be trained on.

    Args:
        rows: Encoded rows.
        tokenizer: Pads them.

    Raises:
        ValueError: If there is none, a column is missing, or padding comes first.
    """
    if not len(rows):
        raise ValueError("there is no training row.")
    if "input_ids" not in rows.column_names:
        raise ValueError(f"rows must be encoded first; there is no input_ids among {', '.join(rows.column_names)}.")
    if tokenizer.padding_side != "right":
        raise ValueError(f"the tokenizer pads on the {tokenizer.padding_side}; set tokenizer.padding_side = 'right'.")


def _judge(
    trainer: FineTuneTrainer, judged: Mapping[str, Dataset], trained: Sequence[str]
) -> tuple[dict[str, Predictions], dict[str, dict[str, float]], dict[str, dict[str, dict[str, Any]]]]:
    """Predict and score data sets, whole and by language."""
    predictions: dict[str, Predictions] = {}
    scores: dict[str, dict[str, float]] = {}
    by_language: dict[str, dict[str, dict[str, Any]]] = {}
    for name, rows in judged.items():
        found, _ = trainer.predict_rows(rows)
        predictions[name], scores[name], by_language[name] = found, trainer.metrics(found, rows), {}
        tags = rows["language"] if "language" in rows.column_names else []
        places: dict[str, list[int]] = {}
        for place, tag in enumerate(tags):
            places.setdefault(tag, []).append(place)
        for tag, members in sorted(places.items()):
            part = rows.select(members)
            own = trainer.metrics([found[place] for place in members], part)
            by_language[name][tag] = {"rows": _row_count(part), "trained": tag in trained, **own}
    return predictions, scores, by_language


def _row_count(rows: Dataset) -> int:
    """Count the rows of the source; windows of one text are one row."""
    return len(set(rows["row"][:])) if "row" in rows.column_names else len(rows)


def _languages(rows: Dataset) -> list[str]:
    return sorted(set(rows["language"])) if "language" in rows.column_names else []


def _with_lengths(rows: Dataset) -> Dataset:
    return rows.add_column("length", [len(ids) for ids in rows["input_ids"]])


def _class_weights(
    plan: FineTuneOptions, train: Dataset, labels: Sequence[str] | None, problem_type: str | None
) -> torch.Tensor | None:
    if plan.class_weights == "none":
        return None
    if not labels or problem_type == "regression":
        raise ValueError(f"class_weights is {plan.class_weights!r}, but this task has no classes; leave it out.")
    if isinstance(plan.class_weights, str):
        return balanced_weights(train["labels"], len(labels))
    unknown = sorted(set(plan.class_weights) - set(labels))
    if unknown:
        raise ValueError(f"class_weights names {unknown[0]!r}, but the labels are {', '.join(labels)}.")
    return torch.tensor([float(plan.class_weights.get(label, 1.0)) for label in labels])


def _parameters(model: torch.nn.Module) -> dict[str, int]:
    every = list(model.parameters())
    trained = sum(parameter.numel() for parameter in every if parameter.requires_grad)
    return {"all": sum(parameter.numel() for parameter in every), "trained": trained}

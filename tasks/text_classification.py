"""Classifying texts and pairs of texts, from labelled rows to scores: one class, several at once, or a number.

Which of the three it is follows from the rows: `label`, `labels` or `score`. Classes are numbered in the order of their
names (of their numbers, where all are), or as a checkpoint that knows the same ones has them.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.corpora.rows import OnBadRow
from ..data.features.texts import encode_texts
from ..trainers import FineTuned, FineTuneOptions, label_order
from .classification_scores import ClassificationMetrics, baseline_scores, decide, pool_windows
from .multi_seed import SeededTask, fine_tune_seeds

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

COLUMNS = {
    "single_label_classification": "label",
    "multi_label_classification": "labels",
    "regression": "score",
}


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How texts are read.

    Attributes:
        max_length: Most tokens of a text; None: all that the tokenizer allows, 8,192 for mmBERT.
        windows: Spread longer texts over windows, whose logits are averaged, instead of cutting them off.
        overlap: Tokens that neighbouring windows share.
        on_bad_row: "error" refuses a label in dev or test that training does not have, "skip" leaves such rows out.
    """

    max_length: int | None = None
    windows: bool = False
    overlap: int = 64
    on_bad_row: OnBadRow = "error"


def problem_of(rows: Dataset) -> str:
    """Say what rows ask for.

    Args:
        rows: With `label`, `labels` or `score`.

    Returns:
        The problem's type, as in a network's config.

    Raises:
        ValueError: If there is none of them.
    """
    for problem_type, column in COLUMNS.items():
        if column in rows.column_names:
            return problem_type
    raise ValueError(f"rows need a label, labels or score; there are {', '.join(rows.column_names)}.")


def labels_of(rows: Dataset, problem_type: str) -> list[str]:
    """List the classes of rows.

    Args:
        rows: Training rows.
        problem_type: What they ask for.

    Returns:
        Names in their order, 2 before 10; none for numbers.
    """
    if problem_type == "regression":
        return []
    values = rows[COLUMNS[problem_type]][:]
    found = set(values) if problem_type == "single_label_classification" else {one for row in values for one in row}
    numbers = all(name.lstrip("-").isdecimal() for name in found)
    return sorted(found, key=(lambda name: (int(name), name)) if numbers else None)


def encode_rows(
    name: str, rows: Dataset, tokenizer: Any, problem_type: str, labels: Sequence[str], options: TextOptions
) -> tuple[Dataset, Dataset]:
    """Encode texts and their labels.

    Args:
        name: Of the data set, for messages.
        rows: Labelled rows.
        tokenizer: The checkpoint's.
        problem_type: What they ask for.
        labels: Classes in the order of their numbers.
        options: How texts are read.

    Returns:
        The encoded rows, and the labelled rows that they come from.

    Raises:
        ValueError: If a label is not among the classes and `on_bad_row` is "error", or no row is left.
    """
    values = rows[COLUMNS[problem_type]][:]
    number = {label: place for place, label in enumerate(labels)}
    if problem_type != "regression":
        several = problem_type == "multi_label_classification"
        unknown = [[one for one in (row if several else [row]) if one not in number] for row in values]
        strange = Counter(one for row in unknown for one in row)
        if strange:
            told = ", ".join(f"{label!r} ({count} rows)" for label, count in strange.most_common(5))
            if options.on_bad_row == "error":
                raise ValueError(
                    f"{name} has labels that training has not: {told}; the labels are {', '.join(labels[:12])}. "
                    "Correct them, or leave the rows out by on_bad_row='skip'."
                )
            keep = [place for place, row in enumerate(unknown) if not row]
            logger.warning(
                "%s: left out %d rows with labels unknown to training: %s", name, len(rows) - len(keep), told
            )
            rows = rows.select(keep)
            values = [values[place] for place in keep]
        if not values:
            raise ValueError(f"{name} has no row left.")
        values = [np.isin(labels, row).astype(float).tolist() if several else number[row] for row in values]
    encoded = encode_texts(
        rows, tokenizer, max_length=options.max_length, windows=options.windows, overlap=options.overlap
    )
    return encoded.add_column("labels", [values[row] for row in encoded["row"][:]]), rows


def _require_same_kind(rows: Mapping[str, Dataset], problem_type: str) -> None:
    pairs = "text_pair" in rows["train"].column_names
    for name, part in rows.items():
        there = ", ".join(part.column_names)
        if COLUMNS[problem_type] not in part.column_names:
            raise ValueError(f"{name} has no {COLUMNS[problem_type]}, which train has; its columns are {there}.")
        if ("text_pair" in part.column_names) != pairs:
            raise ValueError(f"train has {'' if pairs else 'no '}pairs of texts, {name} has the columns {there}.")


def fine_tune_classifier(
    checkpoint: str | Path,
    rows: Mapping[str, Dataset],
    *,
    tokenizer: Any,
    output_dir: str | Path,
    options: FineTuneOptions | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    texts: TextOptions | None = None,
    facts: Mapping[str, Any] | None = None,
    score: str | None = None,
) -> list[FineTuned]:
    """Fine-tune a classifier with several seeds and judge it in every language.

    Args:
        checkpoint: What to start from, see `mmbert.trainers.fine_tune`.
        rows: From `read_labelled`: `train`, perhaps `dev` (scored while training), and any data sets to test on.
        tokenizer: The checkpoint's.
        output_dir: Gets a folder a seed, `seed-0`, ...; with one seed it is the network's folder itself.
        options: Hyper-parameters.
        seeds: One run each.
        texts: How texts are read.
        facts: What else the records shall hold.
        score: A score of the tests that will be wanted; one that there is not is refused before the training.

    Returns:
        A result a seed. Records hold `baselines` and `left_out` (rows with labels unknown to training) by data set;
        folders hold `predictions_<data set>.jsonl`.

    Raises:
        ValueError: If rows, labels or options are of no use; the message says which.
    """
    from transformers import DataCollatorWithPadding

    reading = texts or TextOptions()
    problem_type = problem_of(rows["train"])
    labels = labels_of(rows["train"], problem_type)
    if problem_type != "regression":
        labels = label_order(checkpoint, "sequence", labels)
    _require_same_kind(rows, problem_type)
    both = {name: encode_rows(name, part, tokenizer, problem_type, labels, reading) for name, part in rows.items()}
    encoded, sources = {name: one for name, (one, _) in both.items()}, {name: two for name, (_, two) in both.items()}
    known = _document_labels(encoded["train"])

    def write(name: str, result: FineTuned) -> None:
        path = result.folder / f"predictions_{name}.jsonl"
        write_predictions(path, sources[name], encoded[name], result.predictions[name], problem_type, labels)

    task = SeededTask(
        head="sequence",
        sources=sources,
        encoded=encoded,
        same=["text", "text_pair"],
        collator=DataCollatorWithPadding(tokenizer),
        metrics=ClassificationMetrics(problem_type),
        baselines={
            name: baseline_scores(problem_type, known, _document_labels(part))
            for name, part in encoded.items()
            if name != "train"
        },
        write=write,
        reading=("texts", vars(reading)),
        facts={"left_out": {name: len(part) - len(sources[name]) for name, part in rows.items()}},
        labels=labels or None,
        problem_type=problem_type,
    )
    return fine_tune_seeds(
        checkpoint,
        task,
        tokenizer=tokenizer,
        output_dir=output_dir,
        options=options,
        seeds=seeds,
        score=score,
        facts=facts,
    )


def _document_labels(encoded: Dataset) -> list[Any]:
    """Labels of documents: windows of one count once."""
    return list(dict(zip(encoded["row"][:], encoded["labels"][:], strict=True)).values())


def write_predictions(
    path: Path,
    rows: Dataset,
    encoded: Dataset,
    predictions: Sequence[np.ndarray],
    problem_type: str,
    labels: Sequence[str],
) -> None:
    """Write a line of JSON a row: its number among the rows, its id if it has one, language, text, right and predicted.

    Args:
        path: The file.
        rows: The labelled rows.
        encoded: The same, encoded.
        predictions: Logits of the encoded rows.
        problem_type: What the rows ask for.
        labels: Classes in the order of their numbers.
    """
    documents, _, logits = pool_windows(predictions, encoded)
    truth = rows[COLUMNS[problem_type]][:]
    shown = {name: rows[name][:] for name in ("id", "language", "text", "text_pair") if name in rows.column_names}
    with path.open("w", encoding="utf-8") as file:
        for document, decision in zip(documents, decide(problem_type, logits), strict=True):
            if problem_type == "regression":
                said: Any = float(decision)
            elif problem_type == "multi_label_classification":
                said = [label for label, yes in zip(labels, decision, strict=True) if yes]
            else:
                said = labels[decision]
            row = {"row": int(document), **{name: values[document] for name, values in shown.items()}}
            line = {**row, "right": truth[document], "predicted": said}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

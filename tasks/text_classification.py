"""Classifying texts and pairs of texts, from labelled rows to scores: one class, several at once, or a number.

Which of the three it is follows from the rows: `label`, `labels` or `score`. Classes are numbered in the order of their
names (of their numbers, where all are), or as a checkpoint that knows the same ones has them. A score is a share or a
correlation; where one is not defined (the correlation with a constant) it is 0: nothing was told apart.
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

from ..common.messages import option
from ..data.features.texts import encode_texts
from ..data.pretraining.masking import IGNORED
from ..trainers import FineTuned, label_order
from .base import OnBadRow, Task
from .metrics.classification import Scores, label_scores, similarity_scores
from .metrics.intervals import Intervals, label_intervals, similarity_intervals
from .training import fine_tune_task

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

COLUMNS = {"single_label_classification": "label", "multi_label_classification": "labels", "regression": "score"}
_DRAWS = 20  # of random labels, whose scores are averaged


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How texts are read.

    Attributes:
        max_length: Most tokens of a text; None: all that the tokenizer allows, 8,192 for mmBERT.
        windows: Spread longer texts over windows, whose logits are averaged, instead of cutting them off.
        overlap: Tokens that neighbouring windows share.
        on_bad_row: "error" refuses a label in dev or test that training does not have, "skip" leaves such rows out,
            "wrong" counts them as wrong.
        positive: Class whose own F1 is scored too, as `f1` (MRPC, QQP).
    """

    max_length: int | None = None
    windows: bool = False
    overlap: int = 64
    on_bad_row: OnBadRow = "error"
    positive: str | None = None


class TextClassification(Task):
    """One class, several classes or a number per text or pair of texts."""

    name, head = "classification", "sequence"
    reading_class, reading_name, younger = TextOptions, "texts", ("positive",)
    columns = ("text", "text_pair?", ("label", "labels", "score"))
    same = ("text", "text_pair")
    score_names = ("accuracy", "macro_f1", "micro_f1", "f1", "matthews", "spearman", "pearson", "rmse")

    def prepare(self, checkpoint: str | Path | None) -> None:
        """Find out what the rows ask for, and their classes."""
        train = self.sources["train"]
        self.problem_type = problem_of(train)
        self.labels = labels_of(train, self.problem_type)
        if self.labels and checkpoint is not None:
            self.labels = label_order(checkpoint, "sequence", self.labels)
        pairs = "text_pair" in train.column_names
        for name, part in self.sources.items():
            there = ", ".join(part.column_names)
            if COLUMNS[self.problem_type] not in part.column_names:
                raise ValueError(
                    f"{name} has no {COLUMNS[self.problem_type]}, which train has; its columns are {there}."
                )
            if ("text_pair" in part.column_names) != pairs:
                raise ValueError(f"train has {'' if pairs else 'no '}pairs of texts, {name} has the columns {there}.")
        self.facts["left_out"] = {}

    def encode(self, name: str) -> Dataset:
        """Encode texts, whole, cut or in windows, and number their classes."""
        before, cut = self.sources[name], Counter[str]()
        found, self.sources[name] = encode_rows(
            name, before, self.tokenizer, str(self.problem_type), self.labels, self.reading, cut
        )
        self.facts["left_out"][name] = len(before) - len(self.sources[name])
        limit = self.reading.max_length or self.tokenizer.model_max_length
        self.note_cut(name, self.sources[name]["language"], cut, limit, "a larger max_length or windows reads the rest")
        return found

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score logits; windows of one document are averaged first."""
        return self._score(*self._decided(predictions, rows))

    def intervals(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Intervals:
        """The intervals over documents."""
        truth, decided = self._decided(predictions, rows)
        if self.problem_type == "regression":
            return similarity_intervals(decided.tolist(), truth.tolist())
        if self.problem_type == "multi_label_classification":
            return label_intervals(*([np.flatnonzero(row).tolist() for row in side] for side in (decided, truth)))
        return label_intervals(decided.tolist(), truth.tolist(), self._positive())

    def _decided(self, predictions: Sequence[np.ndarray], rows: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """What is right and what is predicted, of every document."""
        _, first, logits = pool_windows(predictions, rows)
        return np.asarray(rows["labels"][:])[first], decide(str(self.problem_type), logits)

    def majority(self, name: str, rows: Sequence[int] | None = None) -> Scores:
        """Score the commonest class of training, or the mean of its numbers."""
        known, truth = np.asarray(self._documents("train")), np.asarray(self._documents(name))
        truth = truth if rows is None else truth[list(rows)]
        return self._score(truth, np.broadcast_to(most_frequent(str(self.problem_type), known), truth.shape))

    def baselines(self, name: str) -> dict[str, Scores]:
        """Score the commonest class, and classes drawn as often as training has them."""
        return baseline_scores(
            str(self.problem_type), self._documents("train"), self._documents(name), self._positive()
        )

    def write(self, name: str, result: FineTuned) -> None:
        """Write a line of JSON per row: its number, id, language and text, the right and the predicted label."""
        rows, problem_type = self.sources[name], str(self.problem_type)
        documents, _, logits = pool_windows(result.predictions[name], self.encoded[name])
        truth = rows[COLUMNS[problem_type]][:]
        shown = {key: rows[key][:] for key in ("id", "language", "text", "text_pair") if key in rows.column_names}
        with (result.folder / f"predictions_{name}.jsonl").open("w", encoding="utf-8") as file:
            for document, said in zip(documents, named(problem_type, logits, self.labels), strict=True):
                row = {"row": int(document), **{key: values[document] for key, values in shown.items()}}
                line = {**row, "right": truth[document], "predicted": said}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _documents(self, name: str) -> list[Any]:
        """Labels of documents: windows of one count once."""
        part = self.encoded[name]
        return list(dict(zip(part["row"][:], part["labels"][:], strict=True)).values())

    def _positive(self) -> int | None:
        positive = self.reading.positive
        if positive is not None and str(positive) not in self.labels:
            raise ValueError(f"positive is {positive!r}, but the labels are {', '.join(self.labels[:12])}.")
        return None if positive is None else self.labels.index(str(positive))

    def _score(self, truth: np.ndarray, decided: np.ndarray) -> Scores:
        return score(str(self.problem_type), truth, decided, self._positive())


def fine_tune_classifier(
    checkpoint: str | Path, rows: Mapping[str, Dataset], output_dir: str | Path, *args: Any, **given: Any
) -> list[FineTuned]:
    """Fine-tune a classifier with several seeds and score it in every language.

    Args:
        checkpoint: What to start from.
        rows: With `text` and one of `label`, `labels` and `score`; see `fine_tune_task`.
        output_dir: Gets a folder per seed.
        *args: See `fine_tune_task`.
        **given: See `fine_tune_task`; `texts` is a `TextOptions`.

    Returns:
        A result per seed; folders hold `predictions_<data set>.jsonl`.
    """
    return fine_tune_task(TextClassification, checkpoint, rows, output_dir, *args, **given)


def problem_of(rows: Dataset) -> str:
    """Say what rows with `label`, `labels` or `score` ask for, as `problem_type` of a network's config."""
    for problem_type, column in COLUMNS.items():
        if column in rows.column_names:
            return problem_type
    raise ValueError(f"rows need a label, labels or score; there are {', '.join(rows.column_names)}.")


def labels_of(rows: Dataset, problem_type: str) -> list[str]:
    """List the classes of training rows in their order, 2 before 10; none for numbers."""
    if problem_type == "regression":
        return []
    values = rows[COLUMNS[problem_type]][:]
    found = set(values) if problem_type == "single_label_classification" else {one for row in values for one in row}
    numbers = all(name.lstrip("-").isdecimal() for name in found)
    return sorted(found, key=(lambda name: (int(name), name)) if numbers else None)


def encode_rows(
    name: str,
    rows: Dataset,
    tokenizer: Any,
    problem_type: str,
    labels: Sequence[str],
    options: TextOptions,
    cut: Counter[str] | None = None,
) -> tuple[Dataset, Dataset]:
    """Encode texts and labels; returns them and the rows they come from. `cut` counts cut texts by language."""
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
                    f"Correct them, or leave the rows out by {option('on_bad_row', 'skip')}."
                )
            if options.on_bad_row == "skip":
                keep = [place for place, row in enumerate(unknown) if not row]
                left = len(rows) - len(keep)
                logger.warning("%s: left out %d rows with labels unknown to training: %s", name, left, told)
                rows = rows.select(keep)
                values = [values[place] for place in keep]
        if not values:
            raise ValueError(f"{name} has no row left.")
        values = [
            np.isin(labels, row).astype(float).tolist() if several else number.get(row, IGNORED) for row in values
        ]
    encoded = encode_texts(
        rows, tokenizer, max_length=options.max_length, windows=options.windows, overlap=options.overlap, cut=cut
    )
    return encoded.add_column("labels", [values[row] for row in encoded["row"][:]]), rows


def score(problem_type: str, truth: np.ndarray, decided: np.ndarray, positive: int | None = None) -> Scores:
    """Score decisions."""
    if problem_type == "regression":
        rmse = float(np.sqrt(np.mean((truth - decided) ** 2)))
        if len(truth) < 2 or np.ptp(truth) == 0:
            return {"spearman": 0.0, "pearson": 0.0, "rmse": rmse}
        return {**similarity_scores(decided.tolist(), truth.tolist()), "rmse": rmse}
    if problem_type == "multi_label_classification":
        sets = [[np.flatnonzero(row).tolist() for row in side] for side in (decided, truth)]
        if not any(sets[1]):  # no class is right anywhere: there is nothing to find
            exact = float(np.mean([not row for row in sets[0]]))
            return {"micro_f1": 0.0, "macro_f1": 0.0, "accuracy": exact}
        scores = label_scores(*sets)
        return {"micro_f1": scores.pop("micro_f1"), **scores}
    return label_scores(decided.tolist(), truth.tolist(), positive=positive)


def decide(problem_type: str, logits: np.ndarray) -> np.ndarray:
    """Turn logits into decisions: the likeliest class, the classes likelier than not, or the number itself."""
    if problem_type == "regression":
        decided: np.ndarray = logits[:, 0]
    elif problem_type == "multi_label_classification":
        decided = (logits > 0).astype(int)
    else:
        decided = logits.argmax(-1)
    return decided


def named(problem_type: str, logits: np.ndarray, labels: Sequence[str]) -> list[Any]:
    """Turn logits into numbers, names of classes or lists of names."""
    decided = decide(problem_type, logits)
    if problem_type == "regression":
        return [float(one) for one in decided]
    if problem_type == "multi_label_classification":
        return [[label for label, yes in zip(labels, row, strict=True) if yes] for row in decided]
    return [labels[one] for one in decided]


def pool_windows(predictions: Sequence[np.ndarray], rows: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average logits over the windows of a document: its number, its first window, (documents, outputs)."""
    logits = np.stack(list(predictions)).astype(np.float64)
    own = np.asarray(rows["row"][:]) if "row" in rows.column_names else np.arange(len(logits))
    documents, first, where, counts = np.unique(own, return_index=True, return_inverse=True, return_counts=True)
    sums = np.zeros((len(documents), logits.shape[1]))
    np.add.at(sums, where, logits)
    return documents, first, sums / counts[:, None]


def most_frequent(problem_type: str, known: np.ndarray) -> Any:
    """Return the commonest class of labels, the classes that most rows have, or the mean number."""
    if problem_type == "regression":
        return known.mean()
    if problem_type == "multi_label_classification":
        return (known.mean(0) > 0.5).astype(int)
    return np.bincount(known).argmax()


def baseline_scores(
    problem_type: str, train: Sequence[Any], test: Sequence[Any], positive: int | None = None
) -> dict[str, Scores]:
    """Scores of the most frequent label of training (numbers: the mean) and, over 20 draws, of random labels."""
    known, truth = np.asarray(train), np.asarray(test)
    most = np.broadcast_to(most_frequent(problem_type, known), truth.shape)
    majority = score(problem_type, truth, most, positive)
    random = np.random.default_rng(0)
    drawn = [
        score(problem_type, truth, known[random.integers(len(known), size=len(truth))], positive) for _ in range(_DRAWS)
    ]
    return {"majority": majority, "random": {name: float(np.mean([one[name] for one in drawn])) for name in majority}}

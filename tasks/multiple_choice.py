"""Choosing among several continuations or answers, from labelled rows to scores: COPA, Social IQa, Belebele and kin.

Each choice is read as the second text of a pair; what comes before it (`context`, `text`, `question`, those there are)
is the first. The network scores choices one by one, so rows of train and test may have different numbers of choices,
but rows of one data set must have equally many.

Labels are the choices themselves if all of a data set are; else a label is a number (from 1 if no row of the data set
has 0 and one has the number of choices, else from 0), a name that counts from 1 ("choice2"), a letter from A, or a
choice itself. So a number is not taken for a choice that happens to read "2", as in Belebele's questions of how many.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..trainers import FineTuned
from .base import Task
from .metrics.classification import Scores
from .metrics.intervals import Intervals, share_interval
from .text_classification import baseline_scores, score
from .training import fine_tune_task

if TYPE_CHECKING:
    from datasets import Dataset

_LETTERS = "ABCDEFGHIJ"
_COUNTED = re.compile(r"(?:choice|ending|answer|option)_?(\d+)", re.IGNORECASE)  # COPA's classes on the Hub
FIRST = ("context", "text", "question")


@dataclass(frozen=True, kw_only=True)
class ChoiceOptions:
    """How choices are read.

    Attributes:
        max_length: Most tokens of what comes before and one choice; None: 8,192. The longer of the two is cut first.
    """

    max_length: int | None = None


class MultipleChoice(Task):
    """The best of several continuations."""

    name, head = "choice", "choices"
    reading_class, reading_name = ChoiceOptions, "choices"
    columns = ("choices", "label")
    same, score_names = (*FIRST, "choices"), ("accuracy",)

    def prepare(self, checkpoint: str | Path | None) -> None:
        """Find out what labels count from."""
        self.require_columns("choices", "label")
        self._first = first_number(*self.sources.values())

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads all choices of all rows to one length."""
        return choice_collator(self.tokenizer)

    def encode(self, name: str) -> Dataset:
        """Encode what comes before with each choice."""
        rows, cut = self.sources[name], Counter[str]()
        found = encode_choices(name, rows, self.tokenizer, self.reading, self._first, cut)
        limit = self.reading.max_length or self.tokenizer.model_max_length
        self.note_cut(name, rows["language"], cut, limit, "a larger max_length reads the rest")
        return found

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score the choices with the highest logits."""
        return _accuracy(np.asarray(rows["labels"][:]), np.array([one.argmax() for one in predictions]))

    def intervals(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Intervals:
        """The interval of the share of rows."""
        return {"accuracy": share_interval(self(predictions, rows)["accuracy"], len(rows))}

    def majority(self, name: str, rows: Sequence[int] | None = None) -> Scores:
        """Score the place that is right most often in training."""
        truth = np.asarray(self.encoded[name]["labels"][:])
        truth = truth if rows is None else truth[list(rows)]
        return _accuracy(truth, np.full_like(truth, np.bincount(self.encoded["train"]["labels"][:]).argmax()))

    def baselines(self, name: str) -> dict[str, Scores]:
        """Score the commonest place, and drawing lots."""
        part = self.encoded[name]
        guesses = baseline_scores("single_label_classification", self.encoded["train"]["labels"][:], part["labels"][:])
        majority = {"accuracy": guesses["majority"]["accuracy"]}
        return {"majority": majority, "random": {"accuracy": 1 / len(part[0]["input_ids"])}}

    def write(self, name: str, result: FineTuned) -> None:
        """Write a line of JSON per row: its language, which choice is right and which was made, from 0."""
        rows = self.encoded[name]
        with (result.folder / f"predictions_{name}.jsonl").open("w", encoding="utf-8") as file:
            both = zip(rows["language"][:], rows["labels"][:], result.predictions[name], strict=True)
            for row, (tag, right, one) in enumerate(both):
                line = {"row": row, "language": tag, "right": right, "predicted": int(one.argmax())}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def fine_tune_chooser(
    checkpoint: str | Path, rows: Mapping[str, Dataset], output_dir: str | Path, *args: Any, **given: Any
) -> list[FineTuned]:
    """Fine-tune a network that chooses, with several seeds, and score it in every language.

    Args:
        checkpoint: What to start from; one that chose before (Social IQa, for COPA) keeps its head.
        rows: With `choices`, `label` and at least one of `context`, `text` and `question`; see `fine_tune_task`.
        output_dir: Gets a folder per seed.
        *args: See `fine_tune_task`.
        **given: See `fine_tune_task`; `choices` is a `ChoiceOptions`.

    Returns:
        A result per seed; folders hold `predictions_<data set>.jsonl`.
    """
    return fine_tune_task(MultipleChoice, checkpoint, rows, output_dir, *args, **given)


def right_choices(name: str, rows: Dataset, first: int | None = None) -> list[int]:
    """Find which choice is right, from 0; labels count from `first`, see `first_number`."""
    labels = [str(label).strip() for label in rows["label"][:]]
    choices = [[str(choice).strip() for choice in several] for several in rows["choices"][:]]
    literal = all(label in several for label, several in zip(labels, choices, strict=True))
    told = first_number(rows)
    start = (first or 0) if told is None else told
    found = []
    for row, (text, several) in enumerate(zip(labels, choices, strict=True), start=1):
        place = several.index(text) if literal else _place(text, several, start)
        if not 0 <= place < len(several):
            raise ValueError(
                f"{name}, row {row}: label {text!r} is none of the {len(several)} choices; give a number from {start},"
                " a letter from A, or the choice itself."
            )
        found.append(place)
    return found


def first_number(*parts: Dataset) -> int | None:
    """0 or 1, whichever the first data set without doubt counts labels from; None if both may be meant."""
    for rows in parts:
        numbers = [int(label) for label in rows["label"][:] if str(label).strip().isdecimal()]
        if 0 in numbers:
            return 0
        if numbers and max(numbers) == max(len(one or ()) for one in rows["choices"][:]):
            return 1
    return None


def _place(text: str, several: Sequence[str], first: int) -> int:
    if text.isdecimal():
        return int(text) - first
    if counted := _COUNTED.fullmatch(text):
        return int(counted[1]) - 1
    if len(text) == 1 and text.upper() in _LETTERS:
        return _LETTERS.find(text.upper())
    return several.index(text) if text in several else -1


def encode_choices(
    name: str,
    rows: Dataset,
    tokenizer: Any,
    options: ChoiceOptions,
    first: int | None = None,
    cut: Counter[str] | None = None,
) -> Dataset:
    """Encode every choice with what comes before it; `cut` gets the rows with a cut choice by language."""
    from datasets import Dataset

    there = [column for column in FIRST if column in rows.column_names]
    if not there:
        raise ValueError(f"{name} has no {', '.join(FIRST)}; there are {', '.join(rows.column_names)}.")
    choices = rows["choices"][:]
    count = len(choices[0])
    for row, several in enumerate(choices, start=1):
        if isinstance(several, str) or None in several:
            raise ValueError(f"{name}, row {row}: choices are {several!r:.60}, but must be a list without gaps.")
        if len(several) != count or count < 2:
            raise ValueError(f"{name}, row {row}: {len(several)} choices, the first row has {count}; 2 or more, alike.")
    firsts = [" ".join(part for part in parts if part) for parts in zip(*(rows[c][:] for c in there), strict=True)]
    limit = options.max_length or tokenizer.model_max_length
    pairs = (
        [first for first in firsts for _ in range(count)],
        [str(choice) for several in choices for choice in several],
    )
    encoded = tokenizer(*pairs, truncation=True, max_length=limit, return_token_type_ids=False)
    full = {place // count for place, ids in enumerate(encoded["input_ids"]) if len(ids) >= limit}
    if cut is not None and full:
        again = sorted(full)
        whole = tokenizer(
            [pairs[0][row * count] for row in again for _ in range(count)],
            [pairs[1][row * count + place] for row in again for place in range(count)],
            truncation=False,
        )["input_ids"]
        longest = [max(map(len, whole[place : place + count])) for place in range(0, len(whole), count)]
        cut.update(rows["language"][row] for row, tokens in zip(again, longest, strict=True) if tokens > limit)
    found: dict[str, list[Any]] = {
        key: [encoded[key][start : start + count] for start in range(0, len(firsts) * count, count)]
        for key in ("input_ids", "attention_mask")
    }
    return Dataset.from_dict({**found, "labels": right_choices(name, rows, first), "language": rows["language"][:]})


def choice_collator(tokenizer: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Return a function that pads rows of choices to one batch."""
    import torch

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        keys = ("input_ids", "attention_mask")
        flat = [{key: row[key][place] for key in keys} for row in rows for place in range(len(row["input_ids"]))]
        batch = tokenizer.pad(flat, return_tensors="pt")
        found = {key: batch[key].view(len(rows), -1, batch[key].shape[-1]) for key in keys}
        return {**found, "labels": torch.tensor([row["labels"] for row in rows])}

    return collate


def _accuracy(truth: np.ndarray, decided: np.ndarray) -> Scores:
    return {"accuracy": score("single_label_classification", truth, decided)["accuracy"]}

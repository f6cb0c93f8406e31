"""Heads that decide on texts: a class, a number, or the best of several continuations."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..data.features.texts import encode_texts
from .base import TaskHead, commonest
from .multiple_choice import ChoiceOptions, choice_collator, encode_choices, first_number, right_choices

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning.model import Head


class LabelHead(TaskHead):
    """One class a text or pair of texts."""

    model_head: "ClassVar[Head]" = "sequence"

    def encode(self, part: str) -> "Dataset":
        """Encode texts, cut off at the longest length; the log says how many."""
        rows = self.part(part)
        encoded = encode_texts(rows, self.tokenizer, max_length=self.setting.max_length)
        return encoded.add_column("labels", self._numbers(rows))

    def _numbers(self, rows: "Dataset") -> list[Any]:
        numbers = {label: number for number, label in enumerate(self.labels)}
        return [numbers.get(label, 0) for label in rows["label"]]  # one that train lacks has a loss, but no score

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return the likeliest class of each row."""
        return [self.labels[int(np.argmax(row))] for row in predictions]

    def references(self, part: str) -> list[Any]:
        """Return the classes."""
        return list(self.part(part)["label"])

    def trivial(self, part: str) -> list[Any]:
        """Return the commonest class of train for every row."""
        return [commonest(self.rows.train["label"])] * len(self.part(part))


class ScoreHead(LabelHead):
    """One number a pair of texts."""

    problem_type: ClassVar[str | None] = "regression"

    def _numbers(self, rows: "Dataset") -> list[Any]:
        return [float(score) for score in rows["score"]]

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return the number of each row."""
        return [float(np.ravel(row)[0]) for row in predictions]

    def references(self, part: str) -> list[Any]:
        """Return the right numbers."""
        return [float(score) for score in self.part(part)["score"]]

    def trivial(self, part: str) -> list[Any]:
        """Return one and the same number, whose correlation is 0."""
        return [0.0] * len(self.part(part))


class ChoiceHead(TaskHead):
    """One of several continuations."""

    model_head: "ClassVar[Head]" = "choices"

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads all choices of all rows to one length."""
        return choice_collator(self.tokenizer)

    @property
    def _first(self) -> int | None:
        return first_number(self.rows.train, self.rows.dev, self.rows.test)

    def encode(self, part: str) -> "Dataset":
        """Encode each text with each of its choices."""
        options = ChoiceOptions(max_length=self.setting.max_length)
        return encode_choices(f"{self.task.name} {part}", self.part(part), self.tokenizer, options, self._first)

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return the place of the likeliest choice of each row."""
        return [str(int(np.argmax(row))) for row in predictions]

    def references(self, part: str) -> list[Any]:
        """Return the place of the right choice, counted from 0."""
        return [str(place) for place in right_choices(f"{self.task.name} {part}", self.part(part), self._first)]

    def trivial(self, part: str) -> list[Any]:
        """Return the place that is right most often in train."""
        return [commonest(self.references("train"))] * len(self.part(part))

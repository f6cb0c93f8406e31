"""Heads that decide on texts: a class, a number, or the best of several continuations."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .heads import TaskHead, commonest, encoded_rows

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning_model import Head


class LabelHead(TaskHead):
    """One class a text or pair of texts."""

    model_head: "ClassVar[Head]" = "sequence"

    def encode(self, part: str) -> "Dataset":
        """Encode texts, cut off at the longest length."""
        rows = self.part(part)
        pairs = rows["text_pair"][:] if "text_pair" in rows.column_names else None
        encoded = _tokenised(self, rows["text"][:], pairs)
        return encoded_rows(encoded | {"labels": self._numbers(rows)}, rows["language"][:], range(len(rows)))

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
        from transformers import DataCollatorForMultipleChoice

        return DataCollatorForMultipleChoice(self.tokenizer)

    def encode(self, part: str) -> "Dataset":
        """Encode each text with each of its choices."""
        rows = self.part(part)
        asked = rows["question"][:] if "question" in rows.column_names else [""] * len(rows)
        texts = [f"{text} {question}".strip() for text, question in zip(rows["text"], asked, strict=True)]
        choices = rows["choices"][:]
        flat = _tokenised(
            self,
            [text for text, own in zip(texts, choices, strict=True) for _ in own],
            [choice for own in choices for choice in own],
        )
        ends = np.cumsum([len(own) for own in choices])
        columns = {
            name: [values[end - len(own) : end] for own, end in zip(choices, ends, strict=True)]
            for name, values in flat.items()
        }
        right = [int(label) for label in self.references(part)]
        return encoded_rows(columns | {"labels": right}, rows["language"][:], range(len(rows)))

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return the place of the likeliest choice of each row."""
        return [str(int(np.argmax(row))) for row in predictions]

    def references(self, part: str) -> list[Any]:
        """Return the place of the right choice, counted from 0."""
        return [
            _place(label, choices, f"{self.task.name} {part} row {number + 1}")
            for number, (label, choices) in enumerate(
                zip(self.part(part)["label"], self.part(part)["choices"], strict=True)
            )
        ]

    def trivial(self, part: str) -> list[Any]:
        """Return the place that is right most often in train."""
        return [commonest(self.references("train"))] * len(self.part(part))


def _tokenised(head: TaskHead, texts: list[str], pairs: list[str] | None) -> dict[str, list[Any]]:
    encoded = head.tokenizer(texts, pairs, truncation=True, max_length=head.setting.max_length)
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _place(label: str, choices: Sequence[str], where: str) -> str:
    """Read which choice is right: its place from 0 ("1"), or a name that counts from 1 ("choice2") or from A ("B")."""
    if label.isdecimal():
        place = int(label)
    elif label[-1:].isdecimal():
        place = int(label[-1]) - 1
    else:
        place = ord(label.upper()) - ord("A") if len(label) == 1 else -1
    if not 0 <= place < len(choices):
        raise ValueError(f"{where}: label {label!r} names none of the {len(choices)} choices, counted from 0")
    return str(place)

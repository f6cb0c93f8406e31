"""Heads that decide on words and passages: a tag a word, and the stretch of a passage that answers a question.

Words are read in running text (`mmbert.data.words`), never split apart; answers come back letter for letter. Reading
and finding are those of the scripts (`mmbert.data.WordRows`, `PassageRows`); only what is judged differs: here words
with labels that training lacks are judged and count as wrong, and "no answer" wins at 0, with nothing tuned on dev.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..data.features.passage_rows import PassageRows
from ..data.features.word_labels import UNLABELLED
from ..data.features.word_rows import WordRows
from ..evaluation.benchmark.catalogue import Task, TaskRows
from ..evaluation.benchmark.sweep import Setting
from .base import TaskHead, commonest

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning.model import Head


class TagHead(TaskHead):
    """One tag a word."""

    model_head: "ClassVar[Head]" = "tokens"

    def __init__(self, task: Task, rows: TaskRows, tokenizer: Any, setting: Setting) -> None:
        super().__init__(task, rows, tokenizer, setting)
        self._words: dict[str, WordRows] = {}

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads windows and their labels."""
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(self.tokenizer)

    def encode(self, part: str) -> "Dataset":
        """Encode sentences in windows; every word has one label."""
        rows, longest, stride = self.part(part), self.setting.max_length, self.setting.stride
        try:
            read = WordRows.read(rows, self.tokenizer, self.labels, max_length=longest, stride=stride, unknown="ignore")
        except ValueError as error:
            raise ValueError(f"{self.task.name} {part}, {error}") from None
        self._words[part] = read
        return read.rows

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return a tag for every word of every sentence."""
        found = self._words[part].predicted(predictions)
        return [found.get(number, []) for number in range(len(self.part(part)))]

    def references(self, part: str) -> list[Any]:
        """Return the right tags; a word that nobody tagged is "_" and is not judged."""
        return [["_" if tag in UNLABELLED else str(tag) for tag in tags] for tags in self.part(part)["tags"]]

    def trivial(self, part: str) -> list[Any]:
        """Return the commonest tag of train for every word."""
        tag = commonest(tag for tags in self.rows.train["tags"] for tag in tags if tag not in UNLABELLED)
        return [[tag] * len(words) for words in self.part(part)["tokens"]]


class AnswerHead(TaskHead):
    """A stretch of the passage for every question."""

    model_head: "ClassVar[Head]" = "spans"

    def __init__(self, task: Task, rows: TaskRows, tokenizer: Any, setting: Setting) -> None:
        super().__init__(task, rows, tokenizer, setting)
        self._passages: dict[str, PassageRows] = {}
        self._may_be_silent = any(not answers["text"] for answers in rows.train["answers"])

    def encode(self, part: str) -> "Dataset":
        """Encode questions and passages in windows; of several answers the first is learned."""
        longest, stride = self.setting.max_length, self.setting.stride
        # Only train needs to know where its answers stand; dev and test are judged by their texts.
        names = ["question", "context", "language", *(["answers"] if part == "train" else [])]
        try:
            read = PassageRows.read(
                self.part(part).select_columns(names),
                self.tokenizer,
                max_length=longest,
                stride=stride,
                max_question=min(64, longest // 4),
                unanswerable=True,
            )
        except ValueError as error:
            raise ValueError(f"{self.task.name} {part}, {error}") from None
        self._passages[part] = read
        return read.rows

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return the best stretch of each passage; nothing where silence wins and training knew it."""
        threshold = 0.0 if self._may_be_silent else None
        found = self._passages[part].answers(predictions, n_best=1, null_threshold=threshold)
        return [found[number].best.text for number in range(len(self.part(part)))]

    def references(self, part: str) -> list[Any]:
        """Return the right answers of each question."""
        return [list(answers["text"]) for answers in self.part(part)["answers"]]

    def trivial(self, part: str) -> list[Any]:
        """Return the whole passage for every question."""
        return list(self.part(part)["context"])

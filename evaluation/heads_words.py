"""Heads that decide on words and passages: a tag a word, and the stretch of a passage that answers a question.

Words are read in running text (`mmbert.data.words`), never split apart; answers come back letter for letter.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..data.answers import decode_answers
from ..data.passages import PassageEncoding, answer_spans, encode_passages
from ..data.running_text import join_words
from ..data.word_labels import tag_numbers
from ..data.words import WordEncoding, encode_running
from .heads import TaskHead, commonest, encoded_rows
from .protocol import Setting
from .tasks import Task, TaskRows

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning_model import Head


class TagHead(TaskHead):
    """One tag a word."""

    model_head: "ClassVar[Head]" = "tokens"

    def __init__(self, task: Task, rows: TaskRows, tokenizer: Any, setting: Setting) -> None:
        super().__init__(task, rows, tokenizer, setting)
        self._words: dict[str, list[WordEncoding]] = {}

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads windows and their labels."""
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(self.tokenizer)

    def encode(self, part: str) -> "Dataset":
        """Encode sentences in windows; every word has one label."""
        rows = self.part(part)
        texts = rows["text"][:] if "text" in rows.column_names else [None] * len(rows)
        running = [join_words(words, text=text) for words, text in zip(rows["tokens"], texts, strict=True)]
        self._words[part] = encodings = encode_running(
            self.tokenizer, running, max_length=self.setting.max_length, stride=self.setting.stride
        )
        columns: dict[str, list[Any]] = {"input_ids": [], "labels": []}
        owners = []
        for number, (encoding, tags) in enumerate(zip(encodings, rows["tags"], strict=True)):
            where = f"{self.task.name} {part} row {number + 1}"
            numbers = tag_numbers(tags, self.labels, where=where, words=len(rows["tokens"][number]), unknown="ignore")
            columns["input_ids"] += encoding.windows
            columns["labels"] += encoding.labels(numbers)
            owners += [number] * len(encoding.windows)
        columns["attention_mask"] = [[1] * len(ids) for ids in columns["input_ids"]]
        languages = rows["language"][:]
        return encoded_rows(columns, [languages[owner] for owner in owners], owners)

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return a tag for every word of every sentence."""
        found, at = [], 0
        for encoding in self._words[part]:
            windows = predictions[at : at + len(encoding.windows)]
            at += len(encoding.windows)
            found.append([self.labels[int(np.argmax(scores))] for scores in encoding.on_words(windows)])
        return found

    def references(self, part: str) -> list[Any]:
        """Return the right tags; a word that nobody tagged is "_" and is not judged."""
        return [[str(tag) if tag not in (None, "") else "_" for tag in tags] for tags in self.part(part)["tags"]]

    def trivial(self, part: str) -> list[Any]:
        """Return the commonest tag of train for every word."""
        tag = commonest(tag for tags in self.rows.train["tags"] for tag in tags)
        return [[tag] * len(words) for words in self.part(part)["tokens"]]


class AnswerHead(TaskHead):
    """A stretch of the passage for every question."""

    model_head: "ClassVar[Head]" = "spans"

    def __init__(self, task: Task, rows: TaskRows, tokenizer: Any, setting: Setting) -> None:
        super().__init__(task, rows, tokenizer, setting)
        self._passages: dict[str, list[PassageEncoding]] = {}
        self._may_be_silent = any(not answers["text"] for answers in rows.train["answers"])

    def encode(self, part: str) -> "Dataset":
        """Encode questions and passages in windows; of several answers the first is learned."""
        rows = self.part(part)
        longest = self.setting.max_length
        limit = {"max_length": longest, "stride": self.setting.stride, "max_question": min(64, longest // 4)}
        self._passages[part] = encodings = encode_passages(
            self.tokenizer, rows["question"][:], rows["context"][:], **limit
        )
        columns: dict[str, list[Any]] = {"input_ids": [], "start_positions": [], "end_positions": []}
        owners = []
        for number, encoding in enumerate(encodings):
            spans = (
                answer_spans(rows[number], where=f"{self.task.name} train row {number + 1}") if part == "train" else []
            )
            start, end = spans[0] if spans else (None, None)
            columns["input_ids"] += encoding.windows
            columns["start_positions"] += [first for first, _ in encoding.positions(start, end)]
            columns["end_positions"] += [last for _, last in encoding.positions(start, end)]
            owners += [number] * len(encoding.windows)
        columns["attention_mask"] = [[1] * len(ids) for ids in columns["input_ids"]]
        languages = rows["language"][:]
        return encoded_rows(columns, [languages[owner] for owner in owners], owners)

    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Return the best stretch of each passage; nothing where silence wins and training knew it."""
        found, at = [], 0
        for encoding in self._passages[part]:
            windows = predictions[at : at + len(encoding.windows)]
            at += len(encoding.windows)
            decoded = decode_answers(
                encoding,
                [scores[:, 0] for scores in windows],
                [scores[:, 1] for scores in windows],
                n_best=1,
                null_threshold=0.0 if self._may_be_silent else None,
            )
            found.append(decoded.best.text)
        return found

    def references(self, part: str) -> list[Any]:
        """Return the right answers of each question."""
        return [list(answers["text"]) for answers in self.part(part)["answers"]]

    def trivial(self, part: str) -> list[Any]:
        """Return the whole passage for every question."""
        return list(self.part(part)["context"])

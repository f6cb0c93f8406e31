"""Between a task's rows and the trainer: each head encodes its rows and reads its predictions back.

    encode(part, rows) -> rows of token ids        answers(part, predictions) -> one answer a row of the task

Long texts, sentences of words and passages are read in windows, so encoded rows are not the task's rows; each carries
the number of the row that it is of. Words are read in running text (`mmbert.data.words`), never split apart.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..data.answers import decode_answers
from ..data.passages import PassageEncoding, answer_spans, encode_passages
from ..data.running_text import join_words
from ..data.word_labels import tag_numbers
from ..data.words import WordEncoding, encode_running
from .protocol import Setting
from .tasks import Task, TaskRows

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers.finetuning_model import Head

_NO_HEAD = "task {name}: no head {head!r}"


class TaskHead(ABC):
    """What a head needs to be trained on a task and judged on it.

    Args:
        task: The task.
        rows: Its rows.
        tokenizer: The checkpoint's.
        setting: For the length of rows and windows.
    """

    model_head: "ClassVar[Head]"
    problem_type: ClassVar[str | None] = None

    def __init__(self, task: Task, rows: TaskRows, tokenizer: Any, setting: Setting) -> None:
        self.task, self.rows, self.tokenizer, self.setting = task, rows, tokenizer, setting
        self.labels: list[str] = list(rows.labels)

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads encoded rows to a batch."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(self.tokenizer)

    def part(self, name: str) -> "Dataset":
        """Return the task's rows of a part."""
        found: Dataset = getattr(self.rows, name)
        return found

    @abstractmethod
    def encode(self, part: str) -> "Dataset":
        """Encode the rows of `train`, `dev` or `test`; every encoded row has `row`, the number of the row it is of."""

    @abstractmethod
    def answers(self, part: str, predictions: Sequence[np.ndarray]) -> list[Any]:
        """Turn predictions for the encoded rows into one answer a row of the task."""

    @abstractmethod
    def references(self, part: str) -> list[Any]:
        """Return the right answers, one a row of the task."""

    @abstractmethod
    def trivial(self, part: str) -> list[Any]:
        """Return the answers of somebody who knows the training labels only, not the text."""


class LabelHead(TaskHead):
    """One class a text or pair of texts."""

    model_head: "ClassVar[Head]" = "sequence"

    def encode(self, part: str) -> "Dataset":
        """Encode texts, cut off at the longest length."""
        rows = self.part(part)
        pairs = rows["text_pair"][:] if "text_pair" in rows.column_names else None
        encoded = _tokenised(self, rows["text"][:], pairs)
        return _dataset(encoded | {"labels": self._numbers(rows)}, rows["language"][:], range(len(rows)))

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
        return [_commonest(self.rows.train["label"])] * len(self.part(part))


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
        return _dataset(columns | {"labels": right}, rows["language"][:], range(len(rows)))

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
        return [_commonest(self.references("train"))] * len(self.part(part))


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
        limit = {"max_length": self.setting.max_length, "stride": self.setting.stride}
        self._words[part] = encodings = encode_running(self.tokenizer, running, **limit)
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
        return _dataset(columns, [languages[owner] for owner in owners], owners)

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
        tag = _commonest(tag for tags in self.rows.train["tags"] for tag in tags)
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
        limit = {"max_length": self.setting.max_length, "stride": self.setting.stride}
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
        return _dataset(columns, [languages[owner] for owner in owners], owners)

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


HEADS: dict[str, type[TaskHead]] = {
    "labels": LabelHead,
    "score": ScoreHead,
    "choices": ChoiceHead,
    "tags": TagHead,
    "spans": TagHead,
    "answers": AnswerHead,
}


def _tokenised(head: TaskHead, texts: list[str], pairs: list[str] | None) -> dict[str, list[Any]]:
    encoded = head.tokenizer(texts, pairs, truncation=True, max_length=head.setting.max_length)
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _dataset(columns: dict[str, list[Any]], languages: Sequence[str], owners: Sequence[int]) -> "Dataset":
    from datasets import Dataset

    return Dataset.from_dict({**columns, "language": list(languages), "row": list(owners)})


def _commonest(values: Any) -> Any:
    """Return the commonest value; of equals the first in the alphabet."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], str(value)))


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

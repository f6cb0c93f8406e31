"""A task on labelled rows: it encodes, collates, decodes and scores them, knows its baseline and writes predictions.

    task = TextClassification({"train": ..., "dev": ..., "test": ...}, tokenizer)
    task.encoded["train"], task.collator, task(predictions, encoded rows), task.majority("test"), task.write(...)

The scripts, `mmbert evaluate` and `Classifier.train` all train through such an object (`training.py`). Long texts may
be read in windows, so encoded rows are not the source's rows; `row` of each says which one it is of.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ..data.labelled.read import places_by_language
from ..languages.fertility import count_texts
from .metrics.classification import Scores
from .metrics.intervals import Intervals

if TYPE_CHECKING:
    from datasets import Dataset

    from ..trainers import FineTuned
    from ..trainers.finetuning.model import Head

logger = logging.getLogger(__name__)

_MEASURED = 100  # texts per language that `token_facts` reads

OnBadRow = Literal["error", "skip", "wrong"]
"""A row of dev or test that training could not have learned: refuse it, leave it out, or count it as wrong."""


class Task(ABC):
    """Rows of a task, encoded for a network, and everything that is done with what the network says about them.

    Args:
        rows: Labelled rows by data set: `train`, perhaps `dev`, and what is tested.
        tokenizer: The checkpoint's.
        reading: How rows are read, an object of `reading_class`; None: its defaults.
        checkpoint: What training starts from: a head for the same labels keeps their order.

    Raises:
        ValueError: If rows, labels or options are of no use; the message says which.
    """

    name: ClassVar[str]  # as commands say it
    head: ClassVar[Head]
    reading_class: ClassVar[type[Any]]
    reading_name: ClassVar[str]  # under which records and old keyword arguments have it
    columns: ClassVar[Sequence[str | tuple[str, ...]]]  # see `read_labelled`
    same: ClassVar[Sequence[str]]  # columns that make a test row a copy of a training row
    score_names: ClassVar[Sequence[str]]  # every score that some rows may have
    younger: ClassVar[Sequence[str]] = ()  # options of reading that records of 0.1 do not have
    more_scores: Sequence[str] = ()  # scored on dev beside what baselines have
    problem_type: str | None = None

    def __init__(
        self, rows: Mapping[str, Dataset], tokenizer: Any, reading: Any = None, checkpoint: str | Path | None = None
    ) -> None:
        self.sources, self.tokenizer, self.reading = dict(rows), tokenizer, reading or self.reading_class()
        self.labels: list[str] = []
        self.facts: dict[str, Any] = {}  # what records shall hold beside scores
        self.cut: dict[str, dict[str, int]] = {}  # texts longer than max_length, by data set and language
        self.prepare(checkpoint)
        self.encoded = {name: self.encode(name) for name in list(self.sources)}

    @abstractmethod
    def prepare(self, checkpoint: str | Path | None) -> None:
        """Check columns and find labels, before anything is encoded."""

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads encoded rows to a batch."""
        from transformers import DataCollatorWithPadding

        return DataCollatorWithPadding(self.tokenizer)

    @abstractmethod
    def encode(self, name: str) -> Dataset:
        """Encode the rows of a data set."""

    @abstractmethod
    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score predictions for encoded rows, all or some of a data set; the main score comes first."""

    def intervals(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Intervals:
        """The 95 % intervals over rows of what a call gives, by score; of scores that have one."""
        return {}

    @abstractmethod
    def majority(self, name: str, rows: Sequence[int] | None = None) -> Scores:
        """Score whoever knows the training labels only, on all rows or on those of these numbers."""

    @abstractmethod
    def baselines(self, name: str) -> dict[str, Scores]:
        """Score what needs no network, by name."""

    @abstractmethod
    def write(self, name: str, result: FineTuned) -> None:
        """Write the predictions of a data set into the folder of a run."""

    def token_facts(self, name: str) -> dict[str, dict[str, float | None]]:
        """Measure what the vocabulary makes of a data set, by language, on at most so many of its texts.

        Args:
            name: The data set.

        Returns:
            By language `rows`, `tokens_per_word` (None where the script writes no blanks), `tokens_per_character`,
            `byte_share` and `cut`, the share of all its texts that `max_length` cut.
        """
        rows = self.sources[name]
        column = next(one for one in ("text", "context", "tokens", "choices") if one in rows.column_names)
        cut, facts = self.cut.get(name, {}), dict[str, dict[str, float | None]]()
        for tag, own in sorted(places_by_language(rows).items()):
            values = rows.select(own[:_MEASURED])[column][:]
            counts = count_texts((one if isinstance(one, str) else " ".join(map(str, one or ())) for one in values),
                                 self.tokenizer)  # fmt: skip
            facts[tag] = {
                "rows": len(own),
                "tokens_per_word": counts.tokens / counts.words if counts.words else None,
                "tokens_per_character": counts.tokens / max(1, counts.characters),
                "byte_share": counts.byte_tokens / max(1, counts.tokens),
                "cut": cut.get(tag, 0) / len(own),
            }
        return facts

    def require_columns(self, *names: str) -> None:
        """Refuse a data set that lacks a column."""
        for name, part in self.sources.items():
            if missing := [column for column in names if column not in part.column_names]:
                raise ValueError(f"{name} has no {missing[0]}; its columns are {', '.join(part.column_names)}.")

    def note_cut(self, name: str, languages: Sequence[str], cut: Mapping[str, int], limit: int, remedy: str) -> None:
        """Say, and keep for the record, how many texts of which languages were cut."""
        if not any(cut.values()):
            return
        counts = Counter(languages)
        self.cut[name] = {tag: number for tag, number in sorted(cut.items()) if number}
        worst = sorted(self.cut[name], key=lambda tag: (-self.cut[name][tag] / counts[tag], tag))
        told = ", ".join(f"{tag} {self.cut[name][tag] / counts[tag]:.0%}" for tag in worst[:5])
        more = f" and {len(worst) - 5} more languages" if len(worst) > 5 else ""
        total = sum(self.cut[name].values())
        logger.warning(
            "%s: %d of %d texts are longer than %d tokens and were cut (%s%s); %s",
            name, total, len(languages), limit, told, more, remedy,
        )  # fmt: skip

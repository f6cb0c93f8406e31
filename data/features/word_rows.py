"""Labelled words as rows of a trainer: a row a window, and from the predictions of windows back to sentences.

A label stands at one token a word and in one window only, so a sentence weighs the same however many windows it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ...common.deprecation import warn_renamed
from ..pretraining.masking import IGNORED
from .running_text import RunningText, join_words
from .word_labels import Entity, entities, tag_numbers
from .words import Borders, WordEncoding, encode_running

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class WordRows:
    """Sentences of words with their labels, encoded.

    Attributes:
        rows: A row a window: `input_ids`, `attention_mask`, `labels` (-100 but at the words it predicts), `language`
            and `row`, the number of the sentence.
        encodings: Of every sentence where its words are.
        gold: Of every sentence a label number a word, -100 where there is none.
        names: The labels, in the order of the head.
        empty: Sentences without words; they have no row.
        unknown: Words whose label the head does not know; they are not scored.
    """

    rows: Dataset
    encodings: list[WordEncoding]
    gold: list[list[int]]
    names: list[str]
    empty: int = 0
    unknown: int = 0

    @classmethod
    def read(
        cls,
        sentences: Dataset,
        tokenizer: Any,
        names: Sequence[str],
        *,
        max_length: int = 512,
        stride: int = 128,
        borders: Borders = "cut",
        joiner: str | None = None,
        unknown: Literal["error", "ignore"] = "error",
    ) -> WordRows:
        """Encodes sentences.

        Args:
            sentences: Columns `tokens` and `tags`; `text`, `spaces` and `language` where known. Without `tags`
                nothing is scored.
            tokenizer: A fast tokenizer with offsets.
            names: The head's labels, in order.
            max_length: Tokens in a window.
            stride: Tokens that neighbouring windows share.
            borders: See `encode_words`.
            joiner: See `join_words`; used where a sentence has neither text nor spaces.
            unknown: What to do with labels that are not among the names: refuse, or count and leave unscored.

        Returns:
            The rows.

        Raises:
            ValueError: There is no word, or words, tags and names do not fit; the message names the row.
        """
        from datasets import Dataset

        texts: list[RunningText] = []
        gold: list[list[int]] = []
        missed = 0
        for number, row in enumerate(sentences, start=1):
            words = list(row["tokens"])
            tags = list(row["tags"]) if row.get("tags") is not None else [None] * len(words)
            texts.append(_written(words, row, joiner, number))
            where = f"row {number}" + (f" ({row['language']})" if row.get("language") else "")
            gold.append(tag_numbers(tags, names, where=where, words=len(words), unknown=unknown))
            missed += sum(
                one == IGNORED and tag not in (None, "", "_") for one, tag in zip(gold[-1], tags, strict=True)
            )
        encodings = encode_running(tokenizer, texts, max_length=max_length, stride=stride, borders=borders)
        languages = sentences["language"] if "language" in sentences.column_names else ["und"] * len(texts)
        columns: dict[str, list[Any]] = {
            name: [] for name in ("input_ids", "attention_mask", "labels", "language", "row")
        }
        for number, (encoding, numbers) in enumerate(zip(encodings, gold, strict=True)):
            columns["input_ids"] += encoding.windows
            columns["attention_mask"] += [[1] * len(window) for window in encoding.windows]
            columns["labels"] += encoding.labels(numbers)
            columns["language"] += [languages[number]] * len(encoding.windows)
            columns["row"] += [number] * len(encoding.windows)
        if not columns["input_ids"]:
            raise ValueError(f"{len(texts)} rows have no word among them; name the column of tokens.")
        empty = sum(not encoding.windows for encoding in encodings)
        return cls(Dataset.from_dict(columns), encodings, gold, list(names), empty, missed)

    def predicted(self, predictions: Sequence[np.ndarray], rows: Dataset | None = None) -> dict[int, list[str]]:
        """Brings predictions back to words.

        Args:
            predictions: Scores (tokens, classes) or class numbers (tokens,) of every row; padding may follow.
            rows: Which rows they belong to, some or all of `rows`, whole sentences; None: all.

        Returns:
            A label a word, by number of the sentence.
        """
        windows: dict[int, list[Any]] = {}
        chosen = self.rows if rows is None else rows
        for example, scores in zip(chosen["row"], predictions, strict=True):
            numbers = scores.argmax(-1) if np.ndim(scores) == 2 else scores
            windows.setdefault(example, []).append(numbers)
        return {
            example: [self.names[int(number)] for number in self.encodings[example].on_words(found)]
            for example, found in windows.items()
        }

    def with_gold(
        self, predictions: Sequence[np.ndarray], rows: Dataset | None = None
    ) -> tuple[list[list[str]], list[list[str]]]:
        """Predicted and gold labels by sentence, for a metric; words without a gold label are left out of both."""
        guesses, truth = [], []
        for example, tags in self.predicted(predictions, rows).items():
            pairs = [(tag, one) for tag, one in zip(tags, self.gold[example], strict=True) if one != IGNORED]
            if pairs:
                guesses.append([tag for tag, _ in pairs])
                truth.append([self.names[one] for _, one in pairs])
        return guesses, truth

    def judged(self, *args: Any, **options: Any) -> tuple[list[list[str]], list[list[str]]]:
        """Return what `with_gold` does, by its name of 0.1."""
        warn_renamed("WordRows.judged", "WordRows.with_gold")
        return self.with_gold(*args, **options)

    def entities(self, predictions: Sequence[np.ndarray], rows: Dataset | None = None) -> dict[int, list[Entity]]:
        """Brings predictions back to stretches of characters.

        Args:
            predictions: See `predicted`.
            rows: See `predicted`.

        Returns:
            The entities, by number of the sentence; see `mmbert.data.entities`.
        """
        found = self.predicted(predictions, rows)
        return {example: entities(self.encodings[example].running, tags) for example, tags in found.items()}


def _written(words: list[str], row: dict[str, Any], joiner: str | None, number: int) -> RunningText:
    try:
        text, spaces = row.get("text"), row.get("spaces")
        if text or spaces is not None:
            return join_words(words, text=text, spaces=None if text else spaces)
        return join_words(words, joiner=joiner)
    except ValueError as error:
        raise ValueError(f"row {number}: {error}") from None

"""Tagging words, from labelled sentences to scores: parts of speech and names, in every language.

Labels that mark entities (B-PER, PER-B, B, or PER beside O: see `entity_scheme`) are scored as entities, as seqeval
does; others word by word. Sentences are read as running text (`mmbert.data.words`), so what is scored is every word,
however long its sentence.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.features.word_labels import UNLABELLED, Entity, entities, tag_names
from ..data.features.word_rows import WordRows
from ..data.features.words import Borders
from ..trainers import FineTuned, label_order
from .base import OnBadRow, Task
from .metrics.classification import Scores, as_prefixed, entity_scheme, span_scores, tag_scores
from .metrics.intervals import Intervals, span_intervals, tag_intervals
from .training import fine_tune_task

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TagOptions:
    """How sentences are read.

    Attributes:
        max_length: Tokens in a window; up to 8,192 for whole documents.
        stride: Tokens that neighbouring windows share.
        joiner: What stands between words where neither text nor spaces are known; None: as the language writes.
        borders: "cut" gives every word tokens of its own, "keep" leaves running text as it is.
        on_bad_row: "error" refuses labels in dev or test that training does not have, "skip" leaves the words unscored,
            "wrong" counts them as wrong.
        entities: Whether entities are scored, or words; None: entities where the labels mark some.
    """

    max_length: int = 512
    stride: int = 128
    joiner: str | None = None
    borders: Borders = "cut"
    on_bad_row: OnBadRow = "error"
    entities: bool | None = None


class TokenClassification(Task):
    """One tag per word."""

    name, head = "tagging", "tokens"
    reading_class, reading_name, younger = TagOptions, "words", ("entities",)
    columns, same = ("tokens", "tags"), ("tokens",)
    score_names = ("f1", "precision", "recall", "accuracy", "macro_f1", "run_f1")

    def prepare(self, checkpoint: str | Path | None) -> None:
        """Find the labels, and whether they mark entities."""
        self.require_columns("tokens", "tags")
        self.labels = tag_names(self.sources["train"]["tags"][:])
        if checkpoint is not None:
            self.labels = label_order(checkpoint, "tokens", self.labels)
        wanted = self.reading.entities
        self.scheme = None if wanted is False else entity_scheme(self.labels) or ("io" if wanted else None)
        self.parts: dict[str, WordRows] = {}
        self.right: dict[str, list[list[str | None]]] = {}  # of every sentence a label per word, None: not scored
        self.facts["left_out"] = {}

    @property
    def collator(self) -> Callable[[list[dict[str, Any]]], Any]:
        """Pads windows and their labels."""
        from transformers import DataCollatorForTokenClassification

        return DataCollatorForTokenClassification(self.tokenizer)

    def encode(self, name: str) -> Dataset:
        """Encode sentences in windows; every word has one label."""
        own, lenient = self.reading, self.reading.on_bad_row != "error"
        try:
            read = WordRows.read(
                self.sources[name],
                self.tokenizer,
                self.labels,
                max_length=own.max_length,
                stride=own.stride,
                borders=own.borders,
                joiner=own.joiner,
                unknown="ignore" if lenient else "error",
            )
        except ValueError as error:
            raise ValueError(f"{name}, {error}") from None
        counts = own.on_bad_row == "wrong"
        known = set(self.labels)
        self.parts[name] = read
        self.right[name] = [
            [None if tag in UNLABELLED or not (counts or tag in known) else str(tag) for tag in tags]
            for tags in self.sources[name]["tags"][:]
        ]
        self.facts["left_out"][name] = {"empty": read.empty, "unknown_labels": 0 if counts else read.unknown}
        if read.empty or read.unknown:
            what = "%s: %d sentences without words, %d words with labels unknown to training"
            logger.warning(what, name, read.empty, read.unknown)
        if name != "train":
            self._require_scored(name, read)
        return read.rows.add_column("part", [name] * len(read.rows))

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score words or entities, whichever the labels are."""
        name = rows["part"][0]
        found = self.parts[name].predicted(predictions, rows)
        return self._score(name, list(found), list(found.values()))

    def intervals(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Intervals:
        """The intervals over sentences."""
        name = rows["part"][0]
        found = self.parts[name].predicted(predictions, rows)
        sides = self._sides(name, list(found), list(found.values()))
        return tag_intervals(*sides) if self.scheme is None else span_intervals(*sides, scheme=self.scheme)

    def majority(self, name: str, rows: Sequence[int] | None = None) -> Scores:
        """Score the most frequent label of training everywhere."""
        most = Counter(tag for tags in self.right["train"] for tag in tags if tag is not None).most_common(1)[0][0]
        chosen = list(range(len(self.right[name])) if rows is None else rows)
        return self._score(name, chosen, [[most] * len(self.right[name][row]) for row in chosen])

    def baselines(self, name: str) -> dict[str, Scores]:
        """Score the most frequent label, and a word's most frequent label in training."""
        seen: dict[str, Counter[str]] = {}
        for word, tag in self._words("train"):
            seen.setdefault(word, Counter())[tag] += 1
        most = sum(seen.values(), Counter()).most_common(1)[0][0]
        memory = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
        recalled = [[memory.get(word, most) for word in one.running.words] for one in self.parts[name].encodings]
        everything = list(range(len(recalled)))
        if not any(tag is not None for tags in self.right[name] for tag in tags):
            return {}
        return {
            "majority": self._score(name, everything, [[most] * len(tags) for tags in recalled]),
            "word memory": self._score(name, everything, recalled),
        }

    def write(self, name: str, result: FineTuned) -> None:
        """Write a line of JSON per sentence: text, words, right and predicted tags, entities by their characters."""
        part, sentences = self.parts[name], self.sources[name]
        with (result.folder / f"predictions_{name}.jsonl").open("w", encoding="utf-8") as file:
            for number, tags in part.predicted(result.predictions[name]).items():
                row, running = sentences[number], part.encodings[number].running
                line = {"row": number, **{key: row[key] for key in ("id", "language") if key in row}}
                line |= {"text": running.text, "words": running.words, "spans": running.spans}
                line |= {"right": row["tags"], "predicted": tags}
                if self.scheme is not None:
                    line["entities"] = [plain_entity(one) for one in entities(running, as_prefixed(tags, self.scheme))]
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _score(self, name: str, rows: Sequence[int], guesses: Sequence[Sequence[str]]) -> Scores:
        sides = self._sides(name, rows, guesses)
        return tag_scores(*sides) if self.scheme is None else span_scores(*sides, scheme=self.scheme)

    def _sides(
        self, name: str, rows: Sequence[int], guesses: Sequence[Sequence[str]]
    ) -> tuple[list[list[str]], list[list[str]]]:
        """Predicted and right tags of the words that are scored, by sentence."""
        sides: tuple[list[list[str]], list[list[str]]] = ([], [])
        for row, tags in zip(rows, guesses, strict=True):
            pairs = [(tag, one) for tag, one in zip(tags, self.right[name][row], strict=True) if one is not None]
            if pairs:
                sides[0].append([tag for tag, _ in pairs])
                sides[1].append([one for _, one in pairs])
        return sides

    def _words(self, name: str) -> list[tuple[str, str]]:
        pairs = zip(self.parts[name].encodings, self.right[name], strict=True)
        return [
            (word, tag)
            for encoding, tags in pairs
            for word, tag in zip(encoding.running.words, tags, strict=True)
            if tag is not None
        ]

    def _require_scored(self, name: str, part: WordRows) -> None:
        """Refuse a language in which nothing can be scored now, not after the training."""
        languages = dict(zip(part.rows["row"][:], part.rows["language"][:], strict=True))
        scored = {languages[row] for row in languages if any(tag is not None for tag in self.right[name][row])}
        if silent := sorted(set(languages.values()) - scored):
            raise ValueError(
                f"{name} has no word with a label that training has in {', '.join(silent[:5])}; give its words labels, "
                "or leave the language out."
            )


def plain_entity(one: Entity) -> dict[str, Any]:
    """Return an entity as JSON holds it."""
    return {"label": one.label, "start": one.start, "end": one.end, "text": one.text}


def fine_tune_tagger(
    checkpoint: str | Path, rows: Mapping[str, Dataset], output_dir: str | Path, *args: Any, **given: Any
) -> list[FineTuned]:
    """Fine-tune a tagger with several seeds and score it in every language.

    Args:
        checkpoint: What to start from.
        rows: With `tokens` and `tags`; see `fine_tune_task`.
        output_dir: Gets a folder per seed.
        *args: See `fine_tune_task`.
        **given: See `fine_tune_task`; `words` is a `TagOptions`.

    Returns:
        A result per seed; folders hold `predictions_<data set>.jsonl`.
    """
    return fine_tune_task(TokenClassification, checkpoint, rows, output_dir, *args, **given)

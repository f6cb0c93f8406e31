"""Tagging words, from labelled sentences to scores: parts of speech and names, in every language.

Labels with "B-" or "I-" are spans and judged as seqeval does; others are judged word by word. Sentences are read as
running text (`mmbert.data.words`), so what is judged is every word, however long its sentence.
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

from ..data.corpora.rows import OnBadRow
from ..data.features.word_labels import tag_names
from ..data.features.word_rows import WordRows
from ..data.features.words import Borders
from ..data.pretraining.masking import IGNORED
from ..trainers import FineTuned, FineTuneOptions, label_order
from .metrics.classification import Scores, span_scores, tag_scores
from .multi_seed import SeededTask, fine_tune_seeds

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
        on_bad_row: "error" refuses labels in dev or test that training does not have, "skip" leaves the words unscored.
    """

    max_length: int = 512
    stride: int = 128
    joiner: str | None = None
    borders: Borders = "cut"
    on_bad_row: OnBadRow = "error"


def fine_tune_tagger(
    checkpoint: str | Path,
    rows: Mapping[str, Dataset],
    *,
    tokenizer: Any,
    output_dir: str | Path,
    options: FineTuneOptions | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    words: TagOptions | None = None,
    facts: Mapping[str, Any] | None = None,
    score: str | None = None,
) -> list[FineTuned]:
    """Fine-tune a tagger with several seeds and judge it in every language.

    Args:
        checkpoint: What to start from, see `mmbert.trainers.fine_tune`.
        rows: From `read_labelled`, with `tokens` and `tags`: `train`, perhaps `dev`, and any data sets to test on.
        tokenizer: The checkpoint's.
        output_dir: Gets a folder a seed, `seed-0`, ...; with one seed it is the network's folder itself.
        options: Hyper-parameters.
        seeds: One run each.
        words: How sentences are read.
        facts: What else the records shall hold.
        score: A score of the tests that will be wanted; one that there is not is refused before the training.

    Returns:
        A result a seed. Records hold `baselines` and `left_out`; folders hold `predictions_<data set>.jsonl`.

    Raises:
        ValueError: If rows, labels or options are of no use; the message says which.
    """
    from transformers import DataCollatorForTokenClassification

    reading = words or TagOptions()
    for name, part in rows.items():
        if missing := [column for column in ("tokens", "tags") if column not in part.column_names]:
            raise ValueError(f"{name} has no {missing[0]}; its columns are {', '.join(part.column_names)}.")
    names = label_order(checkpoint, "tokens", tag_names(rows["train"]["tags"][:]))
    parts = {name: _read(name, part, tokenizer, names, reading) for name, part in rows.items()}
    for name, part in parts.items():
        if name != "train":
            _require_judged(name, part)
    metrics = TagMetrics(parts)
    encoded = {name: part.rows.add_column("part", [name] * len(part.rows)) for name, part in parts.items()}

    def write(name: str, result: FineTuned) -> None:
        write_tags(result.folder / f"predictions_{name}.jsonl", parts[name], rows[name], result.predictions[name])

    task = SeededTask(
        head="tokens",
        sources=rows,
        encoded=encoded,
        same=["tokens"],
        collator=DataCollatorForTokenClassification(tokenizer),
        metrics=metrics,
        baselines={name: metrics.baselines(name) for name in parts if name != "train"},
        write=write,
        reading=("words", vars(reading)),
        facts={
            "left_out": {name: {"empty": part.empty, "unknown_labels": part.unknown} for name, part in parts.items()}
        },
        labels=names,
    )
    return fine_tune_seeds(
        checkpoint,
        task,
        tokenizer=tokenizer,
        output_dir=output_dir,
        options=options,
        seeds=seeds,
        score=score,
        facts=facts,
    )


class TagMetrics:
    """Scores of words or of spans, whichever the labels are.

    Args:
        parts: The data sets by name; rows that are scored say by a column `part` which one they are of.
    """

    def __init__(self, parts: Mapping[str, WordRows]) -> None:
        self.parts = parts
        self.spans = any(name[:2] in ("B-", "I-") for name in next(iter(parts.values())).names)

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score the predictions of rows."""
        return self._score(*self.parts[rows["part"][0]].judged(predictions, rows))

    def baselines(self, part: str) -> dict[str, Scores]:
        """Score what needs no network.

        Args:
            part: Name of a data set.

        Returns:
            `majority`: the most frequent label everywhere; `word memory`: a word's most frequent label in training,
            the most frequent one for words that training lacks.
        """
        seen: dict[str, Counter[int]] = {}
        for word, number in _labelled(self.parts["train"]):
            seen.setdefault(word, Counter())[number] += 1
        most = sum(seen.values(), Counter()).most_common(1)[0][0]
        memory = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
        judged, names = self.parts[part], self.parts[part].names
        truth, recalled = [], []
        for encoding, gold in zip(judged.encodings, judged.gold, strict=True):
            pairs = [(w, one) for w, one in zip(encoding.running.words, gold, strict=True) if one != IGNORED]
            if pairs:
                truth.append([names[one] for _, one in pairs])
                recalled.append([names[memory.get(word, most)] for word, _ in pairs])
        if not truth:
            return {}
        majority = [[names[most]] * len(tags) for tags in truth]
        return {"majority": self._score(majority, truth), "word memory": self._score(recalled, truth)}

    def _score(self, guesses: Sequence[Sequence[str]], truth: Sequence[Sequence[str]]) -> Scores:
        return (span_scores if self.spans else tag_scores)(guesses, truth)


def write_tags(path: Path, part: WordRows, sentences: Dataset, predictions: Sequence[np.ndarray]) -> None:
    """Write a line of JSON a sentence: text, words with right and predicted tags, and entities by their characters.

    Args:
        path: The file.
        part: The encoded sentences.
        sentences: The labelled sentences that they come from.
        predictions: Scores of the encoded rows.
    """
    found, named = part.predicted(predictions), part.entities(predictions)
    with path.open("w", encoding="utf-8") as file:
        for number, tags in found.items():
            row, running = sentences[number], part.encodings[number].running
            line = {"row": number, **{name: row[name] for name in ("id", "language") if name in row}}
            line |= {
                "text": running.text,
                "words": running.words,
                "spans": running.spans,
                "right": row["tags"],
                "predicted": tags,
            }
            if any(tag[:2] in ("B-", "I-") for tag in part.names):
                line["entities"] = [
                    {"label": one.label, "start": one.start, "end": one.end, "text": one.text} for one in named[number]
                ]
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _read(name: str, part: Dataset, tokenizer: Any, names: Sequence[str], reading: TagOptions) -> WordRows:
    try:
        read = WordRows.read(
            part,
            tokenizer,
            names,
            max_length=reading.max_length,
            stride=reading.stride,
            borders=reading.borders,
            joiner=reading.joiner,
            unknown="ignore" if reading.on_bad_row == "skip" else "error",
        )
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from None
    if read.empty or read.unknown:
        logger.warning(
            "%s: %d sentences without words, %d words with labels unknown to training", name, read.empty, read.unknown
        )
    return read


def _require_judged(name: str, part: WordRows) -> None:
    """Refuse a language in which nothing can be scored now, not after the training."""
    languages = dict(zip(part.rows["row"][:], part.rows["language"][:], strict=True))
    scored = {languages[row] for row in languages if any(number != IGNORED for number in part.gold[row])}
    if silent := sorted(set(languages.values()) - scored):
        raise ValueError(
            f"{name} has no word with a label that training has in {', '.join(silent[:5])}; give its words labels, or "
            "leave the language out."
        )


def _labelled(part: WordRows) -> list[tuple[str, int]]:
    return [
        (word, number)
        for encoding, gold in zip(part.encodings, part.gold, strict=True)
        for word, number in zip(encoding.running.words, gold, strict=True)
        if number != IGNORED
    ]

"""Questions on passages as rows of a trainer: a row a window, and from the scores of windows back to answers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.messages import flag
from .answers import Answers, decode_answers
from .passages import OnBadAnswer, PassageEncoding, answer_spans, encode_passages

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PassageRows:
    """Questions, passages and answers, encoded.

    Attributes:
        rows: A row a window: `input_ids`, `attention_mask`, `start_positions`, `end_positions` (the first right
            answer; both 0 where the window lacks it), `language` and `row`, the number of the question.
        encodings: Of every question its windows.
        ids: Of every question its id; its number if the data has none.
        gold: Of every question the right answers; none if it is unanswerable.
        languages: Of every question its language.
        bad_answers: Questions left out because an answer is not where the row says.
        no_answer: Questions left out because they have no answer and `unanswerable` was not set.
        unreachable: Questions none of whose answers begins and ends with a token: their exact match cannot be 1.
        questions_cut: Questions longer than `max_question` tokens.
        questions: Of every question its text.
    """

    rows: Dataset
    encodings: list[PassageEncoding]
    ids: list[str]
    gold: list[list[str]]
    languages: list[str]
    bad_answers: int = 0
    no_answer: int = 0
    unreachable: int = 0
    questions_cut: int = 0
    questions: Sequence[str] = ()

    @classmethod
    def read(
        cls,
        questions: Dataset,
        tokenizer: Any,
        *,
        max_length: int = 512,
        stride: int = 128,
        max_question: int = 64,
        unanswerable: bool = False,
        on_bad_answer: OnBadAnswer = "error",
    ) -> PassageRows:
        """Encodes questions.

        Args:
            questions: Columns `question`, `context` and `answers` (see `answer_spans`); `id` and `language` where
                known.
            tokenizer: A fast tokenizer with offsets.
            max_length: Tokens in a window; 8,192 reads whole documents.
            stride: Tokens of the passage that neighbouring windows share.
            max_question: Tokens of a question that are read.
            unanswerable: Keep questions without an answer; otherwise they are left out and counted.
            on_bad_answer: What to do if an answer is not where the row says: stop, or leave the question out and count.

        Returns:
            The rows.

        Raises:
            ValueError: Nothing is left, an id occurs twice, or an answer is not in its passage.
        """
        kept, spans, bad, silent = _with_answers(questions, unanswerable, on_bad_answer)
        if not kept:
            raise ValueError(
                f"none of {len(questions)} questions has an answer in its passage; {flag('unanswerable')} keeps them."
            )
        asked = [row["question"] for row in kept]
        encodings = encode_passages(
            tokenizer,
            asked,
            [row["context"] for row in kept],
            max_length=max_length,
            stride=stride,
            max_question=max_question,
        )
        languages = [str(row.get("language") or "und") for row in kept]
        ids = [str(number if row.get("id") is None else row["id"]) for number, row in enumerate(kept)]
        ids = _single(ids, languages)
        out_of_reach = sum(
            bool(found) and not any(encoding.reachable(*span) for span in found)
            for encoding, found in zip(encodings, spans, strict=True)
        )
        cut = sum(encoding.question_cut > 0 for encoding in encodings)
        gold = [[row["context"][a:b] for a, b in found] for row, found in zip(kept, spans, strict=True)]
        rows = _rows(encodings, spans, languages)
        return cls(rows, encodings, ids, gold, languages, bad, silent, out_of_reach, cut, asked)

    def answers(
        self, predictions: Sequence[np.ndarray], rows: Dataset | None = None, **options: Any
    ) -> dict[int, Answers]:
        """Brings scores back to answers.

        Args:
            predictions: Of every row start and end scores (tokens, 2); padding may follow.
            rows: Which rows they belong to, some or all of `rows`, whole questions; None: all.
            **options: See `decode_answers`.

        Returns:
            The answers, by number of the question.
        """
        windows: dict[int, list[np.ndarray]] = {}
        chosen = self.rows if rows is None else rows
        for example, scores in zip(chosen["row"], predictions, strict=True):
            windows.setdefault(example, []).append(np.asarray(scores, dtype=np.float32))
        return {
            example: decode_answers(
                self.encodings[example], [one[:, 0] for one in found], [one[:, 1] for one in found], **options
            )
            for example, found in windows.items()
        }


def _with_answers(
    questions: Dataset, unanswerable: bool, on_bad_answer: OnBadAnswer
) -> tuple[list[dict[str, Any]], list[list[tuple[int, int]]], int, int]:
    """Rows to keep, their answers, and how many answers were bad and how many questions had none."""
    kept: list[dict[str, Any]] = []
    spans: list[list[tuple[int, int]]] = []
    bad = silent = 0
    for number, row in enumerate(questions, start=1):
        where = f"row {number}" + (f" (id {row['id']})" if row.get("id") is not None else "")
        try:
            found = answer_spans(row, where=where)
        except ValueError:
            if on_bad_answer == "error":
                raise
            bad += 1
            continue
        if found or unanswerable:
            kept.append(dict(row))
            spans.append(found)
        else:
            silent += 1
    if bad or silent:
        logger.warning("left out %d questions whose answer is not in the passage, %d that have none", bad, silent)
    return kept, spans, bad, silent


def _rows(
    encodings: Sequence[PassageEncoding], spans: Sequence[Sequence[tuple[int, int]]], languages: Sequence[str]
) -> Dataset:
    from datasets import Dataset

    names = ("input_ids", "attention_mask", "start_positions", "end_positions", "language", "row")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for number, (encoding, found) in enumerate(zip(encodings, spans, strict=True)):
        places = encoding.positions(*(found[0] if found else (None, None)))
        columns["input_ids"] += encoding.windows
        columns["attention_mask"] += [[1] * len(window) for window in encoding.windows]
        columns["start_positions"] += [first for first, _ in places]
        columns["end_positions"] += [last for _, last in places]
        columns["language"] += [languages[number]] * len(encoding.windows)
        columns["row"] += [number] * len(encoding.windows)
    return Dataset.from_dict(columns)


def _single(ids: list[str], languages: list[str]) -> list[str]:
    """Parallel sets (XQuAD) have an id once a language: then the language joins it."""
    if len(set(ids)) < len(ids):
        ids = [f"{language}/{name}" for language, name in zip(languages, ids, strict=True)]
    if len(set(ids)) < len(ids):
        twice = next(name for number, name in enumerate(ids) if name in ids[:number])
        raise ValueError(f"id {twice!r} stands for two questions of one language; give every question its own.")
    return ids

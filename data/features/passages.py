"""Questions on passages as an encoder reads them, and where the answer stands, for training and for reading it back.

`<bos> question <eos> passage <eos>`, as the tokenizer writes a pair. A passage that does not fit is read in windows
that overlap by `stride` tokens; `max_length=8192` reads whole documents, for which mmBERT was made. Everything goes by
characters: a window knows which characters each of its tokens is, so that an answer comes back letter for letter.

In a window that does not hold the whole answer, and for questions without one, start and end are both the `<bos>`
token (SQuAD 2's convention). What this layout cannot do: an answer that begins or ends inside a token comes back as
the whole token. `PassageEncoding.reachable` says whether that is so; see docs/answering.md for how often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...modeling.tokenization_mmbert import SPACE
from .windows import window_room, windows_over

NOWHERE = 0  # column of <bos>: the answer is not in this window
OnBadAnswer = Literal["error", "skip"]


@dataclass(frozen=True)
class PassageEncoding:
    """A question and its passage, in one or more windows.

    Attributes:
        context: The passage, as given.
        windows: Token ids of every window, special tokens included.
        first: Column of the passage's first token, the same in all windows.
        offsets: Of every window the characters of its passage tokens, shape (tokens, 2).
        question_cut: Tokens of the question that did not fit and were left out.
    """

    context: str
    windows: list[list[int]]
    first: int
    offsets: list[NDArray[np.int64]]
    question_cut: int = 0

    def positions(self, start: int | None, end: int | None) -> list[tuple[int, int]]:
        """First and last column of an answer in every window; both 0, `<bos>`, where it does not fit in."""
        if start is not None and end is not None:
            start, end = _without_blanks(self.context, start, end)
        found = []
        for offsets in self.offsets:
            at = _tokens_of(offsets, start, end) if start is not None and end is not None else None
            found.append((NOWHERE, NOWHERE) if at is None else (at[0] + self.first, at[1] + self.first))
        return found

    def characters(self, window: int, start_column: int, end_column: int) -> tuple[int, int]:
        """Characters (first, one after the last) of the passage at columns of a window, without blanks at the ends."""
        start = int(self.offsets[window][start_column - self.first, 0])
        end = int(self.offsets[window][end_column - self.first, 1])
        return _without_blanks(self.context, start, end)

    def reachable(self, start: int, end: int) -> bool:
        """False if the answer begins or ends inside a token, or fits no window."""
        start, end = _without_blanks(self.context, start, end)
        places = enumerate(self.positions(start, end))
        return any(at != (NOWHERE, NOWHERE) and self.characters(window, *at) == (start, end) for window, at in places)


def encode_passages(
    tokenizer: Any,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    max_length: int = 512,
    stride: int = 128,
    max_question: int = 64,
) -> list[PassageEncoding]:
    """Reads questions and their passages.

    Args:
        tokenizer: A fast tokenizer with offsets.
        questions: The questions.
        contexts: A passage a question.
        max_length: Tokens in a window, question and special ones included; 8,192 for whole documents.
        stride: Tokens of the passage that neighbouring windows share.
        max_question: Tokens of a question that are read; the rest is counted in `question_cut`.

    Returns:
        An encoding a question.

    Raises:
        ValueError: Questions and passages differ in number, one is no text, or a window has no room for the passage.
    """
    if len(questions) != len(contexts):
        raise ValueError(f"{len(questions)} questions but {len(contexts)} passages; give one each.")
    for number, pair in enumerate(zip(questions, contexts, strict=True)):
        for name, text in zip(("question", "passage"), pair, strict=True):
            if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
                raise ValueError(f"{name} {number} is no valid Unicode string: {text!r:.60}; repair or drop its row.")
    if not questions:
        return []
    options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    asked = tokenizer(list(questions), return_attention_mask=False, **options)["input_ids"]
    read = tokenizer(list(contexts), return_attention_mask=False, return_offsets_mapping=True, **options)
    mark = tokenizer.convert_tokens_to_ids(SPACE)
    encodings = []
    for question, context, ids, offsets in zip(asked, contexts, read["input_ids"], read["offset_mapping"], strict=True):
        kept = question[:max_question]
        room = window_room(max_length, stride, special=len(kept) + 3)
        spans = np.array(offsets, dtype=np.int64).reshape(-1, 2)
        # A bare word mark in front of a letter has that letter's place; it is no part of any answer.
        bare = np.array(ids, dtype=np.int64) == (-1 if mark is None else mark)
        spans[bare, 1] = spans[bare, 0]
        windows, places = [], []
        for start, end in windows_over(len(ids), room, stride):
            head, tail = tokenizer.cls_token_id, tokenizer.sep_token_id
            windows.append([head, *kept, tail, *ids[start:end], tail])
            places.append(spans[start:end])
        encodings.append(PassageEncoding(context, windows, len(kept) + 2, places, len(question) - len(kept)))
    return encodings


def answer_spans(row: Mapping[str, Any], *, where: str = "") -> list[tuple[int, int]]:
    """Reads the answers of a labelled row as characters of its context, and checks them.

    Args:
        row: A row with `context` and `answers`: SQuAD's {"text": [...], "answer_start": [...]}, a list of such pairs
            {"text", "answer_start"}, or texts, with a column `answer_start` beside them. Without starts, the first
            occurrence counts.
        where: What to call the row in errors.

    Returns:
        First character and the one after the last, an answer each; none for an unanswerable question.

    Raises:
        ValueError: An answer is not where the row says, or nowhere in the context.
    """
    place = f"{where}: " if where else ""
    context = str(row["context"])
    texts, starts = _texts_and_starts(row)
    if len(starts) != len(texts):
        raise ValueError(f"{place}{len(texts)} answers but {len(starts)} answer starts; every answer needs one.")
    found = []
    for text, start in zip(texts, starts, strict=True):
        if not text:
            continue
        begin = context.find(text) if start is None else int(start)
        if begin < 0 or context[begin : begin + len(text)] != text:
            stands = "it is nowhere in it" if begin < 0 else f"there stands {context[begin : begin + len(text)]!r:.40}"
            near = context.find(text)
            hint = f"; it is at {near}" if begin >= 0 <= near else ""
            raise ValueError(
                f"{place}answer {text!r:.40} is not at character {begin} of its passage, {stands}{hint}."
                " Mend the row, or skip such rows."
            )
        found.append((begin, begin + len(text)))
    return found


def _texts_and_starts(row: Mapping[str, Any]) -> tuple[list[str], list[int | None]]:
    answers = row.get("answers")
    starts = row.get("answer_start")
    if isinstance(answers, Mapping):
        starts = answers.get("answer_start", starts)
        answers = answers.get("text")
    if answers is None:
        return [], []
    if isinstance(answers, str):
        answers = [answers]
    texts = list(answers)
    if texts and isinstance(texts[0], Mapping):
        starts = [pair.get("answer_start") for pair in texts]
        texts = [pair["text"] for pair in texts]
    if starts is None or (isinstance(starts, Sequence) and not len(starts)):
        return texts, [None] * len(texts)
    return texts, [starts] if isinstance(starts, int) else list(starts)


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _tokens_of(offsets: NDArray[np.int64], start: int, end: int) -> tuple[int, int] | None:
    """First and last token with letters of the characters start to end; None unless they cover all of them."""
    touching = np.flatnonzero((offsets[:, 0] < end) & (offsets[:, 1] > start))
    if not touching.size:
        return None
    first, last = int(touching[0]), int(touching[-1])
    inside = offsets[first, 0] <= start and offsets[last, 1] >= end
    return (first, last) if inside else None

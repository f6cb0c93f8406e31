"""Texts to batches of tokens: every text is tokenised once, sorted by length, and cut off by a budget of tokens.

A number of rows says little about a batch: 32 rows are 600 tokens or 260,000. A budget of tokens bounds time and memory
of a batch whatever is in it, and a long document stands alone instead of stretching fifty short ones to its length.

Texts are taken longest first, by characters, which is free; a window of them is tokenised at a time and sorted by the
number of tokens. So memory does not grow with the number of texts, and what might not fit fails at once.

Trade-off: within a window lengths are sorted exactly, across windows only as well as characters foretell tokens.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

_CHUNK_CHARACTERS = 200_000  # tokenised in one call: the tokenizer's own records take some 200 bytes a token
_CHUNK_TEXTS = 1_024
_WINDOW_BATCHES = 32  # batches whose tokens are held at a time; more would sort no better


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """One text as the network reads it."""

    row: int  # place in the input
    ids: Ids  # (tokens,) ids, with those that begin and end a text
    cut: bool  # whether the text was longer than the limit


class TextTokenizer:
    """Turns texts, each behind a prompt, into ids cut at a limit, specials included."""

    def __init__(self, tokenizer: Any, limit: int | None, prompt: str | None = None) -> None:
        self.tokenizer, self.limit, self.prompt = tokenizer, limit, prompt or ""

    def __call__(self, texts: Sequence[str], rows: Sequence[int]) -> list[TokenizedText]:
        """Tokenise some of the texts, in the order of `rows`."""
        encoded = self.tokenizer(
            [self.prompt + texts[row] for row in rows],
            padding=False,
            truncation=self.limit is not None,
            max_length=self.limit,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        found = []
        for row, ids, encoding in zip(rows, encoded["input_ids"], encoded.encodings, strict=True):
            cut = len(ids) == self.limit and bool(encoding.overflowing)
            found.append(TokenizedText(row, np.asarray(ids, dtype=np.int32), cut))
        return found


def token_batches(
    texts: Sequence[str], tokenize: TextTokenizer, budget: int, max_rows: int | None = None, *, padded: bool = False
) -> Iterator[list[TokenizedText]]:
    """Yield batches of similar lengths and at most `budget` tokens (one text may exceed it), the longest first."""
    window: list[TokenizedText] = []
    held = 0
    for rows in _chunks(texts):
        for text in tokenize(texts, rows):
            window.append(text)
            held += len(text.ids)
        if held >= _WINDOW_BATCHES * budget:
            yield from _cut(window, budget, max_rows, padded=padded)
            window, held = [], 0
    yield from _cut(window, budget, max_rows, padded=padded)


def _chunks(texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield rows to be tokenised together, texts with the most characters first."""
    chunk: list[int] = []
    characters = 0
    for row in sorted(range(len(texts)), key=lambda row: len(texts[row]), reverse=True):
        if chunk and (characters + len(texts[row]) > _CHUNK_CHARACTERS or len(chunk) >= _CHUNK_TEXTS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(row)
        characters += len(texts[row])
    if chunk:
        yield chunk


def _cut(
    window: list[TokenizedText], budget: int, max_rows: int | None, *, padded: bool
) -> Iterator[list[TokenizedText]]:
    """Sort a window by tokens and cut it into batches."""
    batch: list[TokenizedText] = []
    tokens = 0
    for text in sorted(window, key=lambda text: len(text.ids), reverse=True):
        grown = (len(batch) + 1) * len(batch[0].ids) if padded and batch else tokens + len(text.ids)
        if batch and (grown > budget or len(batch) == max_rows):
            yield batch
            batch, tokens = [], 0
        batch.append(text)
        tokens += len(text.ids)
    if batch:
        yield batch

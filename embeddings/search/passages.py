"""Cuts a long document into passages that one vector can stand for, each with its place in the document.

    document -> tokens with their places -> windows of so many tokens, that end where the text does: at a blank line,
    else a line's end, else a sentence's, else a space -> passages

One vector for 8,192 tokens says what a document is about; a passage of some 256 says where something stands. A passage
is the document's own characters [start:end], so it can be shown, and looked up in the file.

Trade-off: a break is sought in the last half of a window only, so passages hold between half and all of the tokens that
were asked for, and a sentence longer than half a window may be cut in two.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_BREAKS = (  # the best first; each match ends where a passage may end
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n"),
    re.compile(r"[.!?…。！？।॥؟۔։።]+[\"'”’»)\]]*\s*"),
    re.compile(r"\s+"),
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Attributes:
        text: Its characters, without white space around them.
        start: Place of the first in the document.
        end: Place after the last.
        line: Number of the line where it begins, from 1.
    """

    text: str
    start: int
    end: int
    line: int


def cut_passages(text: str, tokenizer: Any, tokens: int, overlap: int = 0) -> Iterator[Passage]:
    """Cut a document.

    Args:
        text: The document.
        tokenizer: A fast tokenizer of transformers.
        tokens: Most tokens of a passage, those that begin and end a text not counted.
        overlap: Tokens of a passage that the next one repeats.

    Yields:
        Passages in the order of the document; together they hold all of its characters but white space.

    Raises:
        ValueError: If `tokens` is below 8, or `overlap` is not between 0 and half of it.
    """
    if tokens < 8:
        raise ValueError(f"a passage needs at least 8 tokens, got {tokens}")
    if not 0 <= overlap <= tokens // 2:
        raise ValueError(f"overlap must lie between 0 and half of the {tokens} tokens of a passage, got {overlap}")
    line, counted = 1, 0
    for start, end in _windows(text, tokenizer, tokens, overlap):
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        last = start + len(piece.rstrip())
        if first < last:
            line += text.count("\n", counted, first) if first >= counted else -text.count("\n", first, counted)
            counted = first
            yield Passage(text[first:last], first, last, line)


def _windows(text: str, tokenizer: Any, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield [start, end) of windows that cover the text."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, truncation=False, verbose=False)
    begins = [begin for begin, _ in encoded["offset_mapping"]]  # not falling; bytes of one character share theirs
    first, start = 0, 0
    while first < len(begins):
        after = first + size
        if after >= len(begins):
            yield start, len(text)
            return
        end = _break(text, begins[first + size // 2], begins[after])
        end = end if end > start else begins[after] if begins[after] > start else len(text)
        yield start, end
        following = _first_at(begins, end, after)
        first = max(first + 1, following - overlap)
        start = end if first >= following else begins[first]


def _break(text: str, low: int, high: int) -> int:
    """Return the last good place to end at in (low, high]."""
    for pattern in _BREAKS:
        end = max((match.end() for match in pattern.finditer(text, low, high)), default=low)
        if end > low:
            return end
    return high


def _first_at(begins: list[int], place: int, most: int) -> int:
    """Return the first token that begins at a place or after it; it is none after `most`."""
    number = most
    while number > 0 and begins[number - 1] >= place:
        number -= 1
    return number

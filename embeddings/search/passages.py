"""Cuts a long document into passages that one vector can stand for, each with its place in the document.

    document -> tokens with their places -> windows of so many tokens, that end where the text does: at a blank line,
    else a line's end, else a sentence's, else a clause's, else a space -> passages

One vector for 8,192 tokens says what a document is about; a passage of some 256 says where something stands. A passage
is the document's own characters [start:end], so it can be shown, and looked up in the file.

Trade-off: a break is sought in the last half of a window only, so a sentence longer than that may be cut in two. What
is left over at the end is never less than a quarter of a window: a crumb's vector is near to everything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import regex

# The best first; each match ends where a passage may end. Latin signs end a sentence before a blank only (3.5, a.py);
# those of other scripts always do; Thai and Lao end theirs with a blank; Tibetan with a shad.
_BREAKS = (
    regex.compile(r"\n[^\S\n]*\n\s*"),
    regex.compile(r"\n\s*"),
    regex.compile(
        r"(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[\p{Sentence_Terminal}།--[.!?]]+[\"'”’»」』）)\]]*)\s*"
        r"|(?<=[\p{Thai}\p{Lao}])\ +(?=\S)",
        regex.V1,
    ),
    regex.compile(r"(?:[,;:–](?=\s)|[\p{Terminal_Punctuation}--[.!?,;:]]+)\s*", regex.V1),
    regex.compile(r"\s+"),
)
_MARK = regex.compile(r"\p{M}")


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
        if (left := len(begins) - first) <= size:
            yield start, len(text)
            return
        after = first + min(size, left - size // 4)
        end = _break(text, begins[first + size // 2], begins[after])
        end = end if end > start else begins[after] if begins[after] > start else len(text)
        yield start, end
        following = _first_at(begins, end, after)
        first = max(first + 1, following - overlap)
        start = end if first >= following else begins[first]


def _break(text: str, low: int, high: int) -> int:
    """The last good place to end at in (low, high]; never between a letter and its marks if that can be helped."""
    for pattern in _BREAKS:
        end = max((match.end() for match in pattern.finditer(text, low, high)), default=low)
        if end > low:
            return end
    end = high
    while end > low and end < len(text) and _MARK.match(text, end):
        end -= 1
    return end if end > low else high


def _first_at(begins: list[int], place: int, most: int) -> int:
    """The first token that begins at a place or after it; `most` if none does."""
    number = most
    while number > 0 and begins[number - 1] >= place:
        number -= 1
    return number

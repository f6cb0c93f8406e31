"""Cuts tokens that reach over the border of two words: "▁東京都" becomes 東京 and 都, the second without a mark.

The words are read again by the tokenizer's model, which knows pieces and no text; what the layout's normalizer and
pre-tokenizer do around it (a mark for a blank, one more at the very start, a cut before every mark) is done here.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from ..modeling.tokenizer import SPACE
from .running_text import RunningText

Token = tuple[int, int, int]  # id, first character, one after the last


def cut_at_borders(tokenizer: Any, running: RunningText, tokens: list[Token]) -> list[Token]:
    """Reads the words again that share a token with another, each by itself.

    Args:
        tokenizer: Of mmBERT's layout, or other BPE.
        running: The text and its words.
        tokens: All tokens of the text, in order.

    Returns:
        The tokens of the text, none of which has letters of two words.
    """
    spans = [span for span in running.spans if span[0] < span[1]]
    starts, ends = [start for start, _ in spans], [end for _, end in spans]
    whole: list[Token] = []
    at = 0
    while at < len(tokens):
        first, last = _words_of(tokens[at], starts, ends)
        if last <= first:
            whole.append(tokens[at])
            at += 1
            continue
        # Take along all tokens of these words, and the words that those reach.
        begin, stop = tokens[at][1], tokens[at][2]
        while whole and whole[-1][2] > starts[first]:
            begin = min(begin, whole.pop()[1])
        at += 1
        while at < len(tokens) and tokens[at][1] < max(stop, ends[last]):
            last = max(last, _words_of(tokens[at], starts, ends)[1])
            stop = max(stop, tokens[at][2])
            at += 1
        whole += _read_apart(tokenizer, running.text, begin, max(stop, ends[last]), spans[first : last + 1])
    return whole


def _words_of(token: Token, starts: Sequence[int], ends: Sequence[int]) -> tuple[int, int]:
    """First and last word that a token has letters of; the last before the first if none."""
    return bisect_right(ends, token[1]), bisect_left(starts, token[2]) - 1


def _read_apart(tokenizer: Any, text: str, begin: int, stop: int, words: Sequence[tuple[int, int]]) -> Iterator[Token]:
    """Tokens of text[begin:stop], cut before every word but the first; blanks stay with the word after them."""
    cuts = [begin]
    for (_, before), (start, _) in pairwise(words):
        while start > before and text[start - 1] == " ":
            start -= 1
        cuts.append(start)
    model = tokenizer.backend_tokenizer.model
    for start, end in zip(cuts, [*cuts[1:], stop], strict=True):
        for piece_start, piece_end in _marked_pieces(text, start, end):
            piece = text[piece_start:piece_end].replace(" ", SPACE)
            added = start == 0 and piece_start == 0 and not piece.startswith(SPACE)
            yield from _model_tokens(model, SPACE + piece if added else piece, piece_start - added, piece_start)


def _marked_pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut before every blank, as the layout's pre-tokenizer does."""
    last = start
    for at in range(start + 1, end):
        if text[at] in (" ", SPACE):
            yield last, at
            last = at
    if last < end:
        yield last, end


def _model_tokens(model: Any, piece: str, shift: int, lowest: int) -> Iterator[Token]:
    """Tokens of one piece; the model counts bytes of its characters (or one a byte token), we count characters."""
    at = 0  # bytes
    lengths = [len(character.encode()) for character in piece]
    character_of = [number for number, length in enumerate(lengths) for _ in range(length)]
    for token in model.tokenize(piece):
        width = 1 if _is_byte(token.value, piece, character_of[at]) else len(token.value.encode())
        first, last = character_of[at], character_of[at + width - 1]
        yield token.id, max(first + shift, lowest), max(last + shift, lowest) + 1
        at += width


def _is_byte(value: str, piece: str, at: int) -> bool:
    """Whether a token is one byte of a character, not the six signs "<0x0A>" of the text."""
    return len(value) == 6 and value.startswith("<0x") and not piece.startswith(value, at)

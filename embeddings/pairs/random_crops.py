"""Pairs for those who have none: two random pieces of one stretch of a document, which speak of the same thing.

    crops(document)  ->  [("the ferry to the island leaves at", "island leaves at eight in the morning, but"), ...]

Contriever's independent cropping (Izacard et al., arXiv 2112.09118): each piece begins anywhere and is 5 to 50 % of its
text long, so two of them may share words, as a question and its passage do. Contriever's texts have 256 tokens; a
stretch here is 192 words, about as many. Pieces are drawn from the text alone: the same documents give the same pairs
in any order, on any machine.
"""

import random
import re
import unicodedata
from collections.abc import Iterator

STRETCH = 192
"""Units of a stretch: words, or characters in scripts without blanks (some 256 tokens, Contriever's texts)."""
LEAST = 16
"""Units below which a document is too short: half of it would be a phrase that fits anywhere (chosen here)."""
_SHARES = (0.05, 0.5)  # Contriever
_SHORTEST_PIECE = 4  # units; a word or two say nothing (chosen here)
_LONG_WORD = 16  # characters on the mean: no script that writes blanks has such words


def crops(text: str, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Draw a pair of pieces from every stretch of a document."""
    units = _units(text)
    if len(units) < LEAST:
        return
    count = max(1, round(len(units) / STRETCH))
    draw = random.Random(f"{seed}/{text}")  # once: it reads the whole text
    for number in range(count):
        first = number * STRETCH
        stretch = units[first : first + STRETCH] if number + 1 < count else units[first:]
        one, other = _piece(stretch, draw), _piece(stretch, draw)
        while one == other:
            other = _piece(stretch, draw)
        yield text[one[0] : one[1]], text[other[0] : other[1]]


def _piece(units: list[tuple[int, int]], draw: random.Random) -> tuple[int, int]:
    length = max(_SHORTEST_PIECE, round(len(units) * draw.uniform(*_SHARES)))
    begin = draw.randrange(len(units) - length + 1)
    return units[begin][0], units[begin + length - 1][1]


def _units(text: str) -> list[tuple[int, int]]:
    """Find the words of a text, or its characters with their marks where it writes no blanks."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    if sum(end - begin for begin, end in words) <= _LONG_WORD * len(words):
        return words
    found: list[tuple[int, int]] = []
    for at, character in enumerate(text):
        if found and unicodedata.category(character).startswith("M"):
            found[-1] = (found[-1][0], at + 1)
        elif not character.isspace():
            found.append((at, at + 1))
    return found

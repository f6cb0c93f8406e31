"""How much of the held-out text a number of kept tokens reads as before.

A word is read as before exactly if all its tokens are kept (`vocabulary.py`), so it is covered from the place of its
last token in the ranking on. One pass gives the coverage of every vocabulary size.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from .text_counts import Word


@dataclass(frozen=True, slots=True)
class LanguageCoverage:
    """Coverage of one language's held-out words.

    Attributes:
        language: Its tag, or "texts".
        documents: All documents of the language, held-out ones included.
        words: Running held-out words.
        covered: Share of them that is read as before.
        distinct: Different held-out words.
        distinct_covered: Share of those.
        tokens: Share of running held-out tokens that is kept.
    """

    language: str
    documents: int
    words: int
    covered: float
    distinct: int
    distinct_covered: float
    tokens: float

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON.

        Returns:
            Field to value.
        """
        return asdict(self)


class CoverageCurve:
    """Coverage of words as a function of the number of kept tokens.

    Args:
        words: Word to number of occurrences; at least one.
        order: The ranking.
    """

    def __init__(self, words: Mapping[Word, int], order: Sequence[int]) -> None:
        place = {token: number for number, token in enumerate(order, start=1)}
        never = len(order) + 1
        found = sorted((max(place.get(token, never) for token in word), number) for word, number in words.items())
        self._places = [at for at, _ in found]
        self._running = list(accumulate(number for _, number in found))
        tokens = sorted((place.get(token, never), number) for word, number in words.items() for token in word)
        self._token_places = [at for at, _ in tokens]
        self._token_running = list(accumulate(number for _, number in tokens))

    @property
    def words(self) -> int:
        """Number of running words."""
        return self._running[-1]

    @property
    def distinct(self) -> int:
        """Number of different words."""
        return len(self._places)

    def covered(self, kept: int) -> float:
        """Share of running words that the first `kept` tokens cover."""
        return _share(self._places, self._running, kept)

    def distinct_covered(self, kept: int) -> float:
        """Share of different words that the first `kept` tokens cover."""
        return bisect.bisect_right(self._places, kept) / len(self._places)

    def tokens_covered(self, kept: int) -> float:
        """Share of running tokens that are among the first `kept`."""
        return _share(self._token_places, self._token_running, kept)

    def needed(self, share: float) -> int:
        """Number of tokens that cover a share of running words; past the end of the ranking if none do."""
        return self._places[bisect.bisect_left(self._running, share * self._running[-1])]


def _share(places: list[int], running: list[int], kept: int) -> float:
    at = bisect.bisect_right(places, kept)
    return running[at - 1] / running[-1] if at else 0.0

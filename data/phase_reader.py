"""The rows of one phase, each a closed form of (phase, seed, row number).

A phase is cut into blocks of 64 rows. After b blocks a language has been drawn floor(b * rate + offset) times:
systematic sampling, so its draws are never more than one away from their target, however long the run, and any block
is computed without those before it. The chunks of a block are dealt to its rows longest first, each to the emptiest
row, so rows are equally full, nothing is cut off and nothing is padded: a row holds about `context_length` tokens, a
little more or less. Over many blocks a row's mean is the context length exactly; a static shape would need padding or
cut documents, and an unpadded network needs neither.
"""

import heapq
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..recipes import Phase
from .chunks import SPECIALS_A_CHUNK, ChunkTable, language_key
from .mixture import LanguageMixture
from .shards import TokenShards

ROWS_A_BLOCK = 64
_BLOCKS_KEPT = 4


@dataclass(frozen=True)
class _Block:
    """The draws of one block, before any token is read: shape (n,) each, sorted by row."""

    language: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    row_ends: NDArray[np.int64]


class PhaseReader:
    """Reads the rows of one phase.

    Args:
        phase: The phase, its languages spelt out.
        languages: Every language of the run, to number them.
        shards: Where the tokens are.
        seed: Decides the draws of this phase.
    """

    def __init__(self, phase: Phase, languages: Sequence[str], shards: TokenShards, seed: int) -> None:
        self.phase = phase
        read = sorted(shards.languages if phase.reads_all else phase.languages)
        counts = {language: shards.token_counts[language] for language in read}
        self.shares = LanguageMixture(counts, phase.temperature, phase.shares).probabilities()
        self.table = ChunkTable(shards, read, phase.context_length, seed)
        self.number = np.array([languages.index(language) for language in read], dtype=np.int64)
        share = np.array([self.shares[language] for language in read])
        # Chunks of a language drawn in each block, so that its tokens, specials included, meet its share.
        self._rate = ROWS_A_BLOCK * phase.context_length * share / self.table.mean_length
        self._offset = np.array([language_key(f"{language}/offset", seed) / 2**64 for language in read])
        self._seed = seed
        self._kept: OrderedDict[int, _Block] = OrderedDict()

    def rows(self, first: int, end: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Return what rows first <= r < end of the phase read.

        Args:
            first: First row.
            end: Row after the last.

        Returns:
            For each row the language (index into the phase's table), start and length of its pieces.
        """
        found = []
        for row in range(first, end):
            block = self._block(row // ROWS_A_BLOCK)
            place = row % ROWS_A_BLOCK
            inside = slice(block.row_ends[place - 1] if place else 0, block.row_ends[place])
            found.append((block.language[inside], block.start[inside], block.length[inside]))
        return found

    def _block(self, number: int) -> _Block:
        if number not in self._kept:
            self._kept[number] = self._deal(number)
            if len(self._kept) > _BLOCKS_KEPT:
                self._kept.popitem(last=False)
        return self._kept[number]

    def draws_before(self, block: int) -> NDArray[np.int64]:
        """Return how often each language was drawn in the blocks before this one.

        Args:
            block: Number of the block.

        Returns:
            Draws, shape (languages,).
        """
        draws: NDArray[np.int64] = np.floor(block * self._rate + self._offset).astype(np.int64)
        return draws

    def _deal(self, number: int) -> _Block:
        before, after = self.draws_before(number), self.draws_before(number + 1)
        counts = after - before
        language = np.repeat(np.arange(len(counts)), counts)
        draw = np.arange(len(language)) - np.repeat(np.cumsum(counts) - counts, counts) + before[language]
        language, start, length = _at_least_a_chunk_a_row(language, *self.table.locate(language, draw))
        generator = np.random.default_rng([self._seed, number])
        # Shuffled before the stable sort, so that equal lengths do not follow the alphabet of languages.
        order = generator.permutation(len(language))
        order = order[np.argsort(-length[order], kind="stable")]
        row = np.empty(len(order), dtype=np.int64)
        row[order] = generator.permutation(ROWS_A_BLOCK)[_emptiest_row(length[order])]
        order = order[np.argsort(row[order], kind="stable")]
        ends = np.searchsorted(row[order], np.arange(ROWS_A_BLOCK), side="right")
        return _Block(language[order], start[order], length[order], ends)


def _at_least_a_chunk_a_row(
    language: NDArray[np.int64], start: NDArray[np.int64], length: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Halve the longest chunks until there is one for every row: chunks as long as a row leave some rows without."""
    while len(length) < ROWS_A_BLOCK:
        longest = int(np.argmax(length))
        half = max(1, int(length[longest]) // 2)
        language = np.append(language, language[longest])
        start = np.append(start, start[longest] + length[longest] - half)
        length = np.append(length, half)
        length[longest] = max(1, length[longest] - half)
    return language, start, length


def _emptiest_row(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each chunk, longest first, to the row with the fewest tokens so far."""
    heap = [(0, row) for row in range(ROWS_A_BLOCK)]
    rows = np.empty(len(lengths), dtype=np.int64)
    for index, length in enumerate(lengths.tolist()):
        tokens, row = heap[0]
        rows[index] = row
        heapq.heapreplace(heap, (tokens + length + SPECIALS_A_CHUNK, row))
    return rows

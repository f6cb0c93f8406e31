"""The rows of one phase, each a closed form of (phase, seed, row number).

A phase is cut into blocks of 64 rows. After b blocks a language has been drawn floor(b * rate + offset) times:
systematic sampling, so its draws are never more than one away from their target, however long the run, and any block
is computed without those before it. The chunks of a block are dealt to its rows longest first, each to the emptiest
row, so rows are equally full, nothing is cut off and nothing is padded: a row holds about `context_length` tokens, a
little more or less. Over many blocks a row's mean is the context length; a static shape would need padding or cut
documents, and an unpadded network needs neither. Full and less full rows alternate, so that the parts of a step, which
are runs of rows, have about equally many tokens too.
"""

import heapq
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...languages.mixture import LanguageMixture
from ...recipes import Phase
from ..hashing import language_key, scramble
from ..shards import TokenShards
from .epoch_cap import EpochReport, cap_epochs
from .spans import SPECIALS_PER_CHUNK, ChunkTable, Integers

logger = logging.getLogger(__name__)

ROWS_PER_BLOCK = 64
_BLOCKS_KEPT = 4
# Bit reversal (van der Corput): of rows ranked by their tokens, any run of places gets an even selection.
_SPREAD = np.array([int(f"{rank:06b}"[::-1], 2) for rank in range(ROWS_PER_BLOCK)], dtype=np.int64)


@dataclass(frozen=True)
class Pieces:
    """Chunks by row, before any token is read: shape (n,) each."""

    language: Integers  # index into the languages of the phase's table
    start: Integers  # where the piece begins in its language's tokens
    length: Integers  # its tokens without specials
    row: Integers  # row of the phase, ascending; every row has at least one piece


class PhaseReader:
    """Reads the rows of one phase: `shares` after the cap on epochs, `epochs` what the cap did, `table` the chunks."""

    shares: dict[str, float]  # target share of the tokens of each language, after the cap on epochs
    epochs: EpochReport  # what the cap did
    table: ChunkTable  # the chunks
    number: Integers  # index in `languages` of each language of the table

    def __init__(self, phase: Phase, languages: Sequence[str], shards: TokenShards, seed: int) -> None:
        self.phase = phase
        counts = shards.token_counts
        read = sorted(counts if phase.reads_all else phase.languages)
        self.epochs = capped_shares(phase, {language: counts[language] for language in read})
        self.shares = self.epochs.shares
        self.table = ChunkTable(shards, read, phase.context_length, seed)
        places = {language: place for place, language in enumerate(languages)}
        self.number = np.array([places[language] for language in read], dtype=np.int64)
        share = np.array([self.shares[language] for language in read])
        # Draws of a language in each block, so that its tokens, specials included, meet its share.
        self._rate = ROWS_PER_BLOCK * phase.context_length * share / self.table.mean_length
        self._offset = np.array([language_key(f"{language}/offset", seed) / 2**64 for language in read])
        self._seed = np.uint64(seed)
        self._kept: OrderedDict[int, Pieces] = OrderedDict()

    def pieces(self, first: int, end: int) -> Pieces:
        """Return what rows first <= r < end of the phase read, row by row."""
        found = []
        for number in range(first // ROWS_PER_BLOCK, (end - 1) // ROWS_PER_BLOCK + 1):
            block = self._block(number)
            inside = slice(*np.searchsorted(block.row, [first, end]))
            found.append((block.language[inside], block.start[inside], block.length[inside], block.row[inside]))
        return Pieces(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def _block(self, number: int) -> Pieces:
        if number not in self._kept:
            self._kept[number] = self._deal(number)
            if len(self._kept) > _BLOCKS_KEPT:
                self._kept.popitem(last=False)
        return self._kept[number]

    def draws_before(self, block: int) -> Integers:
        """Return how often each language (languages,) was drawn in the blocks before this one."""
        draws: Integers = np.floor(block * self._rate + self._offset).astype(np.int64)
        return draws

    def _draw(self, number: int) -> tuple[Integers, Integers, Integers]:
        """Return language, start and length of the chunks of a block."""
        before, after = self.draws_before(number), self.draws_before(number + 1)
        counts = after - before
        language = np.repeat(np.arange(len(counts)), counts)
        draw = np.arange(len(language)) + np.repeat(before - (np.cumsum(counts) - counts), counts)
        return self.table.locate(language, draw) if len(draw) else (draw, draw, draw)

    def _deal(self, number: int) -> Pieces:
        language, start, length = self._draw(number)
        later = number
        while not len(length):  # every span drawn lies inside a longer piece: about never, and then no row may be empty
            later += 1
            language, start, length = self._draw(later)
        language, start, length = _at_least_a_chunk_a_row(language, start, length)
        key = scramble(scramble(np.array([number + 1], dtype=np.uint64)) ^ self._seed)
        # Equal lengths in shuffled order, so that they do not follow the alphabet of languages.
        lottery = scramble(np.arange(len(length), dtype=np.uint64) ^ key)
        order = np.lexsort((lottery, -length))
        row = _emptiest_row(length[order])
        fullness = np.bincount(row, weights=length[order] + SPECIALS_PER_CHUNK, minlength=ROWS_PER_BLOCK)
        place = np.empty(ROWS_PER_BLOCK, dtype=np.int64)
        place[np.argsort(fullness, kind="stable")] = _SPREAD ^ int(key[0] % np.uint64(ROWS_PER_BLOCK))
        row = place[row]
        by_row = np.argsort(row, kind="stable")
        order = order[by_row]
        return Pieces(language[order], start[order], length[order], number * ROWS_PER_BLOCK + row[by_row])


def capped_shares(phase: Phase, token_counts: dict[str, int]) -> EpochReport:
    """Target shares of a phase: temperature, fixed shares, cap on epochs; too little text for the cap is logged."""
    shares = LanguageMixture(token_counts, phase.temperature, phase.shares).probabilities()
    report = cap_epochs(
        shares,
        token_counts,
        tokens=phase.batches.rows_before(phase.steps) * phase.context_length,
        max_epochs=phase.max_epochs,
        fixed=phase.shares,
        phase=phase.name,
    )
    if report.lifted:
        logger.warning(report.summary())
    elif report.capped:
        logger.info(report.summary())
    return report


def _at_least_a_chunk_a_row(
    language: Integers, start: Integers, length: Integers
) -> tuple[Integers, Integers, Integers]:
    """Halve the longest chunks until there is one for every row: chunks as long as a row leave some rows without."""
    while len(length) < ROWS_PER_BLOCK:
        longest = int(np.argmax(length))
        half = max(1, int(length[longest]) // 2)
        language = np.append(language, language[longest])
        start = np.append(start, start[longest] + length[longest] - half)
        length = np.append(length, half)
        length[longest] = max(1, length[longest] - half)
    return language, start, length


def _emptiest_row(lengths: Integers) -> Integers:
    """Give each chunk, longest first, to the row with the fewest tokens so far."""
    heap = [(0, row) for row in range(ROWS_PER_BLOCK)]
    rows: NDArray[np.int64] = np.empty(len(lengths), dtype=np.int64)
    for index, length in enumerate(lengths.tolist()):
        tokens, row = heap[0]
        rows[index] = row
        heapq.heapreplace(heap, (tokens + length + SPECIALS_PER_CHUNK, row))
    return rows

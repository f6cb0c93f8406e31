"""TIES step 1: keep the largest k entries of a task vector, exactly, without ever holding the vector.

The magnitudes of float32 numbers sort like the integers their bits spell, so the k-th largest is found by counting:
one pass counts the upper 16 bits, a second the lower 16 bits of those that share the winning upper half. Two passes
over the files, 130,000 counters, no sampling and no rounding. Exactly k entries stay: of those that equal the k-th
magnitude, the first in the order of the vector (names sorted, elements in row-major order) are kept, so the result
does not depend on shards, pieces or the order of the variants. bfloat16 checkpoints have many such equals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from .parents import Parents

_HALF = 1 << 16


@dataclass(frozen=True, slots=True)
class Cut:
    """What survives the trim of one vector."""

    key: int  # bits of the smallest magnitude kept; everything above it is kept
    ties: int  # how many entries of exactly that magnitude are kept, counted from the front


KEEP_ALL = Cut(-1, 0)
KEEP_NONE = Cut((1 << 31) - 1, 0)


class Trimmer:
    """Applies a cut to a vector that arrives in pieces, in order."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._left = cut.ties

    def trim(self, piece: torch.Tensor) -> torch.Tensor:
        """Zero what does not survive in the vector's next float32 piece; the piece itself if all of it is kept."""
        if self._cut == KEEP_ALL:
            return piece
        keys = magnitude_keys(piece)
        keep = keys > self._cut.key
        if self._left:
            equal = (keys == self._cut.key).nonzero().flatten()[: self._left]
            keep[equal] = True
            self._left -= len(equal)
        return piece * keep


def magnitude_keys(values: torch.Tensor) -> torch.Tensor:
    """Non-negative int32 that sort as the magnitudes of float32 numbers do, of the same shape."""
    return values.abs().view(torch.int32)


def kept_count(density: float, size: int) -> int:
    """Number of entries that a density in (0, 1] keeps: floor(density x size), the density read as a decimal."""
    return int(Fraction(repr(float(density))) * size)


def find_cuts(parents: Parents, names: Sequence[str], density: float) -> list[Cut]:
    """Find the cut of every variant over the given parameters taken as one vector."""
    size = sum(parents.numel(name) for name in names)
    kept = kept_count(density, size)
    variants = len(parents.checkpoints) - 1
    if kept in (0, size):
        return [KEEP_ALL if kept else KEEP_NONE] * variants
    upper = np.zeros((variants, _HALF // 2), dtype=np.int64)
    for _, _, (base, *others) in parents.pieces(names):
        for counts, other in zip(upper, others, strict=True):
            counts += np.bincount((magnitude_keys(other - base) >> 16).numpy(), minlength=_HALF // 2)
    halves = [_from_the_top(counts, kept) for counts in upper]
    lower = np.zeros((variants, _HALF), dtype=np.int64)
    for _, _, (base, *others) in parents.pieces(names):
        for counts, (half, _), other in zip(lower, halves, others, strict=True):
            keys = magnitude_keys(other - base)
            inside = keys[keys >> 16 == half] & (_HALF - 1)
            counts += np.bincount(inside.numpy(), minlength=_HALF)
    cuts = []
    for counts, (half, above) in zip(lower, halves, strict=True):
        rest, more = _from_the_top(counts, kept - above)
        cuts.append(Cut(half << 16 | rest, kept - above - more))
    return cuts


def _from_the_top(counts: np.ndarray, wanted: int) -> tuple[int, int]:
    """Find the highest bin at which `wanted` entries are reached, and how many lie above it."""
    reached = np.cumsum(counts[::-1])
    place = int(np.searchsorted(reached, wanted))
    return len(counts) - 1 - place, int(reached[place] - counts[::-1][place])

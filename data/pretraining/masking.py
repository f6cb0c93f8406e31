"""Masking for masked-language modelling: 80 % <mask>, 10 % a random token, 10 % left as it is.

Each ordinary token is chosen independently at the masking ratio (ModernBERT src/sequence_packer.py, mlm_masking). Two
differences from that code, both on the side of BERT and transformers: special tokens are never chosen, and random ones
come from the whole ordinary vocabulary. A row always has at least one chosen token, since a mean over none is NaN.

Randomness is a hash of (key of the row, column), as in counter-based generators, not the state of one: a token's fate
does not depend on what was masked before it, whole batches are masked in one go, and no release of NumPy can change it
(NEP 19 lets its generators change).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..hashing import scramble

IGNORED = -100  # the label that torch's cross-entropy skips
_STEP = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's: 2**64 over the golden ratio
_FATE = np.uint64(0xD1B54A32D192ED03)  # sets the second draw of a token apart from the first
_LOW, _HALF = np.uint64(2**32 - 1), np.uint64(32)
_MASK_BELOW, _TOKEN_BELOW = np.uint64(int(0.8 * 2**32)), np.uint64(int(0.9 * 2**32))


def row_noise(keys: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Draw 64 random bits per token, (sum of lengths,), each a function of its row's key and its column alone."""
    starts = (np.cumsum(lengths) - lengths).astype(np.uint64)
    counter = np.arange(int(lengths.sum()), dtype=np.uint64) * _STEP
    counter += np.repeat(keys - starts * _STEP, lengths)
    return scramble(counter)


@dataclass(frozen=True)
class Masker:
    """Masks rows of token ids."""

    mask_id: int  # id of `<mask>`
    special: NDArray[np.bool_]  # which ids are special, a boolean array over the vocabulary

    def __post_init__(self) -> None:
        if not 0 <= self.mask_id < len(self.special):
            raise ValueError(f"mask id {self.mask_id} lies outside the vocabulary of {len(self.special)} tokens.")
        ordinary = np.flatnonzero(~self.special)
        if not ordinary.size:
            raise ValueError("a vocabulary of special tokens only cannot be masked; train one on text.")
        object.__setattr__(self, "_ordinary", ordinary)

    def mask(
        self, input_ids: NDArray[np.int64], ratio: float, noise: NDArray[np.uint64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Mask rows laid end to end: ids to read and labels, both (T,), -100 where nothing is predicted."""
        if not 0 < ratio < 1:
            raise ValueError(f"masking ratio must lie between 0 and 1, got {ratio}; write 0.15 for 15 %.")
        places = np.flatnonzero(noise < np.uint64(int(ratio * 2**64)))
        places = places[~self.special[input_ids[places]]]
        places = np.concatenate([places, self._nearest_miss(input_ids, noise, lengths, places)])
        chosen = input_ids[places]
        labels = np.full_like(input_ids, IGNORED)
        labels[places] = chosen
        draw = scramble(noise[places] ^ _FATE)
        fate = draw >> _HALF
        ordinary: NDArray[np.int64] = self._ordinary  # type: ignore[attr-defined]
        other = ordinary[((draw & _LOW) * np.uint64(len(ordinary))) >> _HALF]
        masked = input_ids.copy()
        masked[places] = np.where(fate < _MASK_BELOW, self.mask_id, np.where(fate < _TOKEN_BELOW, other, chosen))
        return masked, labels

    def _nearest_miss(
        self,
        input_ids: NDArray[np.int64],
        noise: NDArray[np.uint64],
        lengths: NDArray[np.int64],
        places: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Return, of each row without a chosen token, the ordinary one that came nearest to being drawn."""
        ends = np.cumsum(lengths)
        before = np.searchsorted(places, np.stack([ends - lengths, ends]))
        found = []
        for row in np.flatnonzero(before[0] == before[1]).tolist():
            start, end = int(ends[row] - lengths[row]), int(ends[row])
            ordinary = start + np.flatnonzero(~self.special[input_ids[start:end]])
            if ordinary.size:
                found.append(int(ordinary[np.argmin(noise[ordinary])]))
        return np.array(found, dtype=np.int64)

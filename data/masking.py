"""Masking for masked-language modelling: 80 % <mask>, 10 % a random word, 10 % left as it is.

Each ordinary token is chosen independently at the masking ratio (ModernBERT src/sequence_packer.py, mlm_masking). Two
differences from that code, both on the side of BERT and transformers: special tokens are never chosen, and random words
come from the whole ordinary vocabulary. A row always has at least one chosen token, since a mean over none is NaN.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IGNORED = -100  # the label that torch's cross-entropy skips


@dataclass(frozen=True)
class Masker:
    """Masks rows of token ids.

    Attributes:
        mask_id: Id of `<mask>`.
        special: Which ids are special, a boolean array over the vocabulary.
    """

    mask_id: int
    special: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not 0 <= self.mask_id < len(self.special):
            raise ValueError(f"mask id {self.mask_id} lies outside the vocabulary of {len(self.special)} words.")
        ordinary = np.flatnonzero(~self.special)
        if not ordinary.size:
            raise ValueError("a vocabulary of special tokens only cannot be masked; train one on text.")
        object.__setattr__(self, "_ordinary", ordinary)

    def mask(
        self, input_ids: NDArray[np.int64], ratio: float, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Mask one row.

        Args:
            input_ids: Token ids, shape (T,).
            ratio: Masking ratio, between 0 and 1.
            generator: Where the draws come from.

        Returns:
            The ids to read and the labels, both of shape (T,); a label is -100 where nothing is to be predicted.

        Raises:
            ValueError: If the ratio is not between 0 and 1.
        """
        if not 0 < ratio < 1:
            raise ValueError(f"masking ratio must lie between 0 and 1, got {ratio}; write 0.15 for 15 %.")
        draw = generator.random(len(input_ids))
        open_to_it = ~self.special[input_ids]
        chosen = (draw < ratio) & open_to_it
        if not chosen.any() and open_to_it.any():
            # The token that came nearest to being drawn, so that no further draw is needed.
            chosen[np.argmin(np.where(open_to_it, draw, np.inf))] = True
        labels = np.where(chosen, input_ids, IGNORED)
        places = np.flatnonzero(chosen)
        fate = generator.random(len(places))
        ordinary: NDArray[np.int64] = self._ordinary  # type: ignore[attr-defined]
        words = ordinary[generator.integers(len(ordinary), size=len(places))]
        masked = input_ids.copy()
        masked[places] = np.where(fate < 0.8, self.mask_id, np.where(fate < 0.9, words, input_ids[places]))
        return masked, labels

"""What a batch holds, travelling beside its tensors.

It is no tensor, so accelerate leaves it on the CPU: to enter a batch in the ledger, or to name one whose loss is not
finite, nobody waits for the GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.collator import PackedCollator
from ..data.stream import PackedRows


@dataclass(frozen=True, slots=True)
class Witness:
    """Facts of one micro-batch.

    Attributes:
        steps: Optimizer step of each item.
        languages: Language number of each sequence, shape (n,).
        lengths: Tokens of each sequence, shape (n,).
        scored: Tokens to predict.
    """

    steps: tuple[int, ...]
    languages: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scored: int

    @classmethod
    def of(cls, items: Sequence[PackedRows]) -> "Witness":
        """Describe the items of a batch.

        Args:
            items: One or several packed rows.

        Returns:
            The witness.
        """
        return cls(
            tuple(item.step for item in items),
            np.concatenate([item.languages for item in items]),
            np.concatenate([item.lengths for item in items]),
            sum(int((item.labels != -100).sum()) for item in items),
        )


class WitnessCollator(PackedCollator):
    """`PackedCollator` whose batches carry their `witness`, which the trainer takes out before the model reads."""

    def __call__(self, items: Sequence[PackedRows]) -> dict[str, Any]:
        """Collate; see `PackedCollator`."""
        return {**super().__call__(items), "witness": Witness.of(items)}

"""What a student is trained towards: the teacher's vectors, as they are or with the mean of a group taken off.

Encoders place languages apart, which costs retrieval across them and says nothing about the meaning. Less the mean of
their language, vectors of one meaning lie together. A student of such targets does not live in the teacher's space:
its vectors are compared with each other, not with the teacher's.

Vectors stay on disk; a few rows at a time are read, and centred when they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ....common.messages import require_known
from .label_store import LabelStore

Centre = Literal["none", "all", "language"]
CENTRES = ("none", "all", "language")
LEAST = 50
"""Vectors that a language needs for a mean of its own (chosen here); smaller ones share one."""
_BLOCK = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Rows of targets, like an array (rows, dimensions) of float32.

    Attributes:
        vectors: All vectors of the store.
        rows: (n,) which of them.
        groups: (n,) the mean of each, by number; None where nothing is taken off.
        means: (groups, dimensions).
    """

    vectors: Any
    rows: npt.NDArray[np.int64]
    groups: npt.NDArray[np.int64] | None = None
    means: npt.NDArray[np.float32] | None = None

    @classmethod
    def of(
        cls, store: LabelStore, texts: Sequence[str], languages: Sequence[str], centre: Centre = "none"
    ) -> "Targets":
        """Take the vectors of texts."""
        require_known("center", centre, CENTRES)
        found = cls(store.vectors(), store.rows(texts))
        if centre == "none":
            return found
        names, numbers = np.unique(
            np.asarray(languages if centre == "language" else [""] * len(texts), dtype=str), return_inverse=True
        )
        sizes = np.bincount(numbers, minlength=len(names))
        numbers = np.where(sizes[numbers] >= LEAST, numbers, len(names)) if centre == "language" else numbers
        sums = np.zeros((len(names) + 1, store.dimensions))
        for first in range(0, len(texts), _BLOCK):
            np.add.at(sums, numbers[first : first + _BLOCK], found[first : first + _BLOCK])
        sizes = np.maximum(np.bincount(numbers, minlength=len(names) + 1), 1)
        return replace(found, groups=numbers.astype(np.int64), means=(sums / sizes[:, None]).astype(np.float32))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        """Dimensions."""
        return int(self.vectors.shape[1])

    def __getitem__(self, which: Any) -> npt.NDArray[np.float32]:
        """Return some rows, (n, dimensions)."""
        found = np.asarray(self.vectors[self.rows[which]], dtype=np.float32)
        if self.groups is None or self.means is None:
            return found
        found -= self.means[self.groups[which]]
        lengths = np.linalg.norm(found, axis=-1, keepdims=True)
        return np.asarray(found / np.maximum(lengths, 1e-12), dtype=np.float32)

    def select(self, which: npt.NDArray[np.int64]) -> "Targets":
        """Return other rows of the same targets, such as one for every text of a student."""
        return replace(self, rows=self.rows[which], groups=None if self.groups is None else self.groups[which])

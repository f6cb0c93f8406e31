"""Which texts were seen before, by their 64-bit hashes: exact copies only, nothing near.

Memory: 8 bytes a document that is kept, and as much again for a moment while sorted runs are merged; one language is
held at a time. A false hit drops a document that is no copy: among n documents of a language the odds that it happens
at all are below n**2 / 2**65, 3 % at a billion documents.
"""

import hashlib
import unicodedata

import numpy as np
from numpy.typing import NDArray


def text_hash(text: str) -> int:
    """Hash a text; canonically equal spellings (Unicode NFC) count as the same text.

    Args:
        text: The text.

    Returns:
        64 bits.
    """
    return bytes_hash(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))


def bytes_hash(content: bytes) -> int:
    """Hash bytes, such as those of token ids where the text is not known.

    Args:
        content: The bytes.

    Returns:
        64 bits.
    """
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


class SeenHashes:
    """A set of 64-bit hashes in a few sorted arrays."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Take hashes in and say which of them are new.

        Args:
            hashes: Shape (n,).

        Returns:
            True where a hash comes for the first time, here or in an earlier call, shape (n,).
        """
        unique, first = np.unique(hashes, return_index=True)
        fresh = np.ones(len(unique), dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            fresh &= run[place] != unique
        new = np.zeros(len(hashes), dtype=np.bool_)
        new[first[fresh]] = True
        if fresh.any():
            self._keep(unique[fresh])
        return new

    def _keep(self, run: NDArray[np.uint64]) -> None:
        # Runs at least halve in size from one to the next, so there are about log2(n) of them.
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)

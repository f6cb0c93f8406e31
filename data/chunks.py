"""Chunks: documents cut to the context length, and each language's endless shuffled order of them.

A document longer than the context is cut into pieces of context - 2 tokens; every piece is read as `<bos> piece <eos>`
(recipe.md section 6 on Ettin's chunking, with an <eos> on every piece, so that a piece looks like a document). One pass
over a language visits every chunk once, in an order of its own.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .permutation import permute, scramble
from .shards import TokenShards

SPECIALS_A_CHUNK = 2  # <bos> and <eos>


class ChunkTable:
    """The chunks of several languages at one context length.

    Args:
        shards: Where the tokens are.
        languages: Languages to read.
        context_length: Longest chunk in tokens, specials included.
        seed: Decides the order of every pass.
    """

    def __init__(self, shards: TokenShards, languages: Sequence[str], context_length: int, seed: int) -> None:
        self.shards = shards
        self.languages = list(languages)
        self.piece = context_length - SPECIALS_A_CHUNK
        # _first[l][d] is the number of chunks in the documents before d.
        self._first = [self._first_chunks(shards.offsets(language)) for language in self.languages]
        self.counts = np.array([first[-1] for first in self._first], dtype=np.int64)
        tokens = np.array([shards.token_counts[language] for language in self.languages], dtype=np.float64)
        self.mean_length = tokens / self.counts + SPECIALS_A_CHUNK
        self._keys = np.array([language_key(language, seed) for language in self.languages], dtype=np.uint64)

    def _first_chunks(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        pieces = -(-np.diff(offsets) // self.piece)
        return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(pieces)])

    def locate(
        self, language: NDArray[np.int64], draw: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Find what the n-th draw of a language reads.

        Args:
            language: Index into `languages`, shape (n,).
            draw: Number of the draw in its language since the beginning, shape (n,).

        Returns:
            Where the piece begins in the language's tokens, and its length without specials, both of shape (n,).
        """
        size = self.counts[language]
        visit, place = np.divmod(draw, size)
        key = scramble(self._keys[language] ^ scramble(visit.astype(np.uint64) + np.uint64(1)))
        chunk = permute(place, size, key)
        start = np.empty_like(chunk)
        length = np.empty_like(chunk)
        order = np.argsort(language, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(language[order])) + 1):
            number = int(language[group[0]])
            start[group], length[group] = self._pieces(number, chunk[group])
        return start, length

    def _pieces(self, language: int, chunk: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        first, offsets = self._first[language], self.shards.offsets(self.languages[language])
        document = np.searchsorted(first, chunk, side="right") - 1
        start = offsets[document] + (chunk - first[document]) * self.piece
        return start, np.minimum(offsets[document + 1] - start, self.piece)


def language_key(language: str, seed: int) -> int:
    """Return a 64-bit key that depends on nothing but the language and the seed (Python's own hash changes by run).

    Args:
        language: Its tag, or any other words.
        seed: The seed.

    Returns:
        The key.
    """
    return int.from_bytes(hashlib.blake2b(f"{seed}:{language}".encode(), digest_size=8).digest(), "little")

"""Chunking at write time, as Ettin's data was cut (recipe.md section 6; JHU-CLSP/ettin-encoder-vs-decoder).

A document is cut into pieces of chunk_size - 2 tokens. A last piece below 32 tokens is dropped unless it is the only
one; one below 512 takes a random tail of the piece before it, moved and not copied. The tail lies next to the piece
that takes it, so moving it is nothing but an earlier cut: tokens stay where they are, only borders are chosen.

The tail's length is uniform over 0 .. chunk_size - 3 - (length of the last piece), as in the original; a short piece
may therefore stay short. The draw depends on the seed, the language and the document's number in it: any process gives
the same cuts. What stands here decides the documents of a shard; `chunks.py` cuts again while reading, if a phase's
context is shorter.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..hashing import scramble

SPECIALS_A_CHUNK = 2  # <bos> and <eos>, as in `chunks.py`, which stands above the shards and cannot be asked
DROP_BELOW = 32
BACKFILL_BELOW = 512
_SMALLEST_CHUNK = DROP_BELOW + SPECIALS_A_CHUNK


class Cuts(NamedTuple):
    """How documents fall into pieces; the pieces of all documents follow each other without gaps.

    Attributes:
        lengths: Tokens of each piece, shape (pieces,).
        kept: False for a piece that is dropped, shape (pieces,).
        backfilled: Pieces that took a tail of the one before.
        moved: Tokens in those tails.
    """

    lengths: NDArray[np.int64]
    kept: NDArray[np.bool_]
    backfilled: int
    moved: int


def cut_documents(lengths: NDArray[np.int64], chunk_size: int, key: int, first: int = 0) -> Cuts:
    """Cut documents into pieces.

    Args:
        lengths: Tokens of each document without specials, shape (documents,), all above 0.
        chunk_size: Longest piece with <bos> and <eos>.
        key: Decides the random tails: 64 bits made of seed and language.
        first: Number of the first of these documents in its language.

    Returns:
        The cuts.

    Raises:
        ValueError: If the chunk size leaves no room for a piece that would be kept.
    """
    check_chunk_size(chunk_size)
    piece = chunk_size - SPECIALS_A_CHUNK
    rest = lengths % piece
    counts = lengths // piece + (rest > 0)
    ends = np.cumsum(counts)
    pieces = np.full(int(ends[-1]) if len(ends) else 0, piece, dtype=np.int64)
    kept = np.ones(len(pieces), dtype=np.bool_)
    pieces[ends[rest > 0] - 1] = rest[rest > 0]
    short = (counts > 1) & (rest > 0)
    kept[ends[short & (rest < DROP_BELOW)] - 1] = False
    filled = np.flatnonzero(short & (rest >= DROP_BELOW) & (rest < BACKFILL_BELOW))
    tail = _tails(filled + first, piece - rest[filled], key)
    pieces[ends[filled] - 1] += tail
    pieces[ends[filled] - 2] -= tail
    return Cuts(pieces, kept, int(np.count_nonzero(tail)), int(tail.sum()))


def check_chunk_size(chunk_size: int) -> None:
    """Refuse a chunk size that leaves no room.

    Args:
        chunk_size: Longest piece with <bos> and <eos>.

    Raises:
        ValueError: If it is below 34.
    """
    if chunk_size < _SMALLEST_CHUNK:
        raise ValueError(
            f"chunk_size is {chunk_size}, but must be {_SMALLEST_CHUNK} or more; published data has 1,024 and 8,192."
        )


def _tails(documents: NDArray[np.int64], limits: NDArray[np.int64], key: int) -> NDArray[np.int64]:
    """Draw uniformly from 0 .. limit - 1 for each document number."""
    words = scramble(scramble(documents.astype(np.uint64) + np.uint64(1)) ^ np.uint64(key))
    uniform = (words >> np.uint64(11)).astype(np.float64) / 2.0**53
    tails: NDArray[np.int64] = (uniform * limits).astype(np.int64)
    return tails

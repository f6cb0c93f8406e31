"""Hashes that are the same in every process, and a shuffled order that nobody has to store.

`permute` is a keyed bijection of 0 .. size-1, computed per index.

Four Feistel rounds over the smallest even number of bits that holds the size, walked until the value falls inside
(cycle walking, on average under four tries, usually one). Ten billion documents cost no memory and any index is O(1),
which is what lets a run start at position 10**9. Not cryptography: it only has to look shuffled.
"""

import hashlib
import unicodedata

import numpy as np
from numpy.typing import NDArray

Unsigned = NDArray[np.uint64]

_ROUNDS = 4
_MULTIPLIERS = tuple(
    np.uint64(value) for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93)
)
_SHIFT = np.uint64(33)
_MIX = np.uint64(0xFF51AFD7ED558CCD)  # murmur3's 64-bit finaliser


def scramble(value: Unsigned) -> Unsigned:
    """Mix the bits of 64-bit words (murmur3 finaliser); equal input gives equal output everywhere."""
    value = value ^ (value >> _SHIFT)
    value *= _MIX
    value ^= value >> _SHIFT
    value *= _MULTIPLIERS[1]
    value ^= value >> _SHIFT
    return value


def permute(index: NDArray[np.int64], size: NDArray[np.int64], key: Unsigned) -> NDArray[np.int64]:
    """Send each index to its place in the shuffled order of its own range."""
    half = np.ceil(np.log2(np.maximum(size, 2).astype(np.float64)) / 2).astype(np.uint64)
    limit = size.astype(np.uint64)
    value = _feistel(index.astype(np.uint64), half, key)
    outside = np.flatnonzero(value >= limit)
    while outside.size:
        value[outside] = _feistel(value[outside], half[outside], key[outside])
        outside = outside[value[outside] >= limit[outside]]
    return value.astype(np.int64)


def _feistel(value: Unsigned, half: Unsigned, key: Unsigned) -> Unsigned:
    one = np.uint64(1)
    mask = (one << half) - one
    left, right = value >> half, value & mask
    for number in range(_ROUNDS):
        left, right = right, left ^ (scramble((right + one) * _MULTIPLIERS[number] ^ key) & mask)
    return (left << half) | right


def bytes_hash(content: bytes) -> int:
    """Hash bytes to 64 bits, such as those of token ids where the text is not known."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def text_hash(text: str) -> int:
    """Hash a text to 64 bits; canonically equal spellings (Unicode NFC) count as the same text."""
    return bytes_hash(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))


def language_key(language: str, seed: int) -> int:
    """Return a 64-bit key that depends on nothing but a language, or other words, and the seed."""
    return bytes_hash(f"{seed}:{language}".encode())

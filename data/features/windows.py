"""Overlapping windows over a row of tokens that is longer than what a network reads at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def window_room(max_length: int, stride: int, special: int) -> int:
    """Counts the tokens of text in a window, `max_length - special`; refuses windows that could not move on."""
    room = max_length - special
    if stride < 0 or room <= stride:
        raise ValueError(
            f"max_length {max_length} less {special} tokens leaves {max(room, 0)}, which must be more than the"
            f" stride of {stride}; take longer windows or a smaller stride (0 or more)."
        )
    return room


def windows_over(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Start and end of overlapping windows; the last ends with the row and is full, an empty row has one."""
    starts = [*range(0, max(length - room, 0), room - stride), max(length - room, 0)]
    return [(start, min(start + room, length)) for start in starts]


def most_context(places: NDArray[np.int64], spans: Sequence[tuple[int, int]], length: int) -> NDArray[np.int64]:
    """Of each token (n,) the window with most text on its poorer side, the first among equals; row ends lack none."""
    best, found = np.full(len(places), -1), np.zeros(len(places), dtype=np.int64)
    for number, (start, end) in enumerate(spans):
        left = places - start if start else np.full(len(places), length)
        right = end - 1 - places if end < length else np.full(len(places), length)
        context = np.where((places >= start) & (places < end), np.minimum(left, right), -1)
        found[context > best], best = number, np.maximum(context, best)
    return found

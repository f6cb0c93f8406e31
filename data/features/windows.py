"""Overlapping windows over a row of tokens that is longer than what a network reads at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def window_room(max_length: int, stride: int, special: int) -> int:
    """Counts the tokens of text that a window holds.

    Args:
        max_length: Tokens in a window.
        stride: Tokens that neighbouring windows share.
        special: Tokens that are not of the text.

    Returns:
        `max_length - special`.

    Raises:
        ValueError: If windows of this size could not move on.
    """
    room = max_length - special
    if stride < 0 or room <= stride:
        raise ValueError(
            f"max_length {max_length} less {special} tokens leaves {max(room, 0)}, which must be more than the"
            f" stride of {stride}; take longer windows or a smaller stride (0 or more)."
        )
    return room


def windows_over(length: int, room: int, stride: int) -> list[tuple[int, int]]:
    """Lays overlapping windows over a row of tokens; the last ends with the row and is as full as the others.

    Args:
        length: Tokens in the row.
        room: Tokens in a window.
        stride: Tokens that neighbours share at least.

    Returns:
        Start and end of every window; one empty window for an empty row.
    """
    starts = [*range(0, max(length - room, 0), room - stride), max(length - room, 0)]
    return [(start, min(start + room, length)) for start in starts]


def most_context(places: NDArray[np.int64], spans: Sequence[tuple[int, int]], length: int) -> NDArray[np.int64]:
    """Finds, of each token, the window that shows most of the text on its poorer side; the first among equals.

    Args:
        places: Token numbers, shape (n,).
        spans: Windows, from `windows_over`.
        length: Tokens in the row. Its own ends are no lack of context.

    Returns:
        Window numbers, shape (n,).
    """
    best, found = np.full(len(places), -1), np.zeros(len(places), dtype=np.int64)
    for number, (start, end) in enumerate(spans):
        left = places - start if start else np.full(len(places), length)
        right = end - 1 - places if end < length else np.full(len(places), length)
        context = np.where((places >= start) & (places < end), np.minimum(left, right), -1)
        found[context > best], best = number, np.maximum(context, best)
    return found

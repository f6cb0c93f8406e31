"""Attention of many heads as plain matrix products over tiles of scores that stay in the processor's cache.

Scores and weights are rounded to the dtype of the queries, as in the eager backend; exponentials are taken in fp32.

In bf16 on a CPU, softmax would cost as much as the products. It subtracts the largest score so that no exponential
overflows, but bf16 reaches as far as fp32, to 2^127: the plain powers of two of the scores do as well, with two passes
over a tile instead of four, unless their sum leaves what both can hold. Then the tile is done again with softmax.
Measured on one core, 12 heads at 512 tokens, microseconds for a tile of 3 M scores: 1,640 for softmax, 960 for powers
and sums, of some 4,000 in all.

The backward pass computes the weights anew, a tile at a time: what is kept grows with the tokens, not their square.

Letters in shapes: M matrices (a head of a sequence, or of a block), n queries and m keys in each, D channels.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from .scratch import FRESH, Rooms

# Scores in one tile, for each thread; 4 MB in bf16. Measured on one core at 512, 2,048 and 8,192 tokens: a quarter of
# it is 3 to 10 % slower, and several times as much no longer fits the third-level cache.
TILE = 2**21

# Sums of powers within these bounds: values up to 2^27 cannot overflow, and weights of 2^-26 of the sum are not lost.
LEAST_SUM, LARGEST_SUM = 2.0**-100, 2.0**100


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, rooms: Rooms = FRESH) -> Tensor:
    """Mix the values of each matrix by the match of its queries and keys, without recording gradients.

    Args:
        query: (M, n, D).
        key: (M, m, D).
        value: (M, m, D).
        bias: (B, n, m), 0 or minus infinity; each serves M / B matrices in a row. Every query sees a key.
        rooms: Where to write; what was returned before under it is overwritten.

    Returns:
        (M, n, D).
    """
    mixed = rooms.room("mixed heads", query.shape, query)
    by_powers = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    for matrices, queries in _tiles(query, key):
        tile = query[matrices, queries], key[matrices], bias, rooms
        out = mixed[matrices, queries]
        if not (by_powers and _mix_by_powers(*tile, value[matrices], out)):
            torch.bmm(_weights(*tile), value[matrices], out=out)
    return mixed


def _mix_by_powers(query: Tensor, key: Tensor, bias: Tensor | None, rooms: Rooms, value: Tensor, out: Tensor) -> bool:
    """Fill `out` with powers @ values / sums of powers; return False if a sum is too large or small for that."""
    powers = _scores(query, key, bias, rooms, unit=math.log2(math.e)).exp2_()
    sums = powers.sum(-1, keepdim=True)
    least, largest = torch.aminmax(sums)
    if not (least > LEAST_SUM and largest < LARGEST_SUM):
        return False
    torch.bmm(powers, value, out=out).div_(sums)
    return True


def attend_backward(
    grad: Tensor, mixed: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `attend` towards queries, keys and values.

    Args:
        grad: (M, n, D), towards what `attend` returned.
        mixed: (M, n, D), what `attend` returned.
        query: As given to `attend`; so are the others.
        key: (M, m, D).
        value: (M, m, D).
        bias: (B, n, m).

    Returns:
        (M, n, D), (M, m, D), (M, m, D), in the dtype of the queries; summed over tiles in fp32.
    """
    scale, wide = query.shape[-1] ** -0.5, torch.promote_types(query.dtype, torch.float32)
    # For each query the mean of its weights' gradients, which softmax takes off (as FlashAttention's backward does).
    mean = (grad * mixed).sum(-1, keepdim=True, dtype=wide).to(grad.dtype)
    grad_query = torch.empty_like(query)
    grad_key, grad_value = torch.zeros_like(key, dtype=wide), torch.zeros_like(value, dtype=wide)
    for matrices, queries in _tiles(query, key):
        weights = _weights(query[matrices, queries], key[matrices], bias)
        grad_value[matrices] += torch.bmm(weights.transpose(1, 2), grad[matrices, queries])
        steering = torch.bmm(grad[matrices, queries], value[matrices].transpose(1, 2))
        steering = steering.sub_(mean[matrices, queries]).mul_(weights)
        grad_query[matrices, queries] = torch.bmm(steering, key[matrices]) * scale
        grad_key[matrices] += torch.bmm(steering.transpose(1, 2), query[matrices, queries]) * scale
    return grad_query, grad_key.to(key.dtype), grad_value.to(value.dtype)


def _tiles(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice]]:
    """Cut the matrices, and the queries of those too large alone, so that a tile has about TILE scores a thread."""
    (matrices, queries, _), keys = query.shape, key.shape[1]
    limit = TILE * (torch.get_num_threads() if query.device.type == "cpu" else 1)
    together = max(1, limit // (queries * keys))
    # Whole multiples of 64 rows suit every processor's products.
    rows = queries if together > 1 else min(queries, max(64, limit // keys // 64 * 64))
    for first in range(0, matrices, together):
        for row in range(0, queries, rows):
            yield slice(first, min(first + together, matrices)), slice(row, min(row + rows, queries))


def _weights(query: Tensor, key: Tensor, bias: Tensor | None, rooms: Rooms = FRESH) -> Tensor:
    """Return softmax(query @ key^T / sqrt(D) + bias), (M, n, m)."""
    scores = _scores(query, key, bias, rooms)
    return torch.softmax(scores, -1, out=scores)


def _scores(query: Tensor, key: Tensor, bias: Tensor | None, rooms: Rooms, unit: float = 1.0) -> Tensor:
    """Return unit * query @ key^T / sqrt(D) + bias, (M, n, m), in a buffer of its own."""
    scores = rooms.room("scores", (query.shape[0], query.shape[1], key.shape[1]), query)
    if bias is not None:
        scores.unflatten(0, (bias.shape[0], -1)).copy_(bias[:, None])
    scale = unit * query.shape[-1] ** -0.5
    return torch.baddbmm(scores, query, key.transpose(1, 2), beta=int(bias is not None), alpha=scale, out=scores)

"""Attention of many heads as plain matrix products over tiles of scores that stay in the processor's cache.

Softmax is taken in fp32; scores and weights are rounded to the dtype of the queries, as in the eager backend. The
backward pass computes the weights anew, a tile at a time: what is kept grows with the tokens, not with their square.

Letters in shapes: M matrices (a head of a sequence, or of a block), n queries and m keys in each, D channels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

# Scores in one tile, for each thread; 4 MB in bf16. Measured on one core at 512, 2,048 and 8,192 tokens: a quarter of it
# is 3 to 10 % slower, and several times as much no longer fits the third-level cache.
TILE = 2**21


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """Mix the values of each matrix by the match of its queries and keys, without recording gradients.

    Args:
        query: (M, n, D).
        key: (M, m, D).
        value: (M, m, D).
        bias: (B, n, m), 0 or minus infinity; each serves M / B matrices in a row.

    Returns:
        (M, n, D).
    """
    mixed = torch.empty_like(query)
    for matrices, queries in _tiles(query, key):
        weights = _weights(query[matrices, queries], key[matrices], bias)
        torch.bmm(weights, value[matrices], out=mixed[matrices, queries])
    return mixed


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
    scale = query.shape[-1] ** -0.5
    # For each query the mean of its weights' gradients, which softmax takes off (as FlashAttention's backward does).
    mean = (grad.float() * mixed.float()).sum(-1, keepdim=True).to(grad.dtype)
    grad_query = torch.empty_like(query)
    grad_key, grad_value = torch.zeros_like(key, dtype=torch.float32), torch.zeros_like(value, dtype=torch.float32)
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


def _weights(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Return softmax(query @ key^T / sqrt(D) + bias), (M, n, m), in one buffer."""
    scores = query.new_empty(query.shape[0], query.shape[1], key.shape[1])
    torch.baddbmm(scores, query, key.transpose(1, 2), beta=0, alpha=query.shape[-1] ** -0.5, out=scores)
    if bias is not None:
        scores.unflatten(0, (bias.shape[0], -1)).add_(bias[:, None])
    return torch.softmax(scores, -1, out=scores)

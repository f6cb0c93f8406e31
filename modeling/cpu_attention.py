"""Attention over a stream by plain matrix products, as operators with a backward pass of their own.

Two uses:

* bf16 on a CPU. torch's fused kernel multiplies at the speed of fp32 there; a batched product uses the processor's bf16
  instructions. Measured on one core with AVX-512 BF16, 12 heads of 64, microseconds per token, fused and here: 18.2 and
  6.8 at 512 tokens, 280 and 98 at 8,192, 8.6 and 4.6 for a window of 129 keys.
* Recorded graphs of packed input. Which lengths a batch holds is known only when it runs, and the recorder does not
  look into an operator, so `attend_whole` may look at the lengths.

Below the operators lie `attend` and `attend_backward`: products over tiles of scores that stay in the processor's
cache. Scores and weights are rounded to the dtype of the queries, as in the eager backend; exponentials are taken in
fp32. In bf16 on a CPU softmax would cost as much as the products. It subtracts the largest score so that no exponential
overflows, but bf16 reaches as far as fp32, to 2^127: the plain powers of two of the scores do as well, with two passes
over a tile instead of four, unless their sum leaves what both can hold. Then the tile is computed again with softmax.
(One core, 12 heads at 512 tokens, a tile of 3 M scores: 1,640 us for softmax, 960 for powers and sums, of some 4,000.)
The backward pass computes the weights anew, a tile at a time: what is kept grows with the tokens, not their square.

Letters in shapes: T tokens, H heads, D channels per head, N sequences; M matrices (a head of a sequence, or of a
block), n queries and m keys in each.
"""

import math
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.nn.functional import pad

from .buffers import NO_REUSE, BufferPool
from .packing import tracing
from .sliding_attention import BLOCK, padded_for_blocks

# Scores in one tile, for each thread; 4 MB in bf16. Measured on one core at 512, 2,048 and 8,192 tokens: a quarter of
# it is 3 to 10 % slower, and several times as much no longer fits the third-level cache.
TILE = 2**21

# Sums of powers within these bounds: values up to 2^27 cannot overflow, and weights of 2^-26 of the sum are not lost.
LEAST_SUM, LARGEST_SUM = 2.0**-100, 2.0**100

Run = tuple[slice | Tensor, int]  # rows of the stream that hold equally long sequences, and how many those are

# The copy of this file beside a published checkpoint has operators of its own: of two with one name the later would
# take the earlier's place, also for the installed package.
_SPACE = "mmbert" if __name__.startswith("mmbert.") else f"mmbert_{crc32(__name__.encode()):08x}"


def attend_whole(qkv: Tensor, cu_seq_lens: Tensor, buffers: BufferPool = NO_REUSE) -> Tensor:
    """Every token of `qkv` (T, 3, H, D) reads its whole sequence, in any order: (T, H, D); overwrites `buffers`."""
    out: Tensor = _attend_whole(qkv, cu_seq_lens) if _is_recorded(qkv) else _mix_whole(qkv, cu_seq_lens, buffers)
    return out


def attend_near(qkv: Tensor, bias: Tensor, half_window: int, buffers: BufferPool = NO_REUSE) -> Tensor:
    """Every token of `qkv` (T, 3, H, D) reads its window; `bias` is of `bias_of_blocks`: (T, H, D)."""
    out: Tensor = (
        _attend_near(qkv, bias, half_window) if _is_recorded(qkv) else _mix_near(qkv, bias, half_window, buffers)
    )
    return out


def _is_recorded(qkv: Tensor) -> bool:
    """Return True if a graph or gradients need an operator; calling one costs as much as a short sequence does."""
    return tracing() or (torch.is_grad_enabled() and qkv.requires_grad)


def _mix_whole(qkv: Tensor, cu_seq_lens: Tensor, buffers: BufferPool = NO_REUSE) -> Tensor:
    mixed = buffers.get("mixed", qkv[:, 0].shape, qkv)
    for rows, number in _runs_of_equal_length(cu_seq_lens):
        query, key, value = _by_head(qkv[rows], number, buffers)
        _put(mixed, rows, attend(query, key, value, buffers=buffers), number)
    return mixed


@torch.library.custom_op(f"{_SPACE}::attend_whole_backward", mutates_args=())
def _attend_whole_backward(grad: Tensor, qkv: Tensor, mixed: Tensor, cu_seq_lens: Tensor) -> Tensor:
    grad_qkv = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    for rows, number in _runs_of_equal_length(cu_seq_lens):
        towards, out = _by_head(torch.stack((grad[rows], mixed[rows]), 1), number)
        parts = attend_backward(towards, out, *_by_head(qkv[rows], number))
        grad_qkv[rows] = torch.stack([_by_token(part, number) for part in parts], 1)
    return grad_qkv


def _mix_near(qkv: Tensor, bias: Tensor, half_window: int, buffers: BufferPool = NO_REUSE) -> Tensor:
    mixed = buffers.get("mixed", (len(bias) * BLOCK, *qkv.shape[2:]), qkv)
    for blocks, rows in _chunks_of_blocks(bias, qkv.shape[2]):
        _put(
            mixed,
            rows,
            attend(*_heads_of_blocks(qkv, blocks, half_window, buffers), bias[blocks, 0], buffers),
            len(bias[blocks]),
        )
    return mixed[: len(qkv)]


@torch.library.custom_op(f"{_SPACE}::attend_near_backward", mutates_args=())
def _attend_near_backward(grad: Tensor, qkv: Tensor, mixed: Tensor, bias: Tensor, half_window: int) -> Tensor:
    grad_padded = torch.zeros_like(padded_for_blocks(qkv, len(bias), half_window))
    grad, mixed = (pad(t, (0, 0, 0, 0, 0, len(bias) * BLOCK - len(qkv))) for t in (grad, mixed))
    for blocks, rows in _chunks_of_blocks(bias, qkv.shape[2]):
        number = blocks.stop - blocks.start
        towards, out = _by_head(torch.stack((grad[rows], mixed[rows]), 1), number)
        parts = attend_backward(towards, out, *_heads_of_blocks(qkv, blocks, half_window), bias[blocks, 0])
        grad_padded[rows.start + half_window : rows.stop + half_window, 0] = _by_token(parts[0], number)
        # Stretches of keys overlap: what each block says of a key adds up.
        for which, part in enumerate(parts[1:], start=1):
            for block, stretch in enumerate(_by_token(part, number).chunk(number), start=blocks.start):
                grad_padded[block * BLOCK : block * BLOCK + len(stretch), which] += stretch
    return grad_padded[half_window : half_window + len(qkv)].clone()


def _empty_mixed(qkv: Tensor, *_: Any) -> Tensor:
    return qkv.new_empty(qkv.shape[0], *qkv.shape[2:])


def _empty_gradient(_grad: Tensor, qkv: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(qkv, memory_format=torch.contiguous_format)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    qkv, layout, *ctx.rest = inputs
    ctx.save_for_backward(qkv, output, layout)


@torch.library.custom_op(f"{_SPACE}::attend_whole", mutates_args=())
def _attend_whole(qkv: Tensor, cu_seq_lens: Tensor) -> Tensor:
    return _mix_whole(qkv, cu_seq_lens)


@torch.library.custom_op(f"{_SPACE}::attend_near", mutates_args=())
def _attend_near(qkv: Tensor, bias: Tensor, half_window: int) -> Tensor:
    return _mix_near(qkv, bias, half_window)


for forward, backward in ((_attend_whole, _attend_whole_backward), (_attend_near, _attend_near_backward)):

    def _backward(ctx: Any, grad: Tensor, backward: Any = backward) -> tuple[Tensor | None, ...]:
        return backward(grad, *ctx.saved_tensors, *ctx.rest), None, *(None for _ in ctx.rest)

    forward.register_fake(_empty_mixed)
    backward.register_fake(_empty_gradient)
    forward.register_autograd(_backward, setup_context=_save)


def _runs_of_equal_length(cu_seq_lens: Tensor) -> Iterator[Run]:
    """Gather equally long sequences, so that one product serves them all; as a slice where they are neighbours."""
    bounds = sorted(pairwise(cu_seq_lens.tolist()), key=lambda bound: bound[1] - bound[0])
    for length, run in groupby(bounds, key=lambda bound: bound[1] - bound[0]):
        starts = [start for start, _ in run]
        if length and starts[-1] - starts[0] == length * (len(starts) - 1):
            yield slice(starts[0], starts[-1] + length), len(starts)
        elif length:
            places = torch.tensor(starts)[:, None] + torch.arange(length)
            yield places.flatten().to(cu_seq_lens.device), len(starts)


def _by_head(tokens: Tensor, number: int, buffers: BufferPool = NO_REUSE) -> list[Tensor]:
    """Return each of (number * length, which, H, D) as (number * H, length, D)."""
    heads = tokens.unflatten(0, (number, -1)).permute(2, 0, 3, 1, 4)
    return list(buffers.get("heads", heads.shape, tokens).copy_(heads).flatten(1, 2))


def _by_token(heads: Tensor, number: int) -> Tensor:
    """Return (number * H, length, D) as (number * length, H, D)."""
    tokens: Tensor = heads.unflatten(0, (number, -1)).transpose(1, 2)
    return tokens.flatten(0, 1)


def _put(mixed: Tensor, rows: slice | Tensor, heads: Tensor, number: int) -> None:
    """Write (number * H, length, D) to the rows of (T, H, D), in one pass where they are neighbours."""
    if isinstance(rows, slice):
        mixed[rows].unflatten(0, (number, -1)).copy_(heads.unflatten(0, (number, -1)).transpose(1, 2))
    else:
        mixed[rows] = _by_token(heads, number)


def _chunks_of_blocks(bias: Tensor, heads: int) -> Iterator[tuple[slice, slice]]:
    """Cut the blocks into chunks of about one tile of scores; give each chunk's blocks and its rows of whole blocks."""
    blocks = len(bias)
    together = max(1, TILE * torch.get_num_threads() // (bias[0].numel() * heads))
    for first in range(0, blocks, together):
        last = min(first + together, blocks)
        yield slice(first, last), slice(first * BLOCK, last * BLOCK)


def _heads_of_blocks(
    qkv: Tensor, blocks: slice, half_window: int, buffers: BufferPool = NO_REUSE
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the queries (c * H, BLOCK, D) and the stretches of keys and values (c * H, BLOCK + 2 * half_window, D)."""
    first, last = blocks.start * BLOCK - half_window, blocks.stop * BLOCK + half_window
    padded = buffers.padded(qkv)
    slab = qkv[max(first, 0) : last] if padded is None else padded[first + half_window : last + half_window]
    if len(slab) < last - first:
        slab = pad(slab, (0, 0, 0, 0, 0, 0, max(-first, 0), max(last - len(qkv), 0)))
    (query,) = _by_head(slab[half_window : len(slab) - half_window, :1], blocks.stop - blocks.start, buffers)
    stretches = slab[:, 1:].unfold(0, BLOCK + 2 * half_window, BLOCK).permute(1, 0, 2, 4, 3)
    key, value = buffers.get("stretches", stretches.shape, slab).copy_(stretches).flatten(1, 2).unbind(0)
    return query, key, value


def attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, buffers: BufferPool = NO_REUSE
) -> Tensor:
    """Mix the values of each matrix by the match of its queries and keys, without recording gradients."""
    mixed = buffers.get("mixed heads", query.shape, query)
    by_powers = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    for matrices, queries in _tiles(query, key):
        tile = query[matrices, queries], key[matrices], bias, buffers
        out = mixed[matrices, queries]
        if not (by_powers and _mix_by_powers(*tile, value[matrices], out)):
            torch.bmm(_weights(*tile), value[matrices], out=out)
    return mixed


def _mix_by_powers(
    query: Tensor, key: Tensor, bias: Tensor | None, buffers: BufferPool, value: Tensor, out: Tensor
) -> bool:
    """Fill `out` with powers @ values / sums of powers; return False if a sum is too large or small for that."""
    powers = _scores(query, key, bias, buffers, unit=math.log2(math.e)).exp2_()
    sums = powers.sum(-1, keepdim=True)
    least, largest = torch.aminmax(sums)
    if not (least > LEAST_SUM and largest < LARGEST_SUM):
        return False
    torch.bmm(powers, value, out=out).div_(sums)
    return True


def attend_backward(
    grad: Tensor, mixed: Tensor, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of `attend` towards queries, keys and values."""
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


def _weights(query: Tensor, key: Tensor, bias: Tensor | None, buffers: BufferPool = NO_REUSE) -> Tensor:
    """Return softmax(query @ key^T / sqrt(D) + bias), (M, n, m)."""
    scores = _scores(query, key, bias, buffers)
    return torch.softmax(scores, -1, out=scores)


def _scores(query: Tensor, key: Tensor, bias: Tensor | None, buffers: BufferPool, unit: float = 1.0) -> Tensor:
    """Return unit * query @ key^T / sqrt(D) + bias, (M, n, m), in a buffer of its own."""
    scores = buffers.get("scores", (query.shape[0], query.shape[1], key.shape[1]), query)
    if bias is not None:
        scores.unflatten(0, (bias.shape[0], -1)).copy_(bias[:, None])
    scale = unit * query.shape[-1] ** -0.5
    return torch.baddbmm(scores, query, key.transpose(1, 2), beta=int(bias is not None), alpha=scale, out=scores)

"""Attention over a stream by plain matrix products, as operators with a backward pass of their own.

Two uses:

* bf16 on a CPU. torch's fused kernel multiplies at the speed of fp32 there; a batched product uses the processor's bf16
  instructions. Measured on one core with AVX-512 BF16, 12 heads of 64, microseconds a token, fused and here: 18.2 and
  6.8 at 512 tokens, 280 and 98 at 8,192, 8.6 and 4.6 for a window of 129 keys.
* Recorded graphs of packed input. Which lengths a batch holds is known only when it runs, and the recorder does not
  look into an operator, so `attend_whole` may look at the lengths.

Letters in shapes: T tokens, H heads, D channels a head, N sequences.
"""

from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any
from zlib import crc32

import torch
from torch import Tensor
from torch.nn.functional import pad

from .local_attention import BLOCK, padded_for_blocks
from .packing import tracing
from .scratch import FRESH, Rooms
from .tiled_products import TILE, attend, attend_backward

Run = tuple[slice | Tensor, int]  # rows of the stream that hold equally long sequences, and how many those are


# The copy of this file beside a published checkpoint has operators of its own: of two with one name the later would
# take the earlier's place, also for the installed package.
_SPACE = "mmbert" if __name__.startswith("mmbert.") else f"mmbert_{crc32(__name__.encode()):08x}"


def attend_whole(qkv: Tensor, cu_seq_lens: Tensor, rooms: Rooms = FRESH) -> Tensor:
    """Let every token read from its whole sequence.

    Args:
        qkv: (T, 3, H, D), queries, keys and values of sequences behind each other, in any order.
        cu_seq_lens: (N + 1,) where each begins, and T.
        rooms: Where to write to where nothing is recorded; what was returned before under it is overwritten.

    Returns:
        (T, H, D).
    """
    out: Tensor = _attend_whole(qkv, cu_seq_lens) if _is_recorded(qkv) else _mix_whole(qkv, cu_seq_lens, rooms)
    return out


def attend_near(qkv: Tensor, bias: Tensor, reach: int, rooms: Rooms = FRESH) -> Tensor:
    """Let every token read from its window.

    Args:
        qkv: (T, 3, H, D), queries, keys and values.
        bias: (blocks, 1, BLOCK, BLOCK + 2 * reach), from `bias_of_blocks`.
        reach: How far a token sees to either side.
        rooms: Where to write to where nothing is recorded; what was returned before under it is overwritten.

    Returns:
        (T, H, D).
    """
    out: Tensor = _attend_near(qkv, bias, reach) if _is_recorded(qkv) else _mix_near(qkv, bias, reach, rooms)
    return out


def _is_recorded(qkv: Tensor) -> bool:
    """Return True if a graph or gradients need an operator; calling one costs as much as a short sequence does."""
    return tracing() or (torch.is_grad_enabled() and qkv.requires_grad)


def _mix_whole(qkv: Tensor, cu_seq_lens: Tensor, rooms: Rooms = FRESH) -> Tensor:
    mixed = rooms.room("mixed", qkv[:, 0].shape, qkv)
    for rows, number in _runs_of_equal_length(cu_seq_lens):
        query, key, value = _by_head(qkv[rows], number, rooms)
        _put(mixed, rows, attend(query, key, value, rooms=rooms), number)
    return mixed


@torch.library.custom_op(f"{_SPACE}::attend_whole_backward", mutates_args=())
def _attend_whole_backward(grad: Tensor, qkv: Tensor, mixed: Tensor, cu_seq_lens: Tensor) -> Tensor:
    grad_qkv = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    for rows, number in _runs_of_equal_length(cu_seq_lens):
        towards, out = _by_head(torch.stack((grad[rows], mixed[rows]), 1), number)
        parts = attend_backward(towards, out, *_by_head(qkv[rows], number))
        grad_qkv[rows] = torch.stack([_by_token(part, number) for part in parts], 1)
    return grad_qkv


def _mix_near(qkv: Tensor, bias: Tensor, reach: int, rooms: Rooms = FRESH) -> Tensor:
    mixed = rooms.room("mixed", (len(bias) * BLOCK, *qkv.shape[2:]), qkv)
    for blocks, rows in _chunks_of_blocks(bias, qkv.shape[2]):
        _put(
            mixed, rows, attend(*_heads_of_blocks(qkv, blocks, reach, rooms), bias[blocks, 0], rooms), len(bias[blocks])
        )
    return mixed[: len(qkv)]


@torch.library.custom_op(f"{_SPACE}::attend_near_backward", mutates_args=())
def _attend_near_backward(grad: Tensor, qkv: Tensor, mixed: Tensor, bias: Tensor, reach: int) -> Tensor:
    grad_padded = torch.zeros_like(padded_for_blocks(qkv, len(bias), reach))
    grad, mixed = (pad(t, (0, 0, 0, 0, 0, len(bias) * BLOCK - len(qkv))) for t in (grad, mixed))
    for blocks, rows in _chunks_of_blocks(bias, qkv.shape[2]):
        number = blocks.stop - blocks.start
        towards, out = _by_head(torch.stack((grad[rows], mixed[rows]), 1), number)
        parts = attend_backward(towards, out, *_heads_of_blocks(qkv, blocks, reach), bias[blocks, 0])
        grad_padded[rows.start + reach : rows.stop + reach, 0] = _by_token(parts[0], number)
        # Stretches of keys overlap: what each block says of a key adds up.
        for which, part in enumerate(parts[1:], start=1):
            for block, stretch in enumerate(_by_token(part, number).chunk(number), start=blocks.start):
                grad_padded[block * BLOCK : block * BLOCK + len(stretch), which] += stretch
    return grad_padded[reach : reach + len(qkv)].clone()


def _room_for_mixed(qkv: Tensor, *_: Any) -> Tensor:
    return qkv.new_empty(qkv.shape[0], *qkv.shape[2:])


def _room_for_gradient(_grad: Tensor, qkv: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(qkv, memory_format=torch.contiguous_format)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    qkv, layout, *ctx.rest = inputs
    ctx.save_for_backward(qkv, output, layout)


@torch.library.custom_op(f"{_SPACE}::attend_whole", mutates_args=())
def _attend_whole(qkv: Tensor, cu_seq_lens: Tensor) -> Tensor:
    return _mix_whole(qkv, cu_seq_lens)


@torch.library.custom_op(f"{_SPACE}::attend_near", mutates_args=())
def _attend_near(qkv: Tensor, bias: Tensor, reach: int) -> Tensor:
    return _mix_near(qkv, bias, reach)


for forward, backward in ((_attend_whole, _attend_whole_backward), (_attend_near, _attend_near_backward)):

    def _turn_back(ctx: Any, grad: Tensor, backward: Any = backward) -> tuple[Tensor | None, ...]:
        return backward(grad, *ctx.saved_tensors, *ctx.rest), None, *(None for _ in ctx.rest)

    forward.register_fake(_room_for_mixed)
    backward.register_fake(_room_for_gradient)
    forward.register_autograd(_turn_back, setup_context=_remember)


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


def _by_head(tokens: Tensor, number: int, rooms: Rooms = FRESH) -> list[Tensor]:
    """Return each of (number * length, which, H, D) as (number * H, length, D)."""
    heads = tokens.unflatten(0, (number, -1)).permute(2, 0, 3, 1, 4)
    return list(rooms.room("heads", heads.shape, tokens).copy_(heads).flatten(1, 2))


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


def _heads_of_blocks(qkv: Tensor, blocks: slice, reach: int, rooms: Rooms = FRESH) -> tuple[Tensor, Tensor, Tensor]:
    """Return the queries (c * H, BLOCK, D) and the stretches of keys and values (c * H, BLOCK + 2 * reach, D)."""
    first, last = blocks.start * BLOCK - reach, blocks.stop * BLOCK + reach
    padded = rooms.padded(qkv)
    slab = qkv[max(first, 0) : last] if padded is None else padded[first + reach : last + reach]
    if len(slab) < last - first:
        slab = pad(slab, (0, 0, 0, 0, 0, 0, max(-first, 0), max(last - len(qkv), 0)))
    (query,) = _by_head(slab[reach : len(slab) - reach, :1], blocks.stop - blocks.start, rooms)
    stretches = slab[:, 1:].unfold(0, BLOCK + 2 * reach, BLOCK).permute(1, 0, 2, 4, 3)
    key, value = rooms.room("stretches", stretches.shape, slab).copy_(stretches).flatten(1, 2).unbind(0)
    return query, key, value

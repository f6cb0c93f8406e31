"""Attention to a window, in time and memory linear in the number of tokens, whatever the lengths of the sequences.

The stream is cut into blocks of queries; each block reads the stretch of keys that its queries can see. Blocks pay no
heed to where sequences begin and end: a bias of BLOCK x (BLOCK + 2 * half_window) per block, 0 or minus infinity,
shared by heads and layers, keeps sequences apart. So one fused call serves one row of 8,192 tokens and a thousand rows
of eight alike.

Trade-off: a block reads more keys than a query uses, 192 for 129 with mmBERT's window. Smaller blocks waste less but
leave the fused kernel smaller matrices. Measured on one core, fp32 and bf16, 512 and 8,192 tokens: blocks of 32 and 64
are about equal, 128 and more are slower in bf16.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

BLOCK = 64


def bias_of_blocks(segments: Tensor, columns: Tensor, half_window: int, dtype: torch.dtype) -> Tensor:
    """Say which keys each query may see, block by block.

    Block b holds the queries [b * BLOCK, (b + 1) * BLOCK) of the stream and the keys within `half_window` of them. That
    is enough, because tokens of one sequence lie at least as close in the stream as their columns do.

    Args:
        segments: (T,) number of the sequence of each token, -1 at padding.
        columns: (T,) place in the sequence.
        half_window: How far a token sees to either side.
        dtype: Of the queries.

    Returns:
        (blocks, 1, BLOCK, BLOCK + 2 * half_window): 0 where a query sees a key, else minus infinity.
    """
    tokens = segments.shape[0]
    blocks = -(-tokens // BLOCK)
    tail = blocks * BLOCK - tokens
    # The filler is a segment of its own and sees itself, so no query is left without a key.
    segment = pad(segments.int(), (half_window, tail + half_window), value=-2).unfold(0, BLOCK + 2 * half_window, BLOCK)
    column = pad(columns.int(), (half_window, tail + half_window)).unfold(0, BLOCK + 2 * half_window, BLOCK)
    queries = slice(half_window, half_window + BLOCK)
    same = segment[:, queries, None] == segment[:, None]
    near = (column[:, queries, None] - column[:, None]).abs() <= half_window
    bias = torch.zeros(same.shape, dtype=dtype, device=segments.device)
    return bias.masked_fill_(~(same & near), -torch.inf)[:, None]


def attend_in_blocks(
    qkv: Tensor, bias: Tensor, half_window: int, dropout: float = 0.0, padded: Tensor | None = None
) -> Tensor:
    """Attend within a window, (T, 3, H, D) -> (T, H, D), in time and memory linear in the number of tokens."""
    tokens, blocks = qkv.shape[0], bias.shape[0]
    if tokens == 0:
        return qkv[:, 2]
    query, key, value = (padded_for_blocks(qkv, blocks, half_window) if padded is None else padded).unbind(1)
    q = query[half_window : half_window + blocks * BLOCK].unflatten(0, (blocks, BLOCK)).transpose(1, 2)
    # Overlapping views (blocks, H, BLOCK + 2 * half_window, D): no key is copied.
    k, v = (t.unfold(0, BLOCK + 2 * half_window, BLOCK).transpose(2, 3) for t in (key, value))
    out = scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
    return out.transpose(1, 2).flatten(0, 1)[:tokens]


def padded_for_blocks(qkv: Tensor, blocks: int, half_window: int) -> Tensor:
    """Return (half_window + blocks * BLOCK + half_window, 3, H, D): the stream between filler, to whole blocks."""
    return pad(qkv, (0, 0, 0, 0, 0, 0, half_window, blocks * BLOCK - qkv.shape[0] + half_window))

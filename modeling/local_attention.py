"""Attention to a window, in time and memory linear in the number of tokens, whatever the lengths of the sequences.

The stream is cut into blocks of queries; each block reads the stretch of keys that its queries can reach. Blocks pay no
heed to where sequences begin and end: a mask of BLOCK x (BLOCK + 2 * reach) a block, shared by heads and layers, keeps
sequences apart. So one fused call serves one row of 8,192 tokens and a thousand rows of eight alike.

Trade-off: a block reads more keys than a query uses, 192 for 129 with mmBERT's window. Smaller blocks waste less but
leave the fused kernel smaller matrices. Measured on one core, fp32 and bf16, 512 and 8,192 tokens: blocks of 32 and 64
are about equal, 128 and more are slower in bf16.
"""

from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

BLOCK = 64


def visible_in_blocks(segments: Tensor, columns: Tensor, reach: int) -> Tensor:
    """Say which keys each query may see, block by block.

    Block b holds the queries [b * BLOCK, (b + 1) * BLOCK) of the stream and the keys within `reach` of them. That is
    enough, because tokens of one sequence lie at least as close in the stream as their columns do.

    Args:
        segments: (T,) number of the sequence of each token.
        columns: (T,) place in the sequence.
        reach: How far a token sees to either side.

    Returns:
        (blocks, 1, BLOCK, BLOCK + 2 * reach) bool.
    """
    tokens = segments.shape[0]
    blocks = -(-tokens // BLOCK)
    tail = blocks * BLOCK - tokens
    # The filler is a segment of its own and sees itself, so no query is left without a key.
    segment = pad(segments.int(), (reach, tail + reach), value=-2).unfold(0, BLOCK + 2 * reach, BLOCK)
    column = pad(columns.int(), (reach, tail + reach)).unfold(0, BLOCK + 2 * reach, BLOCK)
    queries = slice(reach, reach + BLOCK)
    same = segment[:, queries, None] == segment[:, None]
    near = (column[:, queries, None] - column[:, None]).abs() <= reach
    return (same & near)[:, None]


def attend_in_blocks(
    query: Tensor, key: Tensor, value: Tensor, visible: Tensor, reach: int, dropout: float = 0.0
) -> Tensor:
    """Attend to a window only, in time and memory linear in the number of tokens.

    Args:
        query: (T, H, D).
        key: (T, H, D).
        value: (T, H, D).
        visible: From `visible_in_blocks`.
        reach: How far a token sees to either side.
        dropout: Share of attention weights to drop.

    Returns:
        (T, H, D).
    """
    tokens, blocks = query.shape[0], visible.shape[0]
    if tokens == 0:
        return value
    tail = blocks * BLOCK - tokens
    q = pad(query, (0, 0, 0, 0, 0, tail)).unflatten(0, (blocks, BLOCK)).transpose(1, 2)
    # Overlapping views (blocks, H, BLOCK + 2 * reach, D): no key is copied.
    k, v = (
        pad(t, (0, 0, 0, 0, reach, tail + reach)).unfold(0, BLOCK + 2 * reach, BLOCK).transpose(2, 3)
        for t in (key, value)
    )
    out = scaled_dot_product_attention(q, k, v, attn_mask=visible, dropout_p=dropout)
    return out.transpose(1, 2).flatten(0, 1)[:tokens]

"""From vectors of tokens to one vector a sequence.

Padding never counts, wherever it lies, and `cls` means the first real token. (Stock ModernBERT's sequence classifier
reads column 0, which is padding when padding is on the left.) A row of nothing but padding gives the zero vector.
"""

from typing import Literal

import torch
from torch import Tensor


def pool(
    hidden: Tensor, how: Literal["cls", "mean"], attention_mask: Tensor | None = None, cu_seq_lens: Tensor | None = None
) -> Tensor:
    """Reduce every sequence to one vector.

    Args:
        hidden: (B, L, h), or (1, T, h) for packed input; zero at padding.
        how: "mean" of the real tokens, or "cls": the first of them.
        attention_mask: (B, L), zero at padding; None if there is none.
        cu_seq_lens: (N + 1,) boundaries of packed sequences; None for padded input.

    Returns:
        (B, h), or (N, h) for packed input.
    """
    if cu_seq_lens is not None:
        return _pool_packed(hidden[0], how, cu_seq_lens.to(hidden.device).long())
    if how == "cls":
        first = 0 if attention_mask is None else attention_mask.to(hidden.device).bool().int().argmax(1)
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), first]
    if attention_mask is None:
        return hidden.mean(1)
    real = attention_mask.to(hidden.device).bool().sum(1, keepdim=True)
    return hidden.sum(1) / real.clamp(min=1)


def _pool_packed(tokens: Tensor, how: str, boundaries: Tensor) -> Tensor:
    if how == "cls":
        return tokens[boundaries[:-1]]
    lengths = boundaries.diff()
    sequence = torch.arange(len(lengths), device=tokens.device).repeat_interleave(lengths, output_size=tokens.shape[0])
    sums = tokens.new_zeros(len(lengths), tokens.shape[1], dtype=torch.float32).index_add(0, sequence, tokens.float())
    return (sums / lengths[:, None]).to(tokens.dtype)

"""The attention of one layer: queries, keys and values rotated by their positions, and the way back into the stream.

What lies between, who reads from whom, is `attention_backends.py`. Letters: T tokens, H heads, D channels per head.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .configuration_mmbert import SLIDING, MmBertConfig
from .packing import tracing


class MmBertAttention(nn.Module):
    """The weights of multi-head attention, and the two steps of it that work on each token alone."""

    is_causal = False  # read by transformers' attention functions

    def __init__(self, config: MmBertConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        is_local = (config.layer_types or [])[layer_idx] == SLIDING
        self.half_window: int | None = config.local_attention // 2 if is_local else None
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.Wo = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)
        self.out_drop = nn.Dropout(config.attention_dropout)

    @property
    def dropout(self) -> float:
        """Share of attention weights to drop now: zero outside training."""
        return self.config.attention_dropout if self.training else 0.0

    def project_qkv(self, hidden: Tensor, cosine: Tensor, sine: Tensor, out: Tensor | None = None) -> Tensor:
        """Queries, keys (both rotated) and values (T, 3, H, D) of `hidden`, to `out` where nothing is recorded."""
        qkv = self.Wqkv(hidden).view(-1, 3, self.num_heads, self.head_dim)
        return rotate(qkv, cosine, sine) if out is None else _rotate(qkv, cosine, sine, out)

    def output(self, mixed: Tensor) -> Tensor:
        """Return what the heads (T, H, D) write to the stream, (T, hidden_size)."""
        out: Tensor = self.out_drop(self.Wo(mixed.flatten(1)))
        return out


def rotate(qkv: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate channels (i, i + D / 2) of queries and keys in `qkv` (T, 3, H, D) by (T, D / 2) fp32 angles, in fp32."""
    if tracing():
        query_key, value = qkv.split((2, 1), 1)
        return torch.cat((_rotate_traced(query_key, cosine, sine), value), 1)
    if not (torch.is_grad_enabled() and qkv.requires_grad):
        return _rotate(qkv, cosine, sine)
    rotated: Tensor = _Rotation.apply(qkv, cosine, sine)  # type: ignore[no-untyped-call]
    return rotated


class _Rotation(torch.autograd.Function):
    """Keeps two angles per token for the backward pass, where plain operations would keep every product."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _rotate(qkv, cosine, sine)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _rotate(grad, cosine, -sine), None, None


def _rotate(qkv: Tensor, cosine: Tensor, sine: Tensor, out: Tensor | None = None) -> Tensor:
    """Rotate without keeping a product; `out` takes the result, values included."""
    cosine, sine = cosine[:, None, None], sine[:, None, None]
    rotated = torch.empty_like(qkv) if out is None else out
    rotated[:, 2] = qkv[:, 2]
    first, second = qkv[:, :2].float().chunk(2, dim=-1)
    pair = (first * cosine).addcmul_(second, sine, value=-1), (second * cosine).addcmul_(first, sine)
    for half, result in zip(rotated[:, :2].chunk(2, dim=-1), pair, strict=True):
        half.copy_(result)
    return rotated


def _rotate_traced(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate in operations that a compiler fuses."""
    cosine, sine = cosine[:, None, None], sine[:, None, None]
    first, second = heads.float().chunk(2, dim=-1)
    rotated = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return rotated.to(heads.dtype)

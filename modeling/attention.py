"""Self-attention over a stream of tokens, on three backends.

| backend             | layers with a window                   | layers that see everything                |
|---------------------|----------------------------------------|-------------------------------------------|
| `sdpa` (default)    | blocks of queries, O(T x window)       | one call for every sequence length        |
| `flash_attention_*` | varlen kernel of transformers' registry, its window argument for the former               |
| `eager`             | dense and masked, O(N x width^2): slow, plain, and the only one that returns the weights    |

Letters: T tokens, H heads, D channels a head, N sequences. The window reaches `local_attention // 2` tokens to either
side, 129 keys for 128, and counts columns of the padded batch, as stock ModernBERT does on sdpa and eager. Flash
kernels, there as here, count tokens: the two differ only for a mask with holes inside a sequence.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as drop_out
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_mmbert import SLIDING, MmBertConfig
from .local_attention import attend_in_blocks, visible_in_blocks
from .packing import TokenStream, tracing


class MmBertAttention(nn.Module):
    """Multi-head attention with rotary positions over (T, hidden_size).

    Args:
        config: Shape, dropout and the kind of each layer.
        layer_idx: Which layer this is; decides between window and whole sequence.
    """

    is_causal = False  # read by transformers' attention functions

    def __init__(self, config: MmBertConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        is_local = (config.layer_types or [])[layer_idx] == SLIDING
        self.reach: int | None = config.local_attention // 2 if is_local else None
        self.Wqkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.attention_bias)
        self.Wo = nn.Linear(config.hidden_size, config.hidden_size, bias=config.attention_bias)
        self.out_drop = nn.Dropout(config.attention_dropout)

    @property
    def dropout(self) -> float:
        """Share of attention weights to drop now: zero outside training."""
        return self.config.attention_dropout if self.training else 0.0

    def forward(
        self, hidden: Tensor, rotation: tuple[Tensor, Tensor], backend: "AttentionBackend"
    ) -> tuple[Tensor, Tensor | None]:
        """Let every token read from the tokens that it may see.

        Args:
            hidden: (T, hidden_size).
            rotation: Cosines and sines of the rotary angles, each (T, D / 2) in fp32.
            backend: How to attend, made for this stream.

        Returns:
            (T, hidden_size), and the weights (N, H, width, width) where the backend has them.
        """
        qkv = self.Wqkv(hidden).view(-1, 3, self.num_heads, self.head_dim)
        query, key = rotate(qkv[:, :2], *rotation).unbind(1)
        mixed, weights = backend(self, query, key, qkv[:, 2])
        return self.out_drop(self.Wo(mixed.flatten(1))), weights


def rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair of channels (i, i + D / 2) by the angle of its token, in fp32.

    Args:
        heads: (T, 2, H, D), queries and keys.
        cosine: (T, D / 2).
        sine: (T, D / 2).

    Returns:
        (T, 2, H, D), in the dtype of `heads`.
    """
    cosine, sine = cosine[:, None, None], sine[:, None, None]
    first, second = heads.float().chunk(2, dim=-1)
    turned = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
    return turned.to(heads.dtype)


class AttentionBackend(Protocol):
    """Attends within the sequences of one stream; made once a forward, called by every layer."""

    def __call__(
        self, layer: MmBertAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Mix `value` by the match of `query` and `key`, each (T, H, D); return that and maybe the weights."""
        ...


def attention_backend(config: MmBertConfig, stream: TokenStream) -> AttentionBackend:
    """Choose by `config._attn_implementation` and prepare what all layers share.

    Args:
        config: The model's configuration.
        stream: The tokens of this forward.

    Returns:
        The backend.

    Raises:
        ValueError: If the implementation is none that this network has.
    """
    name = config._attn_implementation or "sdpa"
    if name == "sdpa":
        return SdpaAttention(config, stream)
    if name == "eager":
        return EagerAttention(config, stream)
    if is_flash(name):
        return FlashAttention(stream)
    raise ValueError(f"attn_implementation {name!r} is not one of mmBERT's: sdpa, eager, flash_attention_2")


def is_flash(attn_implementation: str | None) -> bool:
    """Return True for the names of FlashAttention kernels, packaged or from the Hub's kernel repositories."""
    return "flash" in (attn_implementation or "")


class SdpaAttention:
    """torch's fused kernels: blocks of queries for the window, groups of equal length for whole sequences.

    Args:
        config: Says how far the window reaches.
        stream: The tokens of this forward, ordered by length.
    """

    def __init__(self, config: MmBertConfig, stream: TokenStream) -> None:
        self.stream = stream
        reach = config.local_attention // 2
        # A window that holds every sequence whole is none. The dense width, because holes widen the distances.
        has_window = SLIDING in (config.layer_types or []) and (tracing() or stream.shape[1] > reach + 1)
        self.visible = visible_in_blocks(stream.segments(), stream.columns, reach) if has_window else None

    def __call__(
        self, layer: MmBertAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Attend within the layer's window, or within whole sequences; no weights."""
        if layer.reach is None or self.visible is None:
            return self._whole_sequences(query, key, value, layer.dropout), None
        return attend_in_blocks(query, key, value, self.visible, layer.reach, layer.dropout), None

    def _whole_sequences(self, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        mixed, start = [value[:0]], 0
        mask = self._padding_mask()
        for number, length in self.stream.groups or ():
            group = slice(start, start + number * length)
            q, k, v = (t[group].unflatten(0, (number, length)).transpose(1, 2) for t in (query, key, value))
            out = scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
            mixed.append(out.transpose(1, 2).flatten(0, 1))
            start = group.stop
        return torch.cat(mixed) if len(mixed) != 2 else mixed[1]

    def _padding_mask(self) -> Tensor | None:
        """Return (B, 1, 1, L) while tracing, when padding is still there; a row of nothing else sees itself."""
        keep = self.stream.keep
        return None if keep is None else (keep | ~keep.any(1, keepdim=True))[:, None, None]


class FlashAttention:
    """Whichever FlashAttention transformers knows under the configured name, on its varlen path.

    Args:
        stream: The tokens of this forward.
    """

    def __init__(self, stream: TokenStream) -> None:
        self.stream = stream

    def __call__(
        self, layer: MmBertAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Attend through `ALL_ATTENTION_FUNCTIONS`, which wants (1, H, T, D); no weights."""
        if query.shape[0] == 0:
            return value, None
        attend = ALL_ATTENTION_FUNCTIONS[layer.config._attn_implementation]
        boundaries, longest = self.stream.cu_seq_lens, self.stream.max_length
        mixed, _ = attend(
            layer,
            *(t.transpose(0, 1)[None] for t in (query, key, value)),
            attention_mask=None,
            dropout=layer.dropout,
            scaling=1 / math.sqrt(layer.head_dim),
            # transformers subtracts one on the way to the kernel, whose window_size is inclusive.
            sliding_window=None if layer.reach is None else layer.reach + 1,
            is_causal=False,
            deterministic=layer.config.deterministic_flash_attn,
            cu_seq_lens_q=boundaries,
            cu_seq_lens_k=boundaries,
            max_length_q=longest,
            max_length_k=longest,
        )
        return mixed.reshape(value.shape), None


class EagerAttention:
    """Plain matrix products on the dense form of the batch.

    Args:
        config: Says how far the window reaches.
        stream: The tokens of this forward.
    """

    def __init__(self, config: MmBertConfig, stream: TokenStream) -> None:
        self.stream = stream
        real = stream.to_dense(stream.segments() >= 0)
        self.visible = (real[:, None, :, None] & real[:, None, None, :]).detach()
        columns = torch.arange(stream.shape[1], device=real.device)
        self.near = (columns[:, None] - columns).abs() <= config.local_attention // 2

    def __call__(
        self, layer: MmBertAttention, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Attend densely; the weights (N, H, width, width) are zero in the rows and columns of padding."""
        visible = self.visible if layer.reach is None else self.visible & self.near
        q, k, v = (self.stream.to_dense(t).transpose(1, 2) for t in (query, key, value))
        scores = q @ k.transpose(2, 3) / math.sqrt(layer.head_dim)
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1, dtype=torch.float32).to(q.dtype).masked_fill(~visible, 0)
        weights = drop_out(weights, layer.dropout)
        return self.stream.from_dense((weights @ v).transpose(1, 2)), weights

"""Who reads from whom: self-attention over a stream of tokens, on four backends.

| backend             | layers with a window                   | layers that see everything                |
|---------------------|----------------------------------------|-------------------------------------------|
| `sdpa` (default)    | blocks of queries, O(T x window)       | one call for every sequence length        |
| the same, bf16, CPU | the same, as plain matrix products     | the same, in tiles of scores              |
| the same, half, GPU | torch's varlen kernel with a window    | torch's varlen kernel                     |
| `flash_attention_*` | varlen kernel of transformers' registry, its window argument for the former               |
| `eager`             | dense and masked, O(N x width^2): slow, plain, and the only one that returns the weights    |

Letters: T tokens, H heads, D channels a head, N sequences. The window reaches `local_attention // 2` tokens to either
side, 129 keys for 128, and counts columns of the padded batch, as stock ModernBERT does on sdpa and eager. Flash and
varlen kernels count tokens: the two differ only for a mask with holes inside a sequence.

Sequences of mixed length are grouped by length and not padded, nested or bucketed: the products of a group are whole
(no mask, no copy), there are at most as many groups as tokens in the longest sequence, and a group costs some 40 us of
calls against 90 us of work for one sequence of 16 tokens in one layer (one core, fp32).
"""

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import dropout as drop_out
from torch.nn.functional import scaled_dot_product_attention
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .attention import MmBertAttention
from .buffers import NO_REUSE, BufferPool
from .configuration_mmbert import SLIDING, MmBertConfig
from .cpu_attention import attend_near, attend_whole
from .hardware import has_fast_bf16
from .packing import TokenStream, tracing
from .sliding_attention import attend_in_blocks, bias_of_blocks
from .varlen_attention import VarlenAttention, varlen_obstacle


class AttentionBackend(Protocol):
    """Attends within the sequences of one stream; made once a forward, called by every layer."""

    def __call__(self, layer: MmBertAttention, qkv: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mix the values of `qkv` (T, 3, H, D) as queries match keys; return (T, H, D) and maybe the weights."""
        ...


def attention_backend(
    config: MmBertConfig, stream: TokenStream, dtype: torch.dtype, *, training: bool, buffers: BufferPool | None = None
) -> AttentionBackend:
    """Choose by `config._attn_implementation` and prepare what all layers share in this forward."""
    name = config._attn_implementation or "sdpa"
    if name == "sdpa":
        if varlen_obstacle(config, stream, dtype, training=training) is None:
            return VarlenAttention(stream)
        return SdpaAttention(config, stream, buffers)
    if name == "eager":
        return EagerAttention(config, stream)
    if is_flash(name):
        return FlashAttention(stream)
    raise ValueError(f"attn_implementation {name!r} is not one of mmBERT's: sdpa, eager, flash_attention_2")


def is_flash(attn_implementation: str | None) -> bool:
    """Return True for the names of FlashAttention kernels, packaged or from the Hub's kernel repositories."""
    return "flash" in (attn_implementation or "")


class SdpaAttention:
    """Blocks of queries for the window, groups of equal length for whole sequences."""

    def __init__(self, config: MmBertConfig, stream: TokenStream, buffers: BufferPool | None = None) -> None:
        self.stream = stream
        self.buffers = buffers or NO_REUSE
        self.half_window = config.local_attention // 2
        # A window that holds every sequence whole is none. The dense width, because holes widen the distances.
        self.has_window = SLIDING in (config.layer_types or []) and (
            tracing() or stream.shape[1] > self.half_window + 1
        )
        self.biases: dict[torch.dtype, Tensor] = {}

    def __call__(self, layer: MmBertAttention, qkv: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend within the layer's window, or within whole sequences; no weights."""
        by_products = not tracing() and not layer.dropout and products_are_faster(qkv)
        if layer.half_window is not None and self.has_window:
            bias = self._bias(qkv.dtype)
            if by_products:
                return attend_near(qkv, bias, layer.half_window, self.buffers), None
            return attend_in_blocks(qkv, bias, layer.half_window, layer.dropout, self.buffers.padded(qkv)), None
        if self.stream.groups is None and layer.dropout:
            return self._padded_sequences(qkv, layer.dropout), None
        if by_products or self.stream.groups is None:
            return attend_whole(qkv, self.stream.cu_seq_lens, self.buffers), None
        return self._whole_sequences(qkv, layer.dropout), None

    def _bias(self, dtype: torch.dtype) -> Tensor:
        """Return what keeps blocks to their windows; made once, in the dtype that autocast gives the queries."""
        if dtype not in self.biases:
            stream = self.stream
            self.biases[dtype] = bias_of_blocks(stream.segments(), stream.columns, self.half_window, dtype)
        return self.biases[dtype]

    def _whole_sequences(self, qkv: Tensor, dropout: float) -> Tensor:
        mixed, start = [qkv[:0, 2]], 0
        mask = self._padding_mask()
        for number, length in self.stream.groups or ():
            group = qkv[start : start + number * length].unflatten(0, (number, length))
            query, key, value = group.transpose(1, 3).unbind(2)
            out = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
            mixed.append(out.transpose(1, 2).flatten(0, 1))
            start += number * length
        return torch.cat(mixed) if len(mixed) != 2 else mixed[1]

    def _padding_mask(self) -> Tensor | None:
        """Return (B, 1, 1, L) while tracing, when padding is still there; a row of nothing else sees itself."""
        keep = self.stream.keep
        return None if keep is None else (keep | ~keep.any(1, keepdim=True))[:, None, None]

    def _padded_sequences(self, qkv: Tensor, dropout: float) -> Tensor:
        """Pad for dropout in a recorded graph of packed input: fused kernels draw it, `attend_whole` does not."""
        query, key, value = (self.stream.to_dense(t).transpose(1, 2) for t in qkv.unbind(1))
        real = self.stream.to_dense(torch.ones_like(self.stream.columns, dtype=torch.bool))
        out = scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None], dropout_p=dropout)
        return self.stream.from_dense(out.transpose(1, 2))


def products_are_faster(qkv: Tensor) -> bool:
    """Return True where plain matrix products beat torch's fused kernels: in bf16, on a CPU that multiplies it."""
    return qkv.dtype == torch.bfloat16 and qkv.device.type == "cpu" and has_fast_bf16(qkv.device)


class FlashAttention:
    """Whichever FlashAttention transformers knows under the configured name, on its varlen path."""

    def __init__(self, stream: TokenStream) -> None:
        self.stream = stream

    def __call__(self, layer: MmBertAttention, qkv: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend through `ALL_ATTENTION_FUNCTIONS`, which wants (1, H, T, D); no weights."""
        if qkv.shape[0] == 0:
            return qkv[:, 2], None
        attend = ALL_ATTENTION_FUNCTIONS[layer.config._attn_implementation]
        boundaries, longest = self.stream.cu_seq_lens, self.stream.max_length
        mixed, _ = attend(
            layer,
            *(t.transpose(0, 1)[None] for t in qkv.unbind(1)),
            attention_mask=None,
            dropout=layer.dropout,
            scaling=1 / math.sqrt(layer.head_dim),
            # transformers subtracts one on the way to the kernel, whose window_size is inclusive.
            sliding_window=None if layer.half_window is None else layer.half_window + 1,
            is_causal=False,
            deterministic=layer.config.deterministic_flash_attn,
            cu_seq_lens_q=boundaries,
            cu_seq_lens_k=boundaries,
            max_length_q=longest,
            max_length_k=longest,
        )
        return mixed.reshape(qkv[:, 2].shape), None


class EagerAttention:
    """Plain matrix products on the dense form of the batch."""

    def __init__(self, config: MmBertConfig, stream: TokenStream) -> None:
        self.stream = stream
        real = stream.to_dense(stream.segments() >= 0)
        self.visible = (real[:, None, :, None] & real[:, None, None, :]).detach()
        columns = torch.arange(stream.shape[1], device=real.device)
        self.near = (columns[:, None] - columns).abs() <= config.local_attention // 2

    def __call__(self, layer: MmBertAttention, qkv: Tensor) -> tuple[Tensor, Tensor | None]:
        """Attend densely; the weights (N, H, width, width) are zero in the rows and columns of padding."""
        visible = self.visible if layer.half_window is None else self.visible & self.near
        q, k, v = (self.stream.to_dense(t).transpose(1, 2) for t in qkv.unbind(1))
        scores = q @ k.transpose(2, 3) / math.sqrt(layer.head_dim)
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1, dtype=torch.float32).to(q.dtype).masked_fill(~visible, 0)
        weights = drop_out(weights, layer.dropout)
        return self.stream.from_dense((weights @ v).transpose(1, 2)), weights

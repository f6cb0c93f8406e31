"""The parts of the encoder between its attention layers: embeddings, rotary angles, GeGLU, the layer that joins them.

All but attention works on each token alone. Outside training a CPU therefore takes the stream through it in tiles of
some hundred tokens, whose intermediate results stay in the second-level cache; see `rows_per_tile`.

Names of submodules and shapes of tensors are ModernBERT's, so that checkpoints pass both ways unchanged.

Initialisation is full-megatron (released training YAML; ModernBERT's `src/bert_layers/initialization.py`): normal, cut
at two standard deviations; 0.02 for embeddings and everything that reads the residual stream, 0.02 / sqrt(2 * layers)
for everything that writes to it. A module that departs from 0.02 says so in `init_std`.

Trade-off: rotary angles are computed anew in every forward (T x D / 2 sines, under a thousandth of its work) instead of
being kept in a buffer. In return the base may change between training phases, no position is too far for a table, and
casting the model to bf16 cannot touch the angles.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from .attention import MmBertAttention
from .attention_backends import AttentionBackend
from .buffers import BufferPool
from .configuration_mmbert import MmBertConfig
from .geglu import gated
from .packing import tracing

# Scalings whose frequencies depend on the length of the input; the network computes its angles without knowing it.
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")


class MmBertEmbeddings(nn.Module):
    """Token embeddings, normalised; there is no table of positions."""

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__()
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.norm = layer_norm(config)
        self.drop = nn.Dropout(config.embedding_dropout)

    def forward(self, input_ids: Tensor | None = None, inputs_embeds: Tensor | None = None) -> Tensor:
        """Embed ids (T,), or normalise given embeddings (T, hidden_size)."""
        embeds = self.tok_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        hidden: Tensor = self.drop(self.norm(embeds))
        return hidden


class MmBertMLP(nn.Module):
    """GeGLU: one half of the inner channels, through GELU, gates the other."""

    def __init__(self, config: MmBertConfig) -> None:
        super().__init__()
        self.Wi = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=config.mlp_bias)
        self.act = ACT2FN[config.hidden_activation]
        self.drop = nn.Dropout(config.mlp_dropout)
        self.Wo = nn.Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (T, hidden_size) to (T, hidden_size)."""
        out: Tensor = self.Wo(self.drop(gated(self.act, self.Wi(hidden))))
        return out


class MmBertEncoderLayer(GradientCheckpointingLayer):
    """Attention (not normalised in layer 0: the embeddings just were), then GeGLU, each adding to the stream."""

    def __init__(self, config: MmBertConfig, layer_idx: int) -> None:
        super().__init__()
        self.attention_type: str = (config.layer_types or [])[layer_idx]
        self.attn_norm = layer_norm(config) if layer_idx else nn.Identity()
        self.attn = MmBertAttention(config, layer_idx)
        self.mlp_norm = layer_norm(config)
        self.mlp = MmBertMLP(config)
        self.compiled_halves: tuple[Callable[..., Tensor], Callable[..., Tensor]] | None = None
        for writer in (self.attn.Wo, self.mlp.Wo):
            start_with(writer, config.initializer_range / math.sqrt(2 * config.num_hidden_layers))

    def project_qkv(self, hidden: Tensor, cosine: Tensor, sine: Tensor, out: Tensor | None = None) -> Tensor:
        """Return queries, keys and values (T, 3, H, D) of the stream (T, hidden_size), normalised first."""
        return self.attn.project_qkv(self.attn_norm(hidden), cosine, sine, out)

    def output_and_mlp(self, hidden: Tensor, mixed: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the stream (T, hidden_size) after the heads (T, H, D) and GeGLU have written to it."""
        hidden = hidden + self.attn.output(mixed)
        return torch.add(hidden, self.mlp(self.mlp_norm(hidden)), out=out)

    def compile(self, **options: Any) -> None:
        """Compile what works on each token alone; attention keeps its own kernels."""
        # Functions of the class, so that one graph serves every layer.
        kind = type(self)
        self.compiled_halves = torch.compile(kind.project_qkv, **options), torch.compile(kind.output_and_mlp, **options)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the compiled functions behind: a copy, or another process, compiles for itself."""
        return {**self.__dict__, "compiled_halves": None}

    def forward(
        self,
        hidden: Tensor,
        rotation: tuple[Tensor, Tensor],
        backend: AttentionBackend,
        buffers: BufferPool | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """(T, hidden_size) after the layer, and attention weights where the backend has them."""
        if self.compiled_halves is not None:  # a compiler plans its memory by itself
            project_qkv, output_and_mlp = (partial(half, self) for half in self.compiled_halves)
            buffers = None
        else:
            project_qkv, output_and_mlp = self.project_qkv, self.output_and_mlp  # type: ignore[assignment]
        qkv = in_tiles(project_qkv, hidden, *rotation, out=None if buffers is None else buffers.qkv)
        mixed, weights = backend(self.attn, qkv)
        return in_tiles(output_and_mlp, hidden, mixed), weights


def in_tiles(rowwise: Callable[..., Tensor], *streams: Tensor, out: Tensor | None = None) -> Tensor:
    """`rowwise(*streams)` of (T, ...) streams, a tile of tokens at a time where that is faster, into `out` if given."""
    first, *others = tiles(streams[0])
    if out is None:
        found = rowwise(*(stream[first] for stream in streams) if others else streams)
        if not others:
            return found
        out = found.new_empty(len(streams[0]), *found.shape[1:])
        out[first] = found
    else:
        others = [first, *others]
    for tile in others:
        rowwise(*(stream[tile] for stream in streams), out=out[tile])
    return out


def tiles(stream: Tensor) -> list[slice]:
    """Cut the rows of a stream (T, ...) into tiles of `rows_per_tile`; at least one, which may be empty."""
    tokens, rows = stream.shape[0], rows_per_tile(stream)
    if rows is None or tokens <= rows:
        return [slice(0, tokens)]
    return [slice(start, start + rows) for start in range(0, tokens, rows)]


def rows_per_tile(stream: Tensor) -> int | None:
    """Return how many tokens to take through a layer's row-wise half at once; None for all of them.

    The widest intermediate result, 3 x 768 or 2 x 1,152 channels, then about fits a second-level cache of 1 MB. On one
    core in bf16 at 8,192 tokens GeGLU takes 12.9 us per token in tiles of 256 and 17.8 in one piece; tiles of 64
    make small, slow products, 15.9. Training keeps all intermediate results anyway, and a GPU wants large products.
    """
    # Not `stream.requires_grad`: of frozen layers below an adapter the stream needs no gradient, its weights do.
    if stream.device.type != "cpu" or tracing() or torch.is_grad_enabled():
        return None
    return 256 * torch.get_num_threads()


def layer_norm(config: MmBertConfig) -> nn.LayerNorm:
    """Return a LayerNorm over the model's width, without bias in mmBERT."""
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=config.norm_bias)


def rotations(config: MmBertConfig, positions: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """(T, D / 2) fp32 cosines and sines for each layer type; computed once where types share their parameters."""
    tables: dict[str, tuple[Tensor, Tensor]] = {}
    parameters = _rope_parameters(config)
    for layer_type in dict.fromkeys(config.layer_types or []):
        same = next((known for known in tables if parameters[known] == parameters[layer_type]), None)
        if same is None:
            frequencies, scale = rotary_frequencies(config, layer_type, positions.device)
            angles = positions[:, None].float() * frequencies
            tables[layer_type] = (angles.cos() * scale, angles.sin() * scale)
        else:
            tables[layer_type] = tables[same]
    return tables


def rotary_frequencies(config: MmBertConfig, layer_type: str, device: torch.device) -> tuple[Tensor, float]:
    """Radians per position (D / 2,), fp32, of a layer type, and the factor on cosine and sine, 1 without scaling."""
    parameters = _rope_parameters(config)[layer_type]
    kind = parameters.get("rope_type", "default")
    if kind == "default":
        channels = config.hidden_size // config.num_attention_heads
        exponents = torch.arange(0, channels, 2, device=device, dtype=torch.float32) / channels
        return 1.0 / parameters["rope_theta"] ** exponents, 1.0
    if kind in LENGTH_DEPENDENT_ROPE or kind not in ROPE_INIT_FUNCTIONS:
        known = ", ".join(["default", *(name for name in ROPE_INIT_FUNCTIONS if name not in LENGTH_DEPENDENT_ROPE)])
        raise ValueError(f"rope_type {kind!r} of {layer_type} is not supported; choose one of: {known}")
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, device, layer_type=layer_type)
    return frequencies.float(), scale


def _rope_parameters(config: MmBertConfig) -> dict[str, dict[str, Any]]:
    return {str(layer_type): values for layer_type, values in (config.rope_parameters or {}).items()}


def initialise(module: nn.Module, config: MmBertConfig) -> None:
    """Fill the parameters that `module` itself holds with their starting values, as far as they were not loaded."""
    if isinstance(module, nn.Linear | nn.Embedding):
        if module.weight.dtype == torch.int8:
            lacking = [n for n, p in module.named_parameters() if not getattr(p, "_is_hf_initialized", False)]
            raise ValueError(f"the int8 checkpoint lacks {', '.join(lacking)} of {module}; export it again")
        std = getattr(module, "init_std", config.initializer_range)
        cut = config.initializer_cutoff_factor * std
        # transformers' functions leave alone what from_pretrained has loaded.
        initialization.trunc_normal_(module.weight, mean=0.0, std=std, a=-cut, b=cut)
    elif isinstance(module, nn.LayerNorm):
        initialization.ones_(module.weight)
    if isinstance(bias := getattr(module, "bias", None), Tensor):
        initialization.zeros_(bias)


def start_with(module: nn.Linear, std: float) -> None:
    """Have `initialise` fill the weight of `module` with this standard deviation instead of the model's usual one."""
    module.init_std = std  # type: ignore[assignment]  # nn.Module declares its attributes as tensors and modules

"""The networks that are compared: ours, stock ModernBERT with the same weights, and the shapes of XLM-R and MiniLM.

Weights are random unless a checkpoint is given, and the vocabulary is small: what a layer costs depends on neither, and
looking up an embedding costs no operation. XLM-R base and Multilingual-MiniLM-L12-H384 are BERT networks of 12 layers
that read at most 512 tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from transformers import AutoModel, ModernBertConfig, XLMRobertaConfig

from ...common.messages import require_known
from ...modeling import MmBertConfig, MmBertModel, quantise_weights
from ...modeling.hardware import preferred_dtype
from .settings import Batch, make_batch

OURS, COMPILED, STOCK, XLM_R, MINILM = "mmbert", "mmbert compiled", "modernbert", "xlm-r", "minilm"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
INT8 = "int8"  # of matrices, ours only; what lies between them is in the dtype that the processor is fast in
# What may lie between two right implementations, as a share of the output's norm: bf16 keeps 8 bits, 22 layers add
# their rounding up, and trained weights more so than random ones. Finer differences are for the tests to find.
_ROUNDING = {"float32": 1e-3, "bfloat16": 0.2, "float16": 0.05}
_VOCABULARY = 32_000
# Hidden size, layers, heads, MLP width: xlm-roberta-base and microsoft/Multilingual-MiniLM-L12-H384, config.json.
_PEERS = {(XLM_R, "base"): (768, 12, 12, 3072), (MINILM, "small"): (384, 12, 12, 1536)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One model, as plain data that a child process can be given.

    Attributes:
        network: `mmbert`, `mmbert compiled`, `modernbert` (stock, the same weights), `xlm-r` or `minilm`.
        size: `base` or `small`; XLM-R is a base and MiniLM a small one. With a checkpoint, only a name.
        dtype: `float32`, `bfloat16` or `float16`, of weights and activations; `int8`, of our matrices.
        checkpoint: Folder or Hub id of an mmBERT or ModernBERT checkpoint, in place of random weights.
        overrides: Fields of the configuration that differ from the released one.
    """

    network: str
    size: str = "base"
    dtype: str = "float32"
    checkpoint: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def tied_weights(self) -> tuple[str, str, str | None]:
        """What models with the same weights have in common."""
        return self.size, self.dtype, self.checkpoint


def configuration(entry: Entry) -> Any:
    """Return the configuration of a model."""
    require_known("dtype", entry.dtype, (*DTYPES, INT8) if entry.network == OURS else DTYPES)
    if (entry.network, entry.size) in _PEERS:
        return _peer_configuration(entry)
    if entry.network not in (OURS, COMPILED, STOCK):
        raise ValueError(f"no network {entry.network!r} of size {entry.size!r}; XLM-R is a base, MiniLM a small one")
    if entry.checkpoint is not None:
        config = MmBertConfig.from_pretrained(entry.checkpoint)
    else:
        require_known("size", entry.size, ("base", "small"))
        shape = MmBertConfig if entry.size == "base" else MmBertConfig.small
        config = shape(**{"vocab_size": _VOCABULARY, **entry.overrides})
    if entry.network != STOCK:
        return config
    fields = config.to_dict()
    fields.pop("model_type")
    return ModernBertConfig(**fields)


def _peer_configuration(entry: Entry) -> XLMRobertaConfig:
    width, layers, heads, middle = _PEERS[entry.network, entry.size]
    fields = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": middle,
        "vocab_size": _VOCABULARY,
        "max_position_embeddings": 513,  # positions count from one beyond the id of padding
        "type_vocab_size": 1,
        "pad_token_id": 0,  # as ours, so that all read the same ids; the published files have 1, and 514 positions
    }
    return XLMRobertaConfig(**{**fields, **entry.overrides})


def longest_input(config: Any) -> int:
    """Return the number of tokens that a network reads at most."""
    limit = int(config.max_position_embeddings)
    return limit - config.pad_token_id - 1 if config.model_type == "xlm-roberta" else limit


def computed_in(dtype: str) -> torch.dtype:
    """Return the dtype of activations."""
    return preferred_dtype(torch.device("cpu")) if dtype == INT8 else DTYPES[dtype]


class Builder:
    """Builds models, and lets those of the same weights share one copy of them."""

    def __init__(self) -> None:
        self._weights: dict[tuple[str, str, str | None], Mapping[str, Any]] = {}

    def build(self, entry: Entry) -> Any:
        """Build one model in evaluation mode; stock must compute what ours does with the same weights."""
        torch.manual_seed(0)
        config, dtype = configuration(entry), computed_in(entry.dtype)
        if entry.dtype == INT8:
            rounded = self.build(replace(entry, dtype=str(dtype).removeprefix("torch.")))
            quantise_weights(rounded)
            return rounded
        if entry.network in (XLM_R, MINILM):
            return AutoModel.from_config(config, dtype=dtype, add_pooling_layer=False).eval()
        if entry.checkpoint is not None and entry.tied_weights not in self._weights:
            source = MmBertModel.from_pretrained(entry.checkpoint, dtype=dtype)
            self._weights[entry.tied_weights] = source.state_dict()
        model = AutoModel.from_config(config, dtype=dtype)
        weights = self._weights.setdefault(entry.tied_weights, model.state_dict())
        model.load_state_dict(weights, assign=True)
        model.eval()
        if entry.network == COMPILED:
            model.compile()
        elif entry.network == STOCK:
            _require_same_numbers(model, entry, weights)
        return model


@torch.inference_mode()
def _require_same_numbers(stock: Any, entry: Entry, weights: Mapping[str, Any]) -> None:
    """A run between networks that compute different things says nothing: compare them on a short padded batch."""
    ours = AutoModel.from_config(configuration(replace(entry, network=OURS)), dtype=stock.dtype)
    ours.load_state_dict(weights, assign=True)
    models = (stock, ours.eval())
    limit = longest_input(stock.config)
    batch = batch_for(stock.config, [min(200, limit), min(70, limit)])
    real = batch.attention_mask.bool()
    expected, got = (forward(model, batch)()[real].double() for model in models)
    distance = float((got - expected).norm() / expected.norm())
    if not distance <= _ROUNDING[entry.dtype]:
        raise ValueError(
            f"mmbert and stock ModernBERT differ by {distance:.1e} of the output's norm in {entry.dtype} (rounding: "
            f"{_ROUNDING[entry.dtype]:.0e}); their speeds cannot be compared"
        )


def batch_for(config: Any, lengths: Sequence[int]) -> Batch:
    """Make a batch of random tokens that a network of this configuration can read."""
    return make_batch(list(lengths), config.vocab_size, config.pad_token_id or 0)


def forward(model: Any, batch: Batch) -> Callable[[], torch.Tensor]:
    """Return a call that encodes the batch and gives back the last hidden state (B, L, hidden_size)."""

    @torch.inference_mode()
    def call() -> torch.Tensor:
        out: torch.Tensor = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).last_hidden_state
        return out

    return call

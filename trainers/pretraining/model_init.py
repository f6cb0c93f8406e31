"""The network that a run begins with: fresh weights, or those of a checkpoint that is proven to fit first.

transformers fills a tensor that a file lacks with random numbers and says so in a warning. A run of weeks must not
begin like that, nor with a table of embeddings whose rows belong to another tokenizer's tokens, so both are refused.
"""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, set_seed

from ...common.checkpoints.hub import local_checkpoint
from ...common.checkpoints.reader import require_start
from ...modeling import MmBertConfig, MmBertForMaskedLM
from ...modeling.resize import initialise_from
from ...modeling.tokenization_mmbert import build_tokenizer, tokenizer_fingerprint
from ...recipes import Recipe


def build_model(recipe: Recipe, vocab_size: int, tokenizer: PreTrainedTokenizerFast | None = None) -> MmBertForMaskedLM:
    """Build the recipe's network with fresh weights, or load the checkpoint it starts from."""
    fields = dict(recipe.model)
    size, checkpoint = fields.pop("size", None) or "base", fields.pop("checkpoint", None)
    larger_or_smaller = fields.pop("initialise_from", None)
    unknown = sorted(set(fields) - set(MmBertConfig.__dataclass_fields__))
    if unknown or size not in ("base", "small"):
        raise ValueError(f"model: {', '.join(unknown) or size} is neither a size (base, small) nor in MmBertConfig.")
    if checkpoint is not None and larger_or_smaller is not None:
        raise ValueError("model: checkpoint and initialise_from are two ways to begin; keep one of them.")
    longest = max(phase.context_length for phase in (*recipe.phases, *recipe.variants.values()))
    set_seed(recipe.seed)
    if checkpoint is not None:
        return _load(str(checkpoint), fields, vocab_size, tokenizer, size=recipe.model.get("size"), longest=longest)
    source = None
    if larger_or_smaller is not None:  # its table may be padded beyond the tokenizer's tokens
        source = _load(str(larger_or_smaller), {}, vocab_size, tokenizer)
        vocab_size = source.config.vocab_size
    fields = {"max_position_embeddings": max(8192, longest), **fields, "vocab_size": vocab_size}
    config = MmBertConfig.small(**fields) if size == "small" else MmBertConfig(**fields)
    _check_length("model", config, longest)
    return MmBertForMaskedLM(config) if source is None else initialise_from(source, config, seed=recipe.seed)


def _check_length(name: str, config: MmBertConfig, longest: int) -> None:
    """Refuse phases that are longer than the network reads now, not when the first of their batches comes."""
    if longest > config.max_position_embeddings:
        raise ValueError(
            f"a phase has a context_length of {longest}, but {name} reads at most {config.max_position_embeddings} "
            f"tokens; write `model: {{max_position_embeddings: {longest}}}`, or shorten the phase."
        )


def _check_size(name: str, size: str, fields: Mapping[str, Any], config: MmBertConfig) -> None:
    """Refuse a `size` that says another shape than the checkpoint has; an inherited one that is right may stay."""
    named = MmBertConfig.small() if size == "small" else MmBertConfig()
    for field in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        if field not in fields and getattr(named, field) != getattr(config, field):
            raise ValueError(
                f"model.size is {size}, with a {field} of {getattr(named, field)}, but {name} has "
                f"{getattr(config, field)}; remove it (`size: null` where it is inherited), or write `initialise_from`."
            )


def _load(
    name: str,
    fields: Mapping[str, Any],
    vocab_size: int,
    tokenizer: PreTrainedTokenizerFast | None,
    *,
    size: str | None = None,
    longest: int = 0,
) -> MmBertForMaskedLM:
    path = local_checkpoint(name)
    opened = require_start(path, masked_lm=True)
    opened.verify()
    with torch.device("meta"):
        expected = MmBertForMaskedLM(MmBertConfig.from_pretrained(path, **fields))
    if size is not None:
        _check_size(name, size, fields, expected.config)
    _check_length(name, expected.config, longest)
    opened.check_against(expected)
    if expected.config.vocab_size < vocab_size:
        raise ValueError(f"{name} has {expected.config.vocab_size} tokens, the tokenizer {vocab_size}.")
    if tokenizer is not None:
        own = build_tokenizer(path)
        if tokenizer_fingerprint(own) != tokenizer_fingerprint(tokenizer):
            raise ValueError(
                f"{name} was trained with another tokenizer ({len(own)} tokens) than this run's data ({vocab_size} "
                f"tokens): its embeddings would mean other tokens. Write `data: {{tokenizer: {name}}}` in the recipe."
            )
    # The optimizer's small steps would be lost in bf16 weights; autocast computes in bf16 where that is wanted.
    model: MmBertForMaskedLM = MmBertForMaskedLM.from_pretrained(path, dtype=torch.float32, **fields)
    return model

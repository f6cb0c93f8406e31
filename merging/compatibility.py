"""Refuses checkpoints that do not fit together.

Averaging numbers that mean different things gives a model that loads and is silently bad. So tensors, types, the
configuration keys that change what a weight means, and the tokenizers are compared first; each refusal names what
differs and where.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch

<<<<<<< HEAD
from ..common.checkpoints.reader import Checkpoint
from ..common.files import read_json
=======
from ..common.checkpoints.reader import Checkpoint
from ..export.modernbert.tokenizer_files import portable_cut
>>>>>>> 0aed8be (Exports: one plan, token vectors first, rerankers, QA, SPLADE and ColBERT heads; one cut of words for every engine)

_ARCHITECTURE = (  # two models whose configs differ here give the same weight another meaning
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_activation",
    "hidden_act",
    "layer_types",
    "global_attn_every_n_layers",
    "local_attention",
    "global_rope_theta",
    "local_rope_theta",
    "rope_theta",
    "rope_parameters",
    "position_embedding_type",
    "norm_eps",
    "layer_norm_eps",
)
_FLAT_THETA = {"full_attention": "global_rope_theta", "sliding_attention": "local_rope_theta"}
_OTHER_TOKENIZERS = (
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
)


def check_tensors(first: Checkpoint, other: Checkpoint, copies: Collection[str]) -> None:
    """Refuse another set of tensors, other shapes, other types, and integer tensors that differ.

    Args:
        first: The reference.
        other: The checkpoint to compare.
        copies: Second names of tied parameters, which may be absent.

    Raises:
        ValueError: If they differ; the message names the tensor.
    """
    different = sorted((first.tensors.keys() ^ other.tensors.keys()) - set(copies))
    if different:
        holder, lacking = (first, other) if different[0] in first.tensors else (other, first)
        raise ValueError(
            f"tensor {different[0]!r} is in {holder.path} but not in {lacking.path} ({len(different)} such); "
            "only models of one architecture and head can be merged"
        )
    for name in sorted(first.tensors.keys() & other.tensors.keys()):
        one, two = first.tensors[name], other.tensors[name]
        if one.shape != two.shape:
            raise ValueError(
                f"tensor {name!r} has shape {list(two.shape)} in {other.path} but {list(one.shape)} in {first.path}; "
                "only models of equal sizes and vocabulary can be merged"
            )
        if one.dtype != two.dtype:
            raise ValueError(
                f"tensor {name!r} is {two.dtype} in {other.path} but {one.dtype} in {first.path}; "
                "save all models in one dtype before merging"
            )
        if not one.is_floating and not torch.equal(first.read(name), other.read(name)):
            raise ValueError(
                f"tensor {name!r} is no floating-point weight and differs in {other.path}; it cannot be merged"
            )


def check_config(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse another architecture: the same weights would mean something else. A key that one lacks is not compared.

    Args:
        first: The reference.
        other: The checkpoint to compare.

    Raises:
        ValueError: If they differ; the message names the key of config.json.
    """
    one, two = _architecture(first.config), _architecture(other.config)
    for key in one.keys() & two.keys():
        if one[key] != two[key]:
            raise ValueError(
                f"config.json: {key} is {two[key]} in {other.path} but {one[key]} in {first.path}; "
                "only models of one architecture can be merged"
            )


def _architecture(config: dict[str, Any]) -> dict[str, Any]:
    facts = {key: config[key] for key in _ARCHITECTURE if config.get(key) is not None}
    rope = facts.get("rope_parameters")
    if isinstance(rope, dict) and rope.keys() & _FLAT_THETA.keys():
        # transformers 5 nests the thetas that version 4 wrote flat: compare them in one form
        del facts["rope_parameters"]
        for kind, key in _FLAT_THETA.items():
            if isinstance(rope.get(kind), dict) and "rope_theta" in rope[kind]:
                facts[key] = rope[kind]["rope_theta"]
    return facts


def check_tokenizer(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse another tokenizer, where both directories have one.

    Args:
        first: The reference.
        other: The checkpoint to compare.

    Raises:
        ValueError: If vocabulary, merges, added tokens, normalizer or pre-tokenizer differ.
    """
    one, two = first.path / "tokenizer.json", other.path / "tokenizer.json"
    if one.is_file() and two.is_file():
        if one.read_bytes() != two.read_bytes():
            _check_tokenizer_parts(one, two)
        return
    for name in _OTHER_TOKENIZERS:
        one, two = first.path / name, other.path / name
        if one.is_file() and two.is_file() and one.read_bytes() != two.read_bytes():
            raise ValueError(f"{two} differs from {one}; only models of one tokenizer can be merged")


def _check_tokenizer_parts(one: Path, two: Path) -> None:
    """Compare what decides about ids; truncation and padding are settings of the last use, not of the tokenizer."""
    parts = [_tokenizer_parts(read_json(path)) for path in (one, two)]
    for part, value in parts[0].items():
        if value != parts[1][part]:
            examples = sorted(set(value) ^ set(parts[1][part]))[:1]
            told = f" (for instance {examples[0]})" if examples else ""
            raise ValueError(
                f"{two}: its {part} differs from that of {one}{told}; only models of one tokenizer can be merged"
            )


def _tokenizer_parts(raw: dict[str, Any]) -> dict[str, list[str]]:
    model = raw.get("model") or {}
    vocabulary = model.get("vocab") or {}
    words = vocabulary.items() if isinstance(vocabulary, dict) else enumerate(vocabulary)
    merges = model.get("merges") or []
    return {
        "vocabulary": sorted(f"{word!r}: {number}" for word, number in words),
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in merges],
        "added tokens": sorted(f"{token['content']!r}: {token['id']}" for token in raw.get("added_tokens") or []),
        "normalizer": [json.dumps(raw.get("normalizer"), sort_keys=True)],
        "pre-tokenizer": [json.dumps(portable_cut(raw.get("pre_tokenizer")), sort_keys=True)],
    }

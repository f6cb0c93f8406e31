"""Refuses checkpoints that do not fit together.

Averaging numbers that mean different things gives a model that loads and is silently bad. So tensors, types, the
configuration keys that change what a weight means, and the tokenizers are compared first; each refusal names what
differs and where.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from ..common.checkpoints.reader import Checkpoint
from ..common.files import read_json
from ..export.modernbert.st_modules import LENGTH, MODULE_NAMES, MODULES, SETTINGS, old_pooling, read_modules
from ..export.modernbert.tokenizer_files import portable_cut

_LABELS = ("id2label", "label2id")
_OF_TRAINING = {  # keys of config.json that say nothing of what the weights or their outputs mean
    "_commit_hash",
    "_name_or_path",
    "auto_map",
    "cls_token_id",  # the network reads neither of the two, and published configs disagree with their tokenizers
    "deterministic_flash_attn",
    "dtype",
    "gradient_checkpointing",
    "reference_compile",
    "sep_token_id",
    "sparse_pred_ignore_index",
    "sparse_prediction",
    "tie_word_embeddings",  # the tensors show it
    "torch_dtype",
    "transformers_version",
    "use_cache",
    *_LABELS,  # compared by `_labels`
}
_OURS = {"model_type": ("modernbert", "mmbert"), "architectures": ("ModernBert", "MmBert")}  # two names, one network
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
    """Refuse another set of tensors, other shapes, other types, and integer tensors that differ."""
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


def merged_config(checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """Give the first config.json to the result; refuse one that says another thing of the same weights or outputs.

    What only one says is not compared. Labels, and which problem a head solves, are taken from the first that says it.
    """
    first = checkpoints[0]
    config = {key: value for key, value in first.config.items() if key != "auto_map"}  # its code does not lie here
    for other in checkpoints[1:]:
        one, two = _meaning(config), _meaning(other.config)
        for key in sorted(one.keys() & two.keys()):
            if one[key] != two[key]:
                raise ValueError(
                    f"config.json: {key} is {two[key]} in {other.path} but {one[key]} in {first.path} or another "
                    "before it; only models that mean the same can be merged"
                )
        if not _labels(config) and _labels(other.config):
            config |= {key: other.config[key] for key in _LABELS if key in other.config}
        if config.get("problem_type") is None and other.config.get("problem_type") is not None:
            config["problem_type"] = other.config["problem_type"]
    return config


def _labels(config: dict[str, Any]) -> dict[str, str]:
    """Return the labels by number; none where they are the names that transformers makes up."""
    said = config.get("id2label")
    labels = {f"label {number}": str(name) for number, name in said.items()} if isinstance(said, dict) else {}
    return {} if all(key == f"label {name.removeprefix('LABEL_')}" for key, name in labels.items()) else labels


def check_modules(checkpoints: Sequence[Checkpoint]) -> Checkpoint | None:
    """Refuse sentence-transformers modules or prompts that differ; return the first save with modules, or None."""
    saved = [checkpoint for checkpoint in checkpoints if (checkpoint.path / MODULES).is_file()]
    for other in saved[1:]:
        one, two = _modules(saved[0].path), _modules(other.path)
        for what in one.keys() | two.keys():
            if one.get(what) != two.get(what):
                raise ValueError(
                    f"{what} differs between {saved[0].path} and {other.path}; only models with the same modules, "
                    "settings and prompts can be merged"
                )
    return saved[0] if saved else None


def _modules(folder: Path) -> dict[str, Any]:
    """Say what a folder's modules do, whichever version of sentence-transformers wrote them."""
    modules = read_modules(folder)
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).is_file() else {}
    prompts = {name: text for name, text in (settings.pop("prompts", None) or {}).items() if text}
    settings = {key: value for key, value in settings.items() if value is not None and key != "__version__"}
    settings = {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"} | settings  # where it names none
    found: dict[str, Any] = {MODULES: kinds, f"prompts in {SETTINGS}": prompts}
    found |= {f"{key} in {SETTINGS}": value for key, value in settings.items()}
    for module in modules:
        place = folder / module["path"]
        for path in sorted(place.rglob("*")) if module["path"] else []:
            name = f"{module['path']}/{path.relative_to(place).as_posix()}"
            if path.suffix == ".json":
                found[name] = sorted(map(str, _plain(read_json(path)).items()))
            elif path.is_file():
                found[name] = path.read_bytes()
    limit = read_json(folder / LENGTH) if (folder / LENGTH).is_file() else {}
    return found | {LENGTH: limit.get("max_seq_length") if limit else None}


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """Bring a module's settings into the form of sentence-transformers 5, without what has its usual value."""
    fields = old_pooling(fields) | {"include_prompt": fields.get("include_prompt", True)}
    return {key: value for key, value in fields.items() if key not in MODULE_NAMES and value not in (False, None)}


def _meaning(config: dict[str, Any]) -> dict[str, Any]:
    facts = {k: v for k, v in config.items() if v is not None and k not in _OF_TRAINING and "dropout" not in k}
    facts = {k: v for k, v in facts.items() if not k.startswith("initializer_")} | _labels(config)
    for key, (stock, own) in _OURS.items():
        if key in facts:
            facts[key] = str(facts[key]).replace(stock, own)
    if isinstance(head := facts.get("sentence_transformers"), dict):  # of a reranker
        facts["sentence_transformers"] = {key: value for key, value in head.items() if key != "version"}
    rope = facts.get("rope_parameters")
    if isinstance(rope, dict) and rope.keys() & _FLAT_THETA.keys():
        # transformers 5 nests the thetas that version 4 wrote flat: compare them in one form
        del facts["rope_parameters"]
        for kind, key in _FLAT_THETA.items():
            if isinstance(rope.get(kind), dict) and "rope_theta" in rope[kind]:
                facts[key] = rope[kind]["rope_theta"]
    return facts


def check_tokenizer(first: Checkpoint, other: Checkpoint) -> None:
    """Refuse another tokenizer, where both directories have one."""
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
    options = {key: value for key, value in model.items() if key not in ("vocab", "merges") and value}
    return {
        "vocabulary": sorted(f"{word!r}: {number}" for word, number in words),
        "merges": [merge if isinstance(merge, str) else " ".join(merge) for merge in merges],
        "added tokens": sorted(f"{token['content']!r}: {token['id']}" for token in raw.get("added_tokens") or []),
        "model": [json.dumps(options, sort_keys=True)],
        "template": [json.dumps(raw.get("post_processor"), sort_keys=True)],
        "normalizer": [json.dumps(raw.get("normalizer"), sort_keys=True)],
        "pre-tokenizer": [json.dumps(portable_cut(raw.get("pre_tokenizer")), sort_keys=True)],
    }

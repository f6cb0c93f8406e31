"""Exports a checkpoint as `model_type: modernbert`, which stock transformers 4 and 5 and serving engines load.

The tensors are ModernBERT's already, so the shards are copied as they are and only the JSON beside them is rewritten:
config.json gets both RoPE spellings (transformers 4, text-embeddings-inference, vLLM and llama.cpp read the flat keys,
transformers 5 the nested ones; a file without the flat keys silently runs with local theta 10,000 in version 4), and
the tokenizer gets the class name that both versions know. The config is checked by building the stock network on
the meta device and comparing every tensor's shape, before anything is written. What the flat keys cannot say
(irregular layer types, scaled RoPE) is refused rather than written wrongly.

Trade-off: an exported checkpoint loads into stock ModernBERT everywhere but loses our defaults, such as sparse
prediction while training; `MmBertForMaskedLM.from_pretrained` reads it back all the same.
"""

import os
from pathlib import Path
from typing import Any, Literal

import torch

from ...common.checkpoints.format import architectures
from ...common.checkpoints.integrity import check_settings
from ...common.checkpoints.reader import SIDE_FILES, Checkpoint, open_checkpoint
from ...common.checkpoints.writer import atomic_directory, write_index
from ...common.files import copy_files, read_json, refuse_existing, write_json
from ...common.messages import require_known
from ...model_cards.cards.folder import write_card
from ...modeling.int8_format import int8_fields
from .int8 import rounded_names, write_int8
from .remote_code import auto_map, write_remote_code
from .self_test import Comparison, make_self_test
from .st_modules import LENGTH, MODULE_FILES, copy_modules, saved_kind, write_old_layout
from .tokenizer_files import check_tokenizer, rewrite_tokenizer_config, write_portable_cut

_MODEL_TYPES = ("mmbert", "modernbert")
_HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForMultipleChoice",
)
_PAPERS = ("README.md", "LICENSE", "LICENSE.txt", "NOTICE", "merge.json")


def export_modernbert(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    code: bool = False,
    card: bool = True,
    quantize: Literal["none", "int8"] = "none",
) -> Path:
    """Write a checkpoint in the format that every ModernBERT reader loads, with the same numbers.

    Before the output appears, stock transformers computes it from the written files and must agree with us; the numbers
    go along as `self_test.json`, for `mmbert doctor` and any other reader to compare with.

    An absent checkpoint or shard is a FileNotFoundError. A ValueError says that it is no mmBERT, that files are damaged
    or pickles, that tensors do not fit the config, that layers or RoPE cannot be written for all readers, or that the
    output exists or cannot be written; the message names which, and nothing is left there.

    Args:
        checkpoint: Local mmBERT or ModernBERT checkpoint directory, with or without a head; a SentenceTransformer
            directory keeps its modules.
        output: Directory to make; it appears when it is complete.
        code: Also write our network's files and the `auto_map` that leads to them, for readers who say
            `trust_remote_code=True`. Some libraries cannot reload their own saves of a configuration with `auto_map`.
        card: Also write README.md, or complete the one that comes along.
        quantize: `int8` rounds matrices and embedding table, a scale a row: a quarter of fp32. We run such weights as
            they are, on a CPU; stock transformers widens them, with compressed-tensors installed. The table of a masked
            LM, which is its decoder too, stays as it is.

    Returns:
        The output directory.
    """
    refuse_existing(output)
    require_known("quantize", quantize, ("none", "int8"))
    source = open_checkpoint(checkpoint)
    config = _modernbert_config(source)
    source.verify()
    source.require_float()
    source.require_finite()
    stock = _check_tensors(source, config)
    check_tokenizer(source.path / "tokenizer.json", config["vocab_size"])
    check_settings(source.path)
    test = make_self_test(source.path)
    with atomic_directory(output) as directory:
        if quantize == "int8":
            rounded = rounded_names(stock)
            write_int8(directory, source, rounded)
            config["quantization_config"] = int8_fields(table=any("tok_embeddings" in name for name in rounded))
        else:
            copy_files(source.path, directory, source.files)
            write_index(directory, source)
        if code:
            write_remote_code(directory)
        write_json(directory / "config.json", config | ({"auto_map": auto_map()} if code else {}))
        copy_files(source.path, directory, (*SIDE_FILES, *_PAPERS, *MODULE_FILES))
        copy_modules(source.path, directory)
        if saved_kind(source.path) == "SentenceTransformer":
            write_old_layout(directory, _max_seq_length(source, config))
        write_portable_cut(directory / "tokenizer.json")
        rewrite_tokenizer_config(directory / "tokenizer_config.json", config["max_position_embeddings"])
        test.write(directory)
        _require_same_numbers(test.compare(directory, stock=quantize == "none"), source.path)
        if card:
            write_card(directory, Path(output).name)
    return Path(output)


def _modernbert_config(source: Checkpoint) -> dict[str, Any]:
    """Say the checkpoint's configuration in ModernBERT's words, old and new."""
    from huggingface_hub.errors import StrictDataclassError

    from ...modeling.configuration_mmbert import MmBertConfig

    path, found = source.path / "config.json", source.config.get("model_type")
    if found not in _MODEL_TYPES:
        raise ValueError(f"{path}: model_type {found!r} cannot be exported; supported are {', '.join(_MODEL_TYPES)}")
    try:
        fields: dict[str, Any] = MmBertConfig.from_pretrained(source.path).to_diff_dict()
    except (StrictDataclassError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a valid configuration: {' '.join(str(error).split())}") from error
    _check_expressible(path, fields)
    fields = {key: value for key, value in fields.items() if not key.startswith("_") and key != "auto_map"}
    # Stock code leaves out logits where sparse prediction is on; the released configs have it off.
    fields["sparse_prediction"] = bool(found == "modernbert" and source.config.get("sparse_prediction"))
    fields |= {"model_type": "modernbert", "architectures": [_architecture(source)]}
    fields["layer_norm_eps"] = fields["norm_eps"]  # the name that llama.cpp and vLLM before 2026 look for
    if fields["architectures"] == ["ModernBertForSequenceClassification"]:
        # text-embeddings-inference takes the number of classes from here and 1 where it is absent
        fields["num_labels"] = len(fields.get("id2label") or {}) or 2
    return dict(sorted(fields.items()))


def _check_expressible(path: Path, fields: dict[str, Any]) -> None:
    if "global_attn_every_n_layers" not in fields:
        raise ValueError(
            f"{path}: layer_types follow no fixed period, which readers of global_attn_every_n_layers (transformers 4, "
            "text-embeddings-inference) would run wrongly; only every-n-th-layer patterns can be exported"
        )
    for kind, rope in fields["rope_parameters"].items():
        if rope.get("rope_type", "default") != "default":
            raise ValueError(
                f"{path}: {kind} has rope_type {rope['rope_type']!r}, which readers of the flat theta keys would "
                "silently ignore; only rope_type 'default' can be exported"
            )


def _architecture(source: Checkpoint) -> str:
    """Name the stock class; from the tensors if config.json names none."""
    named = architectures(source.config)
    for head in _HEADS:
        if named[:1] in ([f"MmBert{head}"], [f"ModernBert{head}"]):
            return f"ModernBert{head}"
    if named:
        raise ValueError(
            f"{source.path / 'config.json'}: architecture {named[0]!r} cannot be exported; "
            f"supported are {', '.join('MmBert' + head for head in _HEADS)}"
        )
    if "decoder.bias" in source.tensors:
        return "ModernBertForMaskedLM"
    if "embeddings.tok_embeddings.weight" in source.tensors:
        return "ModernBertModel"
    raise ValueError(f'{source.path / "config.json"}: names no architecture; add one, such as ["MmBertForMaskedLM"]')


def _check_tensors(source: Checkpoint, config: dict[str, Any]) -> torch.nn.Module:
    """Build the stock network without memory, compare names and shapes, and return it."""
    import transformers

    stock = getattr(transformers, config["architectures"][0])
    with torch.device("meta"):
        network: torch.nn.Module = stock(transformers.ModernBertConfig(**config))
    source.check_against(network)
    return network


def _max_seq_length(source: Checkpoint, config: dict[str, Any]) -> int:
    """Return the limit of a saved embedder: the smallest of what network, tokenizer and modules say."""
    said = [read_json(p) if (p := source.path / n).is_file() else {} for n in (LENGTH, "tokenizer_config.json")]
    limits = (said[0].get("max_seq_length"), said[1].get("model_max_length"), config["max_position_embeddings"])
    return min(int(limit) for limit in limits if limit)


def _require_same_numbers(comparison: Comparison, path: Path) -> None:
    if not comparison.agrees:
        raise ValueError(
            f"{path}: the exported files give other numbers ({comparison}); nothing was written, please report this"
        )

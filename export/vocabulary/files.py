"""Writes the files of a trimmed checkpoint: chosen rows of the weights, the tokenizer, everything beside them.

Rows are copied block by block from shard to shard, so that memory stays at some megabytes for a model of any size.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...common.checkpoints.reader import Checkpoint
from ...common.checkpoints.writer import CheckpointWriter, write_index
from ...common.files import copy_files, read_json, write_json
from ..modernbert.st_modules import MODULE_FILES, copy_modules
from .bpe import Vocabulary

KEPT_IDS = "kept_ids.txt"
_EMBEDDING = re.compile(r"(?:^|\.)embeddings\.tok_embeddings\.weight$")
_BY_TOKEN = re.compile(r"(?:^|\.)(?:embeddings\.tok_embeddings\.weight|decoder\.weight|decoder\.bias)$")
_BLOCK = 4_000_000  # elements read at once
_PADDING_LIMIT = 1024  # more rows than that beyond the tokenizer's tokens are no padding
_COPIED = ("special_tokens_map.json", "LICENSE", "LICENSE.txt", "NOTICE", "merge.json", *MODULE_FILES)


@dataclass(frozen=True, slots=True)
class VocabularyRows:
    """The part of a checkpoint that has one row a token.

    Attributes:
        names: Tensors with a row a token.
        rows: Their rows now.
        per_token: Parameters of one token; a tied decoder counts once.
        fixed: Parameters of everything else.
        bytes_per_token: Stored bytes of one token.
        fixed_bytes: Stored bytes of everything else.
    """

    names: tuple[str, ...]
    rows: int
    per_token: int
    fixed: int
    bytes_per_token: int
    fixed_bytes: int

    @classmethod
    def of(cls, source: Checkpoint, tokens: int) -> "VocabularyRows":
        """Find the rows and check that the tokenizer is theirs."""
        table = next((info for name, info in source.tensors.items() if _EMBEDDING.search(name)), None)
        if table is None:
            raise ValueError(
                f"{source.path}: holds no embeddings.tok_embeddings.weight; only mmBERT and ModernBERT can be trimmed"
            )
        rows = table.shape[0]
        if source.config.get("vocab_size", rows) != rows:
            raise ValueError(f"{source.path}: vocab_size {source.config['vocab_size']}, {table.name} has {rows} rows")
        if not tokens <= rows < tokens + _PADDING_LIMIT:
            raise ValueError(
                f"{source.path}: its tokenizer has {tokens:,} tokens, its embedding table {rows:,} rows; "
                "that is the tokenizer of another model"
            )
        names = tuple(name for name in source.tensors if _BY_TOKEN.search(name))
        for name in names:
            if source.tensors[name].shape[0] != rows:
                raise ValueError(f"{source.path}: {name} has {source.tensors[name].shape[0]} rows instead of {rows}")
        tied = source.config.get("tie_word_embeddings", True)
        counted = [i for n, i in source.tensors.items() if not (tied and n.endswith("decoder.weight"))]
        by_token = [info for info in counted if info.name in names]
        return cls(
            names,
            rows,
            sum(info.numel for info in by_token) // rows,
            sum(info.numel for info in counted if info.name not in names),
            sum(source.tensors[name].nbytes for name in names) // rows,
            sum(info.nbytes for name, info in source.tensors.items() if name not in names),
        )

    def parameters(self, rows: int) -> int:
        """Parameters of the whole checkpoint with so many tokens."""
        return self.fixed + rows * self.per_token

    def weight_bytes(self, rows: int) -> int:
        """Bytes of all tensors with so many tokens."""
        return self.fixed_bytes + rows * self.bytes_per_token


def write_trimmed(
    source: Checkpoint, directory: Path, rows: VocabularyRows, vocabulary: Vocabulary, kept: Sequence[int], section: str
) -> None:
    """Write a whole checkpoint with fewer tokens."""
    _write_weights(source, directory, rows, kept)
    new = {old: place for place, old in enumerate(kept)}
    write_json(directory / "config.json", _without_absent_code(source, new) | {"vocab_size": len(kept)})
    document = json.dumps(_relabelled(vocabulary.reduced(kept), new), ensure_ascii=False)
    (directory / "tokenizer.json").write_text(document, encoding="utf-8", newline="\n")
    _write_tokenizer_config(source.path, directory, new)
    (directory / KEPT_IDS).write_text("".join(f"{old}\n" for old in kept), encoding="utf-8", newline="\n")
    copy_files(source.path, directory, [*_COPIED, *(file.name for file in source.path.glob("*.py"))])
    copy_modules(source.path, directory)
    card = source.path / "README.md"
    text = card.read_text(encoding="utf-8").rstrip() + "\n\n" if card.is_file() else ""
    (directory / "README.md").write_text(text + section, encoding="utf-8", newline="\n")


def _write_weights(source: Checkpoint, directory: Path, rows: VocabularyRows, kept: Sequence[int]) -> None:
    resized = {}
    for name, info in source.tensors.items():
        shape = (len(kept), *info.shape[1:]) if name in rows.names else info.shape
        resized[name] = (
            replace(info, shape=shape, nbytes=info.nbytes // info.shape[0] * len(kept)) if name in rows.names else info
        )
    template = replace(source, tensors=resized)
    chosen = torch.tensor(kept)
    with CheckpointWriter(directory, template) as writer:
        for name, info in source.tensors.items():
            width = info.numel // rows.rows if name in rows.names else 1
            step = max(1, _BLOCK // width)
            written = 0
            for first in range(0, info.numel // width, step):
                block = source.read_flat(name, first * width, (first + step) * width)
                if name in rows.names:
                    inside = chosen[(chosen >= first) & (chosen < first + step)] - first
                    block = block.view(-1, width)[inside].flatten()
                writer.write(name, written, block)
                written += block.numel()
    write_index(directory, template)


def _without_absent_code(source: Checkpoint, new: dict[int, int]) -> dict[str, Any]:
    """Renumber config.json; an `auto_map` that leads to no file here, as after a save by transformers, is left out."""
    fields = _with_new_ids(source.config, new)
    places = {str(place).split(".")[0] for place in (fields.get("auto_map") or {}).values()}
    if any("--" not in place and not (source.path / f"{place}.py").is_file() for place in places):
        del fields["auto_map"]
    return fields


def _with_new_ids(config: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    """Renumber `pad_token_id` and its like; in the mmBERT layout they are 0 to 4 and stay."""
    return {
        key: new.get(value, value) if key.endswith("_token_id") and isinstance(value, int) else value
        for key, value in config.items()
    }


def _relabelled(document: dict[str, Any], new: dict[int, int]) -> dict[str, Any]:
    specials = (document.get("post_processor") or {}).get("special_tokens")
    if isinstance(specials, dict):
        for entry in specials.values():
            entry["ids"] = [new[token] for token in entry["ids"]]
    return document


def _write_tokenizer_config(source: Path, directory: Path, new: dict[int, int]) -> None:
    if (source / "tokenizer_config.json").is_file():
        fields = read_json(source / "tokenizer_config.json")
        if isinstance(fields.get("added_tokens_decoder"), dict):
            decoder = fields["added_tokens_decoder"].items()
            fields["added_tokens_decoder"] = {str(new[int(token)]): entry for token, entry in decoder}
        write_json(directory / "tokenizer_config.json", fields)
    if (source / "added_tokens.json").is_file():
        added = read_json(source / "added_tokens.json")
        write_json(directory / "added_tokens.json", {token: new[index] for token, index in added.items()})
    if (source / "generation_config.json").is_file():
        fields = read_json(source / "generation_config.json")
        write_json(directory / "generation_config.json", _with_new_ids(fields, new))


__all__ = ["KEPT_IDS", "VocabularyRows", "write_trimmed"]

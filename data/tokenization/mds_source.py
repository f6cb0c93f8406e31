"""MDS folders as a source: ids that somebody else's tokenizer run has made, or text.

    SOURCE/.../swh_Latn_train/batch_0001/index.json    any depth; the deepest folder with a language tag in its name

SOURCE is any place that fsspec knows, so `hf://datasets/OWNER/NAME` is read without storing it.

Ids are taken as they are: one <bos> at the beginning and one <eos> at the end come off, since the stream sets them;
positions whose attention_mask is 0 are dropped. Ids say nothing about the tokenizer that made them, except when they
are too large: naming the right one is up to the user.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...languages.tags import CODE, is_language_tag
from ...modeling.tokenization_mmbert import SPECIAL_TOKENS
from ..corpora.base import Source
from ..corpora.mds import INDEX, MdsShard, parse_index, read_samples, unpack_shard
from ..corpora.rows import ReadOptions, Row
from .source import TASK_BYTES, Listed, RowSource, ShardTask, row_of_ids

IDS, MASK = ("input_ids", "tokens"), "attention_mask"  # mmBERT and most; llm-foundry
_BOS, _EOS = SPECIAL_TOKENS.index("<bos>"), SPECIAL_TOKENS.index("<eos>")
_TAG = re.compile(r"(?<![A-Za-z])([a-z]{3}_[A-Z][a-z]{3})(?![A-Za-z])")


class MdsRowSource(RowSource):
    """A tree of MDS folders, local or anywhere that fsspec reaches; a task is one shard."""

    def __init__(self, location: str, options: ReadOptions, vocabulary: int) -> None:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        self.options, self.vocabulary = options, vocabulary
        self.files, self.root = url_to_fs(location)
        self.shown = location.rstrip("/")
        try:
            indices = sorted(name for name in self.files.find(self.root) if name.rsplit("/", 1)[-1] == INDEX)
        except (OSError, ValueError) as error:
            raise FileNotFoundError(f"{location} cannot be listed ({error}); check the address.") from None
        if not indices:
            raise FileNotFoundError(f"{location} holds no MDS folder (no {INDEX} in it or below).")
        self.sources = [options.source or Source(Path(self.shown).name, "MDS shards", "not stated", "")]
        self.skipped, self.modified = Counter(), {}
        self.indices = [name.removeprefix(self.root).lstrip("/") for name in indices]
        self._shards: dict[str, dict[str, MdsShard]] = {}
        self._digests: dict[str, str] = {}
        self.languages = {name: self._language(name) for name in self.indices}
        told = {name: tag for name, tag in self.languages.items() if tag is not None}
        self.indices = [name for name in self.indices if name not in told or options.wants(told[name])]

    def listing(self) -> list[Listed]:
        """Lists every shard with the hash of the index that describes it."""
        return [
            Listed(f"{name}: {shard.name}", shard.stored_bytes, self._digests[name])
            for name in self.indices
            for shard in self._index(name).values()
        ]

    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists the shards."""
        return [
            ShardTask(number, f"{name}: {shard.name}", self.languages[name], None, shard.stored_bytes)
            for name in self.indices
            for shard in self._index(name).values()
        ]

    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Yields the samples of a shard; one that cannot be read is a bad row."""
        index, _, name = task.name.partition(": ")
        shard = self._index(index)[name]
        folder = "/".join(part for part in (self.root, index.removesuffix(INDEX).rstrip("/")) if part)
        shown = f"{self.shown}/{index.removesuffix(INDEX)}{shard.stored}"
        count = 0
        try:
            stored, shard = self._read(folder, shard)
            raw = unpack_shard(stored, shard, shown)
            for sample in read_samples(raw, shard, self._columns(shard, shown), shown):
                count += 1
                yield self._row(f"{shown}, sample {count}", task.language, sample)
        except (OSError, ValueError) as error:
            place = f"{shown}, after sample {count}"
            yield Row(place, task.language, None, problem="unreadable file", detail=str(error))

    def _read(self, folder: str, shard: MdsShard) -> tuple[bytes, MdsShard]:
        """Read the stored file; where only the decompressed one is left, as streaming can leave it, that one."""
        path = f"{folder}/{shard.stored}"
        if shard.stored != shard.name and not self.files.exists(path) and self.files.exists(f"{folder}/{shard.name}"):
            plain = MdsShard(
                shard.name, shard.name, shard.samples, shard.raw_bytes, shard.raw_bytes, shard.columns, hashes={}
            )
            return self.files.cat_file(f"{folder}/{shard.name}"), plain
        return self.files.cat_file(path), shard

    def _columns(self, shard: MdsShard, shown: str) -> list[str]:
        ids = next((name for name in IDS if shard.columns.get(name, ("str",))[0] != "str"), None)
        first = ids or self.options.text_column
        if first not in shard.columns:
            there = ", ".join(map(repr, shard.columns))
            raise ValueError(f"{shown} has neither {' nor '.join(map(repr, IDS))} nor {first!r}; there are {there}")
        extra = [name for name in (MASK, self.options.key_column) if name and name in shard.columns]
        if self.options.language_column in shard.columns:
            extra.append(self.options.language_column)
        return [first, *extra]

    def _row(self, place: str, language: str | None, sample: dict[str, Any]) -> Row:
        key = sample.get(self.options.key_column) if self.options.key_column else None
        tag = language or sample.get(self.options.language_column)
        column = next((name for name in IDS if name in sample), None)
        if column is None or column == self.options.text_column:
            text = sample[self.options.text_column]
            problem = "not UTF-8" if isinstance(text, bytes) else ""
            return Row(place, tag, text, key, problem=problem)
        ids = self._ids(sample[column])
        if MASK in sample:
            mask = np.asarray(sample[MASK]).ravel()
            if mask.shape != ids.shape:
                return Row(place, tag, None, key, "invalid ids", f"{len(ids)} ids, {len(mask)} of {MASK}")
            ids = ids[mask != 0]
        if ids.dtype.kind not in "ui":
            return Row(place, tag, None, key, "invalid ids", f"of type {ids.dtype}")
        return row_of_ids(place, tag, without_specials(ids), self.vocabulary, key)

    def _ids(self, value: Any) -> NDArray[Any]:
        """Bring ids into an array; bytes are of the first type (llm-foundry: int64) that fits the vocabulary."""
        if not isinstance(value, bytes):
            return np.asarray(value).ravel()
        for kind in ("<i8", "<i4", "<u2"):
            if len(value) % np.dtype(kind).itemsize == 0:
                ids = np.frombuffer(value, kind)
                if not len(ids) or 0 <= int(ids.min()) <= int(ids.max()) < self.vocabulary:
                    return ids
        return np.frombuffer(value[: len(value) // 8 * 8], "<i8")

    def _index(self, name: str) -> dict[str, MdsShard]:
        if name not in self._shards:
            content = self.files.cat_file("/".join(part for part in (self.root, name) if part))
            self._digests[name] = hashlib.blake2b(content, digest_size=16).hexdigest()
            self._shards[name] = {shard.name: shard for shard in parse_index(content, f"{self.shown}/{name}")}
        return self._shards[name]

    def _language(self, name: str) -> str | None:
        return tag_in_path([*Path(self.shown).parts, *name.split("/")[:-1]], self.options)


def tag_in_path(folders: list[str], options: ReadOptions) -> str | None:
    """The tag in the deepest folder that has one, else the one given for all, else None: a column must say it."""
    for folder in reversed(folders):
        tags = [tag for tag in _TAG.findall(folder) if is_language_tag(tag, options.extra_languages)]
        if tags or folder == CODE:
            return str(tags[0]) if tags else CODE
    return options.language


def without_specials(ids: NDArray[Any]) -> NDArray[Any]:
    """Take off one <bos> at the beginning and one <eos> at the end."""
    begin = int(len(ids) > 0 and ids[0] == _BOS)
    end = len(ids) - int(len(ids) > begin and ids[-1] == _EOS)
    return ids[begin:end]


def holds_mds(folder: Path) -> bool:
    """Tell by the first index.json whether MDS folders are below; a website's index.json is no reason to think so."""
    index = next(folder.rglob(INDEX), None) if folder.is_dir() else None
    return index is not None and b'"shards"' in index.read_bytes()

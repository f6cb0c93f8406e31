"""Bundles: the token ids of one task of work on their way to the shards, grouped by split and language.

    000012-00.bundle    for each group: ids (uint32), document lengths (int64), document hashes (uint64)
    000012.json         the groups with their counts, SHA-256 of each bundle, what was skipped; written last

A task is finished when its JSON file is there. Everything is written under a temporary name and renamed. A task larger
than `_FLUSH` tokens has several bundles, so memory is bounded whatever its size; where one ends depends on the text
alone, not on who writes it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.files import replacing, sha256, write_json
from ..corpora.base import Split
from .document_tokenizer import TokenIds

_FLUSH = 1 << 24  # tokens kept in memory, 64 MB and as much again while a bundle is put together
_A_TOKEN, _A_DOCUMENT = 4, 8 + 8


@dataclass(frozen=True)
class Group:
    """Documents of one language and split inside a bundle."""

    split: Split  # "train" or "heldout"
    language: str  # tag
    documents: int  # how many
    tokens: int  # their ids in all
    begin: int  # first byte of the group in the bundle


@dataclass
class Bundle:
    """One file of a task."""

    path: Path  # the file
    sha256: str  # its checksum
    groups: list[Group]  # what it holds

    def read(self, group: Group) -> tuple[TokenIds, NDArray[np.int64], NDArray[np.uint64]]:
        """Read one group."""
        lengths_at = group.begin + _A_TOKEN * group.tokens
        with self.path.open("rb") as file:
            file.seek(lengths_at)
            lengths = np.fromfile(file, dtype="<i8", count=group.documents)
            hashes = np.fromfile(file, dtype="<u8", count=group.documents)
        tokens = np.memmap(self.path, dtype="<u4", mode="r", offset=group.begin, shape=(group.tokens,))
        return tokens, lengths, hashes


@dataclass
class FinishedTask:
    """What is known of a task that is done."""

    number: int  # its number
    bundles: list[Bundle] = field(default_factory=list)  # its files, none if it had no document
    skipped: dict[str, int] = field(default_factory=dict)  # reason to number of documents left out
    bytes: int = 0  # bytes of source that it covered
    # the source's spelling of a tag to the one in use, where they differ
    renamed: dict[str, str] = field(default_factory=dict)

    @property
    def documents(self) -> int:
        """Documents in all bundles."""
        return sum(group.documents for bundle in self.bundles for group in bundle.groups)

    @property
    def tokens(self) -> int:
        """Tokens in all bundles."""
        return sum(group.tokens for bundle in self.bundles for group in bundle.groups)


class BundleWriter:
    """Collects the documents of a task and writes its bundles."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory, self.number = directory, number
        self.skipped: Counter[str] = Counter()
        self.renamed: dict[str, str] = {}
        self._bundles: list[dict[str, Any]] = []
        self._pending: dict[tuple[Split, str], list[tuple[TokenIds, int]]] = {}
        self._tokens = 0

    def add(self, split: Split, language: str, ids: TokenIds, digest: int) -> None:
        """Add a document."""
        self._pending.setdefault((split, language), []).append((ids, digest))
        self._tokens += len(ids)
        if self._tokens >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        path = self.directory / f"{self.number:06d}-{len(self._bundles):02d}.bundle"
        digest, groups, begin = hashlib.sha256(), [], 0
        with replacing(path) as partial, partial.open("wb") as file:
            for (split, language), documents in sorted(self._pending.items()):
                lengths = np.array([len(ids) for ids, _ in documents], dtype="<i8")
                hashes = np.array([value for _, value in documents], dtype="<u8")
                for block in (np.concatenate([ids for ids, _ in documents]).astype("<u4", copy=False), lengths, hashes):
                    file.write(block.data)
                    digest.update(block.data)
                groups.append(asdict(Group(split, language, len(documents), int(lengths.sum()), begin)))
                begin += _A_TOKEN * groups[-1]["tokens"] + _A_DOCUMENT * len(documents)
        self._bundles.append({"name": path.name, "sha256": digest.hexdigest(), "groups": groups})
        self._pending, self._tokens = {}, 0

    def close(self, covered: int = 0) -> None:
        """Write what is left, and the JSON file that says the task is finished."""
        if self._pending:
            self._flush()
        path = self.directory / f"{self.number:06d}.json"
        record = {"bundles": self._bundles, "skipped": dict(sorted(self.skipped.items())), "bytes": covered}
        if self.renamed:
            record["renamed"] = self.renamed
        write_json(path, record, indent=None)


def read_finished(directory: Path, number: int, *, verify: bool = False) -> FinishedTask | None:
    """Find out whether a task is finished."""
    try:
        record: Mapping[str, Any] = json.loads((directory / f"{number:06d}.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    bundles = [
        Bundle(directory / entry["name"], entry["sha256"], [Group(**group) for group in entry["groups"]])
        for entry in record["bundles"]
    ]
    if verify and not all(bundle.path.is_file() and sha256(bundle.path) == bundle.sha256 for bundle in bundles):
        return None
    return FinishedTask(number, bundles, record["skipped"], record["bytes"], record.get("renamed", {}))

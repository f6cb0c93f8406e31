"""Bundles become shards: language by language, copies left out, documents cut if that was asked for.

One language is worked on at a time, so a handful of files is open and the hashes of one language are in memory,
however many languages there are. The order of documents is that of the units and of the text inside them; it does not
depend on who tokenised what. The held-out part comes first: where a text stands on both sides, training loses it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.files import writing
from ..corpora.base import Source, Split
from .chunking import BACKFILL_BELOW, DROP_BELOW, cut_documents
from .dedup import SeenHashes, bytes_hash
from .document_tokenizer import TokenIds
from .intermediate import Bundle, FinishedUnit, Group

FORMAT = 1
_EXACT_COPY = "exact copy"
_BLOCK = 1 << 24  # tokens copied at a time


@dataclass(frozen=True)
class ShardOptions:
    """What is done to documents between bundle and shard.

    Attributes:
        deduplicate: Leave out exact copies within a language.
        chunk_size: Cut documents into pieces of at most this many tokens with specials; None: keep them whole.
        seed: Decides the random tails of the cuts.
    """

    deduplicate: bool = False
    chunk_size: int | None = None
    seed: int = 0


def write_languages(
    units: Sequence[FinishedUnit],
    directories: Mapping[Split, Path],
    options: ShardOptions,
    *,
    tokenizer: str,
    sources: Sequence[Source],
    skipped: Mapping[str, int],
) -> None:
    """Write the files of every language and the index of every split.

    Args:
        units: Finished units in their order.
        directories: Split to an existing, empty directory.
        options: What is done to documents.
        tokenizer: Fingerprint of the tokenizer.
        sources: Where the text comes from.
        skipped: Reason to number of documents that were left out before, both splits together.
    """
    places: dict[str, dict[Split, list[tuple[Bundle, Group]]]] = {}
    for unit in units:
        for bundle in unit.bundles:
            for group in bundle.groups:
                places.setdefault(group.language, {}).setdefault(group.split, []).append((bundle, group))
    entries: dict[Split, dict[str, Any]] = {split: {} for split in directories}
    reports: dict[Split, Counter[str]] = {split: Counter() for split in directories}
    left_out: dict[Split, Counter[str]] = {split: Counter(skipped) for split in directories}
    for language, found in sorted(places.items()):
        seen = SeenHashes() if options.deduplicate else None
        for split in ("heldout", "train"):
            if split in found:
                file = _LanguageFile(directories[split], language, options, left_out[split], reports[split])
                for bundle, group in found[split]:
                    file.append(*bundle.read(group), seen)
                if entry := file.close():
                    entries[split][language] = entry
    for split, directory in directories.items():
        index = {
            "format": FORMAT,
            "tokenizer": tokenizer,
            "languages": entries[split],
            "sources": [asdict(source) for source in sources],
            "skipped": dict(left_out[split]),
            **_extras(options, reports[split]),
        }
        path = directory / "index.json"
        with writing(path):
            path.write_text(json.dumps(index, indent=1, ensure_ascii=False), encoding="utf-8")


def _extras(options: ShardOptions, report: Counter[str]) -> dict[str, Any]:
    """Entries of the index that stand there only if something was done: an index without them reads as before."""
    extras: dict[str, Any] = {"deduplicated": True} if options.deduplicate else {}
    if options.chunk_size is not None:
        extras["chunking"] = {
            "chunk_size": options.chunk_size,
            "drop_below": DROP_BELOW,
            "backfill_below": BACKFILL_BELOW,
            "seed": options.seed,
            **{name: report[name] for name in _CHUNK_COUNTS},
        }
    return extras


_CHUNK_COUNTS = ("documents", "pieces", "dropped_pieces", "dropped_tokens", "backfilled_pieces", "moved_tokens")


class _LanguageFile:
    """The two files of one language, written piece by piece with their checksums."""

    def __init__(
        self, directory: Path, language: str, options: ShardOptions, skipped: Counter[str], report: Counter[str]
    ) -> None:
        self.stem = directory / language
        self.options, self.skipped, self.report = options, skipped, report
        self.key = bytes_hash(f"{options.seed}:{language}/cuts".encode())
        self.documents = self.tokens = self.whole = 0
        self._hashes = {"tokens": hashlib.sha256(), "offsets": hashlib.sha256()}

    def append(
        self, tokens: TokenIds, lengths: NDArray[np.int64], hashes: NDArray[np.uint64], seen: SeenHashes | None
    ) -> None:
        """Add a group of documents."""
        keep = np.ones(len(lengths), dtype=np.bool_)
        if seen is not None:
            keep = seen.add(hashes)
            if copies := int(np.count_nonzero(~keep)):
                self.skipped[_EXACT_COPY] += copies
        if self.options.chunk_size is not None:
            lengths, keep = self._cut(lengths, keep, self.options.chunk_size)
        if keep.any():
            self._write(tokens, lengths, keep)

    def _cut(
        self, lengths: NDArray[np.int64], keep: NDArray[np.bool_], chunk_size: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Cut the kept documents; the others stay whole, to be passed over."""
        cuts = cut_documents(lengths[keep], chunk_size, self.key, self.whole)
        piece = chunk_size - 2
        counts = np.ones(len(lengths), dtype=np.int64)
        counts[keep] = -(-lengths[keep] // piece)
        of_kept = np.repeat(keep, counts)
        all_lengths = np.repeat(lengths, counts)
        all_lengths[of_kept] = cuts.lengths
        stays = of_kept.copy()
        stays[of_kept] = cuts.kept
        documents, dropped = int(np.count_nonzero(keep)), ~cuts.kept
        self.whole += documents
        amounts = (documents, len(cuts.kept) - dropped.sum(), dropped.sum(), cuts.lengths[dropped].sum())
        for name, amount in zip(_CHUNK_COUNTS, (*amounts, cuts.backfilled, cuts.moved), strict=True):
            self.report[name] += int(amount)
        return all_lengths, stays

    def _write(self, tokens: TokenIds, lengths: NDArray[np.int64], keep: NDArray[np.bool_]) -> None:
        if self.documents == 0:
            self._put("offsets", np.zeros(1, dtype="<i8"))
        ends = np.cumsum(lengths)
        borders = np.unique(np.searchsorted(ends, np.arange(_BLOCK, int(ends[-1]), _BLOCK)))
        for part in np.split(np.arange(len(lengths)), borders):
            if not keep[part].any():
                continue
            block = tokens[ends[part[0]] - lengths[part[0]] : ends[part[-1]]]
            if not keep[part].all():
                block = block[np.repeat(keep[part], lengths[part])]
            self._put("tokens", np.ascontiguousarray(block))
        offsets = self.tokens + np.cumsum(lengths[keep], dtype=np.int64)
        self._put("offsets", offsets.astype("<i8", copy=False))
        self.documents += len(offsets)
        self.tokens = int(offsets[-1])

    def _put(self, suffix: str, block: NDArray[Any]) -> None:
        path = Path(f"{self.stem}.{suffix}")
        with writing(path), path.open("ab") as file:
            file.write(block.data)
        self._hashes[suffix].update(block.data)

    def close(self) -> dict[str, Any] | None:
        """Return the index entry; None if nothing was kept."""
        if not self.documents:
            return None
        checksums = {f"{suffix}_sha256": digest.hexdigest() for suffix, digest in self._hashes.items()}
        return {"tokens": self.tokens, "documents": self.documents, **checksums}

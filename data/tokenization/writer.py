"""Bundles become shards: language by language, copies left out, documents cut if that was asked for.

One language is worked on at a time, so a handful of files is open and the hashes of one language are in memory,
however many languages there are. The order of documents is that of the tasks and of the text inside them; it does not
depend on who tokenized what. The held-out part comes first: where a text stands on both sides, training loses it.

Copies are exact ones, found by 64-bit hashes: 8 bytes per document that is kept, and as much again for a moment while
sorted runs are merged. A false hit drops a document that is no copy: among n documents of a language the odds that it
happens at all are below n**2 / 2**65, 3 % at a billion documents.

Documents are cut as Ettin's data was (JHU-CLSP/ettin-encoder-vs-decoder): into pieces of chunk_size - 2 tokens. A last
piece below 32 tokens is dropped unless it is the only one; one below 512 takes a random tail of the piece before it,
moved and not copied: the tail lies next to the piece that takes it, so only the cut comes earlier. The tail's length is
uniform over 0 .. chunk_size - 3 - (length of the last piece), as in the original; a short piece may therefore stay
short. The draw depends on the seed, the language and the document's number in it: any process gives the same cuts.
Reading cuts again where a phase's context is shorter (`data.pretraining.spans`).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...common.files import writing
from ..corpora.base import Source, Split
from ..hashing import bytes_hash, scramble
from .document_tokenizer import TokenIds
from .intermediate import Bundle, FinishedTask, Group

FORMAT = 1
_EXACT_COPY = "exact copy"
_BLOCK = 1 << 24  # tokens copied at a time
SPECIALS_PER_CHUNK = 2  # <bos> and <eos>
DROP_BELOW = 32
BACKFILL_BELOW = 512
_SMALLEST_CHUNK = DROP_BELOW + SPECIALS_PER_CHUNK


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
    tasks: Sequence[FinishedTask],
    directories: Mapping[Split, Path],
    options: ShardOptions,
    *,
    tokenizer: str,
    sources: Sequence[Source],
    skipped: Mapping[str, int],
) -> None:
    """Write the files of every language and the index of every split from finished tasks in their order."""
    places: dict[str, dict[Split, list[tuple[Bundle, Group]]]] = {}
    for task in tasks:
        for bundle in task.bundles:
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
        piece = chunk_size - SPECIALS_PER_CHUNK
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


class Cuts(NamedTuple):
    """How documents fall into pieces, which follow each other without gaps."""

    lengths: NDArray[np.int64]  # tokens of each piece, shape (pieces,)
    kept: NDArray[np.bool_]  # false for a piece that is dropped, shape (pieces,)
    backfilled: int  # pieces that took a tail of the one before
    moved: int  # tokens in those tails


def cut_documents(lengths: NDArray[np.int64], chunk_size: int, key: int, first: int = 0) -> Cuts:
    """Cut documents into pieces."""
    check_chunk_size(chunk_size)
    piece = chunk_size - SPECIALS_PER_CHUNK
    rest = lengths % piece
    counts = lengths // piece + (rest > 0)
    ends = np.cumsum(counts)
    pieces = np.full(int(ends[-1]) if len(ends) else 0, piece, dtype=np.int64)
    kept = np.ones(len(pieces), dtype=np.bool_)
    pieces[ends[rest > 0] - 1] = rest[rest > 0]
    short = (counts > 1) & (rest > 0)
    kept[ends[short & (rest < DROP_BELOW)] - 1] = False
    filled = np.flatnonzero(short & (rest >= DROP_BELOW) & (rest < BACKFILL_BELOW))
    tail = _tails(filled + first, piece - rest[filled], key)
    pieces[ends[filled] - 1] += tail
    pieces[ends[filled] - 2] -= tail
    return Cuts(pieces, kept, int(np.count_nonzero(tail)), int(tail.sum()))


def check_chunk_size(chunk_size: int) -> None:
    """Refuse a chunk size that leaves no room."""
    if chunk_size < _SMALLEST_CHUNK:
        raise ValueError(
            f"chunk_size is {chunk_size}, but must be {_SMALLEST_CHUNK} or more; published data has 1,024 and 8,192."
        )


def _tails(documents: NDArray[np.int64], limits: NDArray[np.int64], key: int) -> NDArray[np.int64]:
    """Draw uniformly from 0 .. limit - 1 for each document number."""
    words = scramble(scramble(documents.astype(np.uint64) + np.uint64(1)) ^ np.uint64(key))
    uniform = (words >> np.uint64(11)).astype(np.float64) / 2.0**53
    tails: NDArray[np.int64] = (uniform * limits).astype(np.int64)
    return tails


class SeenHashes:
    """A set of 64-bit hashes in a few sorted arrays."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def add(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Take hashes in and say which of them are new."""
        unique, first = np.unique(hashes, return_index=True)
        fresh = np.ones(len(unique), dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), len(run) - 1)
            fresh &= run[place] != unique
        new = np.zeros(len(hashes), dtype=np.bool_)
        new[first[fresh]] = True
        if fresh.any():
            self._keep(unique[fresh])
        return new

    def _keep(self, run: NDArray[np.uint64]) -> None:
        # Runs at least halve in size from one to the next, so there are about log2(n) of them.
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        self._runs.append(run)

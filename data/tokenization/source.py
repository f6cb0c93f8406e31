"""Where tokenisation reads from: a feed lists its units of work, and reads the rows of any of them, in any process.

A unit is a slice of a file, a shard of a streamed dataset, an MDS shard, or a stretch of finished token shards. Units
are numbered the same way on every machine that sees the same source, whatever its path there.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..corpora.base import Source, Split
from ..corpora.files import FileCorpus
from ..corpora.hub import HubCorpus
from ..corpora.readers import Slice, read_rows, slices
from ..corpora.rows import Row

UNIT_BYTES = 1 << 26
_EDGE = 1 << 16


class WorkUnit(NamedTuple):
    """What one process reads at a time.

    Attributes:
        feed: Number of the feed.
        name: File or part inside the source.
        language: Tag of all its rows, or None if a column says it.
        part: Which slice of it, or None for all.
        bytes: Its size as far as known, for the progress.
        split: Where its documents go; None: by the hash of each.
    """

    feed: int
    name: str
    language: str | None
    part: Slice | None
    bytes: int
    split: Split | None = None


class Listed(NamedTuple):
    """One entry of a source listing: a change of any of it means another source.

    Attributes:
        name: File inside the source.
        bytes: Its size.
        content: Hash of its first and last 64 kB, or of what else names its state.
    """

    name: str
    bytes: int
    content: str


class Feed(ABC):
    """A source of rows.

    Attributes:
        sources: For the index.
        skipped: What was passed over while listing.
        modified: Name to time of change in nanoseconds, where there is one.
    """

    sources: list[Source]
    skipped: Counter[str]
    modified: dict[str, int]

    @abstractmethod
    def listing(self) -> list[Listed]:
        """Lists what the source is made of."""

    @abstractmethod
    def units(self, number: int, size: int = UNIT_BYTES) -> list[WorkUnit]:
        """Lists the units, for the feed of this number, of about `size` bytes where they can be cut."""

    @abstractmethod
    def rows(self, unit: WorkUnit) -> Iterator[Row]:
        """Yields the rows of a unit, good and bad."""


class FileFeed(Feed):
    """Text, jsonl and parquet files."""

    def __init__(self, corpus: FileCorpus) -> None:
        self.options = corpus.options
        self.root = corpus.location if corpus.location.is_dir() else corpus.location.parent
        self.files = {path.relative_to(self.root).as_posix(): tag for path, tag in corpus.files}
        self.sources = list(corpus.sources().values())
        self.skipped = Counter({"other file type": corpus.other_files} if corpus.other_files else {})
        self.modified = {name: (self.root / name).stat().st_mtime_ns for name in self.files}

    def listing(self) -> list[Listed]:
        """Lists the files."""
        return [listed_file(self.root / name, name) for name in self.files]

    def units(self, number: int, size: int = UNIT_BYTES) -> list[WorkUnit]:
        """Lists files, large ones in slices."""
        return [
            WorkUnit(number, name, tag, part, length)
            for name, tag in self.files.items()
            for part, length in slices(self.root / name, self.options, size)
        ]

    def rows(self, unit: WorkUnit) -> Iterator[Row]:
        """Yields the rows of a file or slice."""
        return read_rows(self.root / unit.name, unit.language, self.options, unit.part)


class HubFeed(Feed):
    """A dataset on the Hub, streamed; a unit is one of its data files."""

    def __init__(self, corpus: HubCorpus) -> None:
        self.corpus = corpus
        self.sources = list(corpus.sources().values())
        self.skipped, self.modified = Counter(), {}

    def listing(self) -> list[Listed]:
        """Lists the data files; on the Hub their addresses name the commit."""
        found = []
        for tag in self.corpus.parts:
            for address in self.corpus.data_files(tag):
                path = Path(address)
                if path.is_file():
                    found.append(listed_file(path, os.path.relpath(path, self.corpus.dataset)))
                else:
                    found.append(Listed(address, 0, ""))
        return found

    def units(self, number: int, size: int = UNIT_BYTES) -> list[WorkUnit]:
        """Lists the data files of every part, each a unit of its own."""
        found = []
        for tag in self.corpus.parts:
            count = self.corpus.shards(tag)
            found += [WorkUnit(number, tag or "", tag, Slice(index, count), 0) for index in range(count)]
        return found

    def rows(self, unit: WorkUnit) -> Iterator[Row]:
        """Streams one data file."""
        index, count = unit.part or (0, 1)
        return self.corpus.part_rows(unit.language, index, count)


def listed_file(path: Path, name: str) -> Listed:
    """Describe a file without reading all of it.

    Args:
        path: The file.
        name: Its name inside the source.

    Returns:
        Name, size, and a hash of both ends.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.blake2b(file.read(_EDGE), digest_size=16)
        file.seek(max(0, size - _EDGE))
        digest.update(file.read(_EDGE))
    return Listed(name, size, digest.hexdigest())

"""Where tokenization reads from: a row source lists its shard tasks, and reads the rows of any of them in any process.

A shard task is a slice of a file, a shard of a streamed dataset, an MDS shard, a stretch of finished token shards, or a
language of the demo corpus. Tasks are numbered the same way on every machine that sees the same source, whatever its
path there.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..corpora.base import SPLITS, Source, Split
from ..corpora.demo import CatalogueCorpus
from ..corpora.files import FileCorpus
from ..corpora.hub import HubCorpus
from ..corpora.readers import read_rows
from ..corpora.rows import Row
from ..tables.base import Slice
from ..tables.files import slices

TASK_BYTES = 1 << 26
_EDGE = 1 << 16


class ShardTask(NamedTuple):
    """What one process reads at a time."""

    source: int  # number of the row source
    name: str  # file or part inside the source
    language: str | None  # tag of all its rows, or None if a column says it
    part: Slice | None  # which slice of it, or None for all
    bytes: int  # its size as far as known, for the progress
    split: Split | None = None  # where its documents go; None: by the hash of each


class Listed(NamedTuple):
    """One entry of a source listing: a change of any field means another source."""

    name: str  # file inside the source
    bytes: int  # its size
    content: str  # hash of its first and last 64 kB, or of what else names its state


class RowSource(ABC):
    """A source of rows."""

    sources: list[Source]  # for the index
    skipped: Counter[str]  # what was passed over while listing
    modified: dict[str, int]  # name to time of change in nanoseconds, where there is one

    @abstractmethod
    def listing(self) -> list[Listed]:
        """Lists what the source is made of."""

    @abstractmethod
    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists the tasks, for the source of this number, of about `size` bytes where they can be cut."""

    @abstractmethod
    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Yields the rows of a task, good and bad."""


class FileRowSource(RowSource):
    """Files of text and rows; large ones in slices."""

    def __init__(self, corpus: FileCorpus) -> None:
        self.options = corpus.options
        self.root = corpus.location if corpus.location.is_dir() else corpus.location.parent
        self.files = {path.relative_to(self.root).as_posix(): tag for path, tag in corpus.files}
        self.sources = list(corpus.sources().values())
        self.skipped = Counter(corpus.left_alone)
        self.modified = {name: (self.root / name).stat().st_mtime_ns for name in self.files}

    def listing(self) -> list[Listed]:
        """Lists the files."""
        return [listed_file(self.root / name, name) for name in self.files]

    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists files, large ones in slices."""
        return [
            ShardTask(number, name, tag, part, length)
            for name, tag in self.files.items()
            for part, length in slices(self.root / name, size, blocks=self.options.text_unit == "block")
        ]

    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Yields the rows of a file or slice."""
        return read_rows(self.root / task.name, task.language, self.options, task.part)


class HubRowSource(RowSource):
    """A dataset on the Hub, streamed; a task is one of its data files."""

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

    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists the data files of every part."""
        found = []
        for tag in self.corpus.parts:
            count = self.corpus.shards(tag)
            found += [ShardTask(number, tag or "", tag, Slice(index, count), 0) for index in range(count)]
        return found

    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Streams one data file."""
        index, count = task.part or (0, 1)
        return self.corpus.part_rows(task.language, index, count)


class CatalogueRowSource(RowSource):
    """The messages and source code inside installed packages; a task is one language of one split."""

    def __init__(self, corpus: CatalogueCorpus) -> None:
        self.corpus = corpus
        self.languages = corpus.languages()
        self.sources = list(corpus.sources().values())
        self.skipped, self.modified = Counter(corpus.skipped), {}

    def listing(self) -> list[Listed]:
        """Lists the packages with their versions, and the languages found in them."""
        content = hashlib.blake2b(repr(self.languages).encode(), digest_size=16).hexdigest()
        return [Listed(f"{source.name} {source.version}", 0, content) for source in self.sources]

    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists the languages, each with its two splits."""
        return [ShardTask(number, split, tag, None, 0, split) for tag in self.languages for split in SPLITS]

    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Yields the documents of a language in a split."""
        for number, document in enumerate(self.corpus.documents(task.split or "train", task.language)):
            place = f"{document.source} {document.language}, document {number + 1}"
            yield Row(place, document.language, document.text, document.key)


def row_of_ids(place: str, language: str | None, ids: NDArray[Any], vocabulary: int, key: object = None) -> Row:
    """The row of a document whose ids were made before; a bad one where an id is not in the vocabulary."""
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        bad = int(ids.min()) if ids.min() < 0 else int(ids.max())
        return Row(place, language, None, key, "invalid ids", f"{bad}; the vocabulary has {vocabulary:,}")
    return Row(place, language, ids.astype(np.uint32), key)


def listed_file(path: Path, name: str) -> Listed:
    """Describe a file, under its name inside the source, by its size and a hash of both ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        digest = hashlib.blake2b(file.read(_EDGE), digest_size=16)
        file.seek(max(0, size - _EDGE))
        digest.update(file.read(_EDGE))
    return Listed(name, size, digest.hexdigest())

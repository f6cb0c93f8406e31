"""Finished token shards as a source: several sets of them, made anywhere, become one, with copies left out.

A folder with train/ and heldout/ keeps its sides; a folder of plain shards is divided by the hash of the ids. Documents
that were cut stay as they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..corpora.base import SPLITS, Source, Split
from ..corpora.rows import ReadOptions, Row
from ..shards import TokenShards
from ..tables.base import Slice
from .source import TASK_BYTES, Listed, RowSource, ShardTask, row_of_ids


class ShardRowSource(RowSource):
    """Token shards that were written before; a task is a stretch of one language's documents."""

    @staticmethod
    def fits(path: Path) -> bool:
        """Tells whether there are token shards, or a train/ folder with some."""
        for index in (path / "index.json", path / "train" / "index.json"):
            if index.is_file():
                try:
                    return "languages" in json.loads(index.read_text(encoding="utf-8"))
                except (ValueError, OSError):
                    return False
        return False

    def __init__(self, path: Path, options: ReadOptions, vocabulary: int) -> None:
        self.path, self.options, self.vocabulary = path, options, vocabulary
        names: dict[str, Split | None] = {"": None}
        if not (path / "index.json").is_file():
            names = {split: split for split in SPLITS if (path / split / "index.json").is_file()}
        self.shards = {name: TokenShards(path / name) for name in names}
        self.splits = names
        self.skipped, self.modified = Counter(), {}
        made_of = [Source(**entry) for entry in next(iter(self.shards.values())).index["sources"]]
        self.sources = [options.source] if options.source else made_of

    @property
    def tokenizer_fingerprint(self) -> str:
        """Fingerprint of the tokenizer that made the ids."""
        return next(iter(self.shards.values())).tokenizer_fingerprint

    def listing(self) -> list[Listed]:
        """Lists the sets by their fingerprints."""
        return [
            Listed(name or "shards", 4 * sum(shards.token_counts.values()), shards.fingerprint)
            for name, shards in self.shards.items()
        ]

    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists stretches of documents."""
        found = []
        for name, shards in self.shards.items():
            for language in shards.languages:
                if self.options.wants(language):
                    offsets = 4 * np.asarray(shards.offsets(language))
                    goals = np.arange(size, int(offsets[-1]), size)
                    borders = np.unique([0, *np.searchsorted(offsets, goals), len(offsets) - 1]).tolist()
                    for begin, end in pairwise(borders):
                        length = int(offsets[end] - offsets[begin])
                        part = Slice(begin, end)
                        found.append(ShardTask(number, name, language, part, length, self.splits[name]))
        return found

    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Yields the ids of the documents of a stretch."""
        language, (begin, end) = str(task.language), task.part or Slice(0, 0)
        shards = self.shards[task.name]
        tokens, offsets = shards.tokens(language), shards.offsets(language)
        for number in range(begin, end):
            ids = np.array(tokens[offsets[number] : offsets[number + 1]])
            place = f"{shards.directory / language}.tokens, document {number + 1}"
            yield row_of_ids(place, language, ids, self.vocabulary)

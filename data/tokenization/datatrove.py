"""datatrove: its tokenized folders as a source, and our tokenization as a step of its pipelines.

`.ds` files hold token ids (uint16, or uint32 for larger vocabularies, little-endian), each document ended by <eos>,
without <bos>; beside each is `.ds.index` with the cumulative ends of its documents (uint64, <eos> included). A tag in
the name of a folder on the way, or `--language`, says the language.

`TokenizeStep` is the way beyond one machine: datatrove's executors (local, SLURM, Ray) run it on each task's share of
the documents, and `mmbert tokenize RANK-FOLDERS... OUTPUT --tokenizer ...` joins what the tasks wrote, copies left out.
datatrove is needed for the step alone: pip install datatrove.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ...modeling.tokenization_mmbert import SPECIAL_TOKENS
from ..corpora.base import Document, Source
from ..corpora.rows import ReadOptions, Row
from ..tables.base import Slice
from .mds_source import tag_in_path
from .source import TASK_BYTES, Listed, RowSource, ShardTask, listed_file, row_of_ids

_EOS = SPECIAL_TOKENS.index("<eos>")
_SUFFIX = ".ds"
_BATCH = 1024  # documents encoded at a time


class DatatroveRowSource(RowSource):
    """Folders of `.ds` files; a task is a stretch of one file's documents."""

    @staticmethod
    def fits(path: Path) -> bool:
        """Tells whether there are `.ds` files, at any depth."""
        return path.is_dir() and next(path.rglob(f"*{_SUFFIX}"), None) is not None

    def __init__(self, path: Path, options: ReadOptions, vocabulary: int) -> None:
        self.path, self.options, self.vocabulary = path, options, vocabulary
        self.sources = [options.source or Source(path.resolve().name, "datatrove files", "not stated", "")]
        self.skipped, self.modified = Counter(), {}
        self.files: dict[str, str] = {}
        for file in sorted(path.rglob(f"*{_SUFFIX}")):
            name = file.relative_to(path).as_posix()
            tag = tag_in_path([*path.resolve().parts, *name.split("/")], options)
            if tag is None:
                raise ValueError(f"{file}: no folder on its path names a language; give it by --language.")
            if options.wants(tag):
                self.files[name] = tag
                self.modified[name] = file.stat().st_mtime_ns

    def listing(self) -> list[Listed]:
        """Lists the files."""
        return [listed_file(self.path / name, name) for name in self.files]

    def tasks(self, number: int, size: int = TASK_BYTES) -> list[ShardTask]:
        """Lists stretches of documents."""
        found = []
        for name, tag in self.files.items():
            ends, width = self._layout(name)
            goals = np.arange(size // width, int(ends[-1]) if len(ends) else 0, size // width)
            cuts = np.unique([0, *np.searchsorted(ends, goals), len(ends)]).tolist()
            for first, last in pairwise(cuts):
                length = int(ends[last - 1]) - (int(ends[first - 1]) if first else 0)
                found.append(ShardTask(number, name, tag, Slice(first, last), length * width))
        return found

    def rows(self, task: ShardTask) -> Iterator[Row]:
        """Yields the ids of the documents of a stretch, without their <eos>."""
        ends, width = self._layout(task.name)
        tokens = np.memmap(self.path / task.name, dtype=f"<u{width}", mode="r")
        first, last = task.part or Slice(0, len(ends))
        for number in range(first, last):
            begin, end = int(ends[number - 1]) if number else 0, int(ends[number])
            ids = np.array(tokens[begin:end], dtype=np.uint32)
            ids = ids[:-1] if len(ids) and ids[-1] == _EOS else ids
            place = f"{self.path / task.name}, document {number + 1}"
            yield row_of_ids(place, task.language, ids, self.vocabulary)

    def _layout(self, name: str) -> tuple[np.ndarray[Any, np.dtype[np.uint64]], int]:
        """Cumulative ends of a file's documents, and bytes per id; sizes that do not agree are refused."""
        file, index = self.path / name, self.path / f"{name}.index"
        if not index.is_file():
            raise FileNotFoundError(f"{index} is missing; datatrove writes it beside {file.name}, copy it too.")
        ends = np.fromfile(index, dtype="<u8")
        size, count = file.stat().st_size, int(ends[-1]) if len(ends) else 0
        rising = bool((np.diff(ends.astype(np.int64)) > 0).all()) and (not len(ends) or int(ends[0]) > 0)
        if index.stat().st_size % 8 or not rising or (count == 0) != (size == 0) or size not in (2 * count, 4 * count):
            raise ValueError(
                f"{file} has {size:,} bytes, but {index.name} speaks of {count:,} ids of 2 or 4 bytes; write it again."
            )
        return ends, size // count if count else 4


try:
    from datatrove.pipeline.base import PipelineStep as _PipelineStep  # type: ignore[import-not-found]
except ImportError:
    _PipelineStep = object


class TokenizeStep(_PipelineStep):  # type: ignore[misc]
    """A step of a datatrove pipeline: the documents of a rank become token shards in `output/RANK`.

    The shards of all ranks are joined by `mmbert tokenize OUTPUT/* JOINED --tokenizer TOKENIZER`.

    Args:
        output: Folder for one folder per rank.
        tokenizer: A folder or file with a tokenizer, or a Hub id.
        language: Tag of all documents; None: their metadata says it.
        language_key: Entry of a document's metadata with its tag.

    Raises:
        ImportError: If datatrove is not installed.
    """

    name = "mmbert"
    type = "TOKENIZER"

    def __init__(
        self, output: str | Path, tokenizer: str, *, language: str | None = None, language_key: str = "language"
    ) -> None:
        if _PipelineStep is object:
            raise ImportError("TokenizeStep is a step of datatrove, which is not installed: pip install datatrove")
        super().__init__()
        self.output, self.tokenizer = Path(output), tokenizer
        self.language, self.language_key = language, language_key

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:
        """Tokenize the documents that reach this rank, and hand them on as they came."""
        from ...modeling.tokenization_mmbert import build_tokenizer
        from ..shards import shard_writer

        target = self.output / f"{rank:05d}"
        if (target / "index.json").is_file():  # a task that is run again keeps what is whole
            yield from data or ()
            return
        documents = iter(data or ())
        batch = list(islice(documents, _BATCH))
        if not batch:
            return
        with shard_writer(build_tokenizer(self.tokenizer), target) as write:
            while batch:
                write([self._document(found) for found in batch if found.text and not found.text.isspace()])
                yield from batch
                batch = list(islice(documents, _BATCH))

    def _document(self, found: Any) -> Document:
        tag = self.language or found.metadata.get(self.language_key)
        if not isinstance(tag, str):
            raise ValueError(f"document {found.id} has no {self.language_key!r} in its metadata; give `language`.")
        return Document(tag, found.text, "datatrove", found.id)

"""A part of an index: the passages that one call added, with their vectors; written once, whole or not at all.

    part-0001/vectors.npy      (passages, dimensions) float, of length 1, memory-mapped
    part-0001/passages.jsonl   document, place and text of each passage, a line each
    part-0001/lines.npy        where each line begins, so that a hit is read without the others
    part-0001/documents.json   digest of each document's text, and its rows
    part-0001/graph.usearch    if one was asked for

While it is written it is called `.part-0001.partial`. A kill leaves that; the same call goes on where it was, because
the vectors are written by `encode_to_file`, which checks that the texts are the same.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.files import sync_to_disk
from ..encoding.to_file import FileEncoding, encode_to_file
from .documents import Document, file_text
from .nearest import build_graph, compare_all, open_graph, walk_graph
from .passages import Passage, cut_passages

Cut = dict[str, int] | None


def digest(text: str) -> str:
    """Digest a text.

    Args:
        text: Any.

    Returns:
        32 hexadecimal digits.
    """
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


class PartWriter:
    """Writes a part.

    Args:
        folder: Of the index.
        name: Of the part.
        cut: `tokens` and `overlap` of a passage; None: whole documents.
        keep_texts: Store the passages' texts, or look them up in the documents' files.
    """

    def __init__(self, folder: Path, name: str, cut: Cut, *, keep_texts: bool) -> None:
        self.place = folder / name
        self.partial = folder / f".{name}.partial"
        self.cut, self.keep_texts = cut, keep_texts
        self.documents: dict[str, tuple[str, int, int]] = {}
        self._begins = [0]

    def write(self, documents: Iterable[Document], embedder: Any, graph: bool, **options: Any) -> FileEncoding | None:
        """Write everything and give the part its name.

        Args:
            documents: What to add.
            embedder: What `load_embedder` gave.
            graph: Whether to build one.
            **options: For `encode_to_file`.

        Returns:
            What the encoding did; None if there was no document.
        """
        self._take_up()
        with (self.partial / "passages.jsonl").open("wb") as file:
            texts = self._passages(documents, embedder.tokenizer, file)
            done = encode_to_file(embedder, texts, self.partial / "vectors.npy", **options)
        if not done.rows:
            for path in self.partial.iterdir():
                path.unlink()
            self.partial.rmdir()
            return None
        np.save(self.partial / "lines.npy", np.asarray(self._begins, dtype=np.int64))
        (self.partial / "documents.json").write_text(json.dumps(self.documents), encoding="utf-8")
        if graph:
            build_graph(np.load(self.partial / "vectors.npy", mmap_mode="r"), self.partial / "graph.usearch")
        for path in self.partial.iterdir():
            sync_to_disk(path)
        self.partial.replace(self.place)
        return done

    def _take_up(self) -> None:
        """Make the folder, or go on with what a kill left: even a part that was whole and not yet named."""
        if self.place.exists():
            self.place.replace(self.partial)
        self.partial.mkdir(parents=True, exist_ok=True)
        ended, state = self.partial / "vectors.json", self.partial / ".vectors.json.partial"
        if ended.is_file() and not state.is_file():  # encode_to_file then finds all rows there, and checks the texts
            state.write_bytes(ended.read_bytes())

    def _passages(self, documents: Iterable[Document], tokenizer: Any, file: Any) -> Iterator[str]:
        """Yield the texts to embed, and write a line for each."""
        for document in documents:
            if not self.keep_texts and document.file is None:
                raise ValueError(f"{document.name!r} is no file of its own to look passages up in; keep the texts")
            first = len(self._begins) - 1
            for passage in self._cut(document.text, tokenizer):
                row: dict[str, Any] = {"document": document.name, "start": passage.start, "end": passage.end}
                row |= {"line": passage.line, "file": document.file}
                if self.keep_texts:
                    row["text"] = passage.text
                line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
                file.write(line)
                self._begins.append(self._begins[-1] + len(line))
                yield passage.text
            self.documents[document.name] = (digest(document.text), first, len(self._begins) - 1 - first)

    def _cut(self, text: str, tokenizer: Any) -> Iterable[Passage]:
        if self.cut is None:
            return [Passage(text, 0, len(text), 1)]
        return cut_passages(text, tokenizer, self.cut["tokens"], self.cut["overlap"])


class Part:
    """A part that is there; vectors and texts stay on disk until they are asked for.

    Args:
        place: Its folder.
        dimensions: Of the index.

    Raises:
        ValueError: If its files are missing, broken, or of other dimensions.
    """

    def __init__(self, place: Path, dimensions: int) -> None:
        self.place = place
        try:
            self.vectors = np.load(place / "vectors.npy", mmap_mode="r", allow_pickle=False)
            self._lines = np.load(place / "lines.npy", mmap_mode="r", allow_pickle=False)
            content = json.loads((place / "documents.json").read_text(encoding="utf-8"))
            size = (place / "passages.jsonl").stat().st_size
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{place} is broken ({error}); make the index again") from error
        if self.vectors.ndim != 2 or self.vectors.shape[1] != dimensions:
            shape = " x ".join(map(str, self.vectors.shape))
            raise ValueError(f"{place} holds {shape} values, the index {dimensions} dimensions; make the index again")
        if len(self._lines) != len(self.vectors) + 1 or int(self._lines[-1]) != size:
            raise ValueError(f"{place} holds {len(self.vectors)} vectors and other passages; make the index again")
        self.documents: dict[str, tuple[str, int, int]] = {name: tuple(entry) for name, entry in content.items()}
        self.hidden: npt.NDArray[np.bool_] | None = None
        path = place / "graph.usearch"
        self._graph = open_graph(path) if path.is_file() else None

    def __len__(self) -> int:
        return len(self.vectors)

    def hide(self, name: str) -> None:
        """Let a document not be found any more: this part does not hold it from now on.

        Args:
            name: Of a document of this part.
        """
        if self.hidden is None:
            self.hidden = np.zeros(len(self), dtype=np.bool_)
        _, first, rows = self.documents.pop(name)
        self.hidden[first : first + rows] = True

    def nearest(self, queries: npt.NDArray[np.float32], count: int) -> list[Any]:
        """Find the nearest passages.

        Args:
            queries: (q, dimensions) of length 1.
            count: How many.

        Returns:
            (places, scores) a query.
        """
        if self._graph is not None:
            return walk_graph(self._graph, self.vectors, queries, count, self.hidden)
        return compare_all(self.vectors, queries, count, self.hidden)

    def passage(self, row: int) -> dict[str, Any]:
        """Read a passage.

        Args:
            row: Its place.

        Returns:
            `document`, `file`, `line`, `start`, `end`, `text`; the text is None if it is not stored and the file is
            not what it was.
        """
        with (self.place / "passages.jsonl").open("rb") as file:
            file.seek(int(self._lines[row]))
            found: dict[str, Any] = json.loads(file.readline())
        if "text" not in found:
            found["text"] = self._looked_up(found)
        return found

    def _looked_up(self, passage: dict[str, Any]) -> str | None:
        try:
            text = file_text(passage["file"])
        except (OSError, UnicodeDecodeError):
            return None
        same = digest(text) == self.documents[passage["document"]][0]
        return text[passage["start"] : passage["end"]] if same else None

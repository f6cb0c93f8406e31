"""Vectors that are there already, as a teacher: a .npy, .safetensors or .parquet file and the texts it belongs to.

    vectors.npy?texts=texts.txt                          row n is the vector of line n, as `mmbert embed` writes it
    vectors.safetensors?texts=texts.parquet&text=sentence
    vectors.parquet?text=sentence&vector=embedding       texts and vectors in one table

That both belong together is checked where the file says to what: the `texts` of the .json that `mmbert embed` writes
beside its .npy, or of a .safetensors file's metadata, are a fingerprint of the texts in their order. A file without one
is believed if the numbers of rows agree, with a warning.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt

from ....common.files import read_json
from ....common.messages import first_line
from ....data.tables.files import format_of, lines
from ....data.tables.read import open_tables
from ...encoding.to_file import texts_digest

_log = logging.getLogger(__name__)
_OPTIONS = ("texts", "text", "vector")
_VECTOR_NAMES = ("vector", "embedding", "vectors", "embeddings")


class FileTeacher:
    """Vectors by text, from a file; they are mapped, and read when they are asked for.

    Args:
        source: `PLACE?option=value&...`, see above.

    Raises:
        FileNotFoundError: If a file is not there.
        ValueError: If the file cannot be read, or does not belong to the texts.
    """

    def __init__(self, source: str) -> None:
        place, _, query = source.partition("?")
        options = dict(parse_qsl(query, strict_parsing=True)) if query else {}
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise ValueError(f"{source}: {unknown[0]!r} is unknown; use {', '.join(_OPTIONS)}")
        self._path = Path(place)
        if not self._path.is_file():
            raise FileNotFoundError(f"{place} is no file of vectors")
        kind = self._path.suffix.lower()
        if kind == ".parquet" and "texts" not in options:
            self._texts, self._vectors = _table(self._path, options.get("text", "text"), options.get("vector"))
        else:
            self._vectors, expected = _matrix(self._path, options.get("vector"))
            self._texts = _texts(self._path, options.get("texts"), options.get("text", "text"))
            self._check_order(expected)
        self._row = {text: row for row, text in reversed(list(enumerate(self._texts)))}
        self.identity: dict[str, Any] = {
            "file": self._path.name,
            "texts": texts_digest(self._texts),
            "sample": self._sample(),
        }

    def stream(self, texts: Sequence[str], window: int) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """Yield the vectors of a window at a time; all texts must be there before the first is given."""
        if missing := [text for text in texts if text not in self._row]:
            raise ValueError(f"{self._path} has no vector of {len(missing):,} texts, such as {missing[0]!r:.60}")
        for first in range(0, len(texts), window):
            numbers = [self._row[text] for text in texts[first : first + window]]
            yield np.asarray(self._vectors[numbers], dtype=np.float32)

    def _sample(self) -> list[float]:
        """Some values, which tell other vectors of the same texts apart."""
        return [float(value) for row in self._vectors[:1] for value in row[:4]]

    def _check_order(self, expected: tuple[str, Any] | None) -> None:
        texts, rows = self._texts, len(self._vectors)
        if len(texts) != rows:
            raise ValueError(
                f"{self._path} has {rows:,} vectors, its texts are {len(texts):,}; give the texts that they are of"
            )
        if expected is None:
            _log.warning("%s says not of which texts it is; row n is taken for the vector of text n", self._path)
        elif texts_digest(texts, *expected[1]) != expected[0]:
            raise ValueError(
                f"{self._path} is of other texts, or of these in another order: their fingerprint differs from the one "
                "that was stored with the vectors"
            )


def _matrix(path: Path, name: str | None) -> tuple[Any, tuple[str, Any] | None]:
    """Map a matrix, and return the fingerprint of its texts with the windows it was taken in, if there is one."""
    try:
        if path.suffix.lower() == ".npy":
            found: Any = np.load(path, mmap_mode="r", allow_pickle=False)
            side = path.with_suffix(".json")
            about = read_json(side) if side.is_file() else {}
            window = about.get("conditions", {}).get("window")
            told: tuple[Any, Any] = about.get("texts"), window[:1] if isinstance(window, list) else []
        else:
            from safetensors import safe_open

            with safe_open(path, "np") as file:
                names = list(file.keys())
                chosen = name or (names[0] if len(names) == 1 else next((n for n in _VECTOR_NAMES if n in names), None))
                if chosen not in names:
                    raise ValueError(f"name its tensor with vector=NAME, one of: {', '.join(names)}")
                found = file.get_tensor(chosen)
                told = (file.metadata() or {}).get("texts"), []
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {first_line(error)}") from None
    except Exception as error:  # safetensors has an error of its own
        raise ValueError(f"{path}: no file of vectors ({first_line(error)})") from None
    if found.ndim != 2 or not np.issubdtype(found.dtype, np.floating):
        raise ValueError(
            f"{path} holds {found.dtype} values of shape {found.shape}; vectors are (rows, dimensions) floats"
        )
    return found, told if isinstance(told[0], str) else None


def _texts(path: Path, place: str | None, column: str) -> list[str]:
    if place is None:
        raise ValueError(f"{path} says not of which texts it is; name them: {path.name}?texts=FILE")
    if not Path(place).is_file():
        raise FileNotFoundError(f"{place} is no file of texts")
    if format_of(place) in (None, "text", "conll"):
        return [(line or b"").decode("utf-8") for _, line in lines(Path(place))]
    rows = [row.values.get(column) for table in open_tables(place) for row in table.read()]
    if wrong := next((n for n, value in enumerate(rows) if not isinstance(value, str)), None):
        raise ValueError(f"{place}: row {wrong} has no text in column {column!r}; name it with text=COLUMN")
    return [str(value) for value in rows]


def _table(path: Path, text: str, vector: str | None) -> tuple[list[str], Any]:
    """Read texts and vectors of one table."""
    from pyarrow import ArrowException, parquet

    try:
        names = parquet.read_schema(path).names
        wanted = vector or next((name for name in _VECTOR_NAMES if name in names), "vector")
        if missing := [name for name in (text, wanted) if name not in names]:
            raise ValueError(
                f"no column {missing[0]!r}; name them with ?text=COLUMN&vector=COLUMN, it has {', '.join(names)}"
            )
        table = parquet.read_table(path, columns=[text, wanted])
        column = table[wanted].combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
    except (ValueError, ArrowException, OSError, AttributeError) as error:
        raise ValueError(f"{path}: {first_line(error)}") from None
    widths = set(np.unique(np.asarray(column.value_lengths()))) if hasattr(column, "value_lengths") else {-1}
    if len(table) == 0 or len(flat) % len(table) or (widths != {len(flat) // len(table)} and widths != {-1}):
        raise ValueError(f"{path}: the vectors of column {wanted!r} are missing or differ in width")
    return table[text].to_pylist(), flat.reshape(len(table), -1)

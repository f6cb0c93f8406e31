"""Readers of text, jsonl and parquet files: every row, good or bad, with its place.

Files are streamed: a line longer than the limit is passed over without being held, so that one broken 50 MB row costs
no memory. Parquet comes by row group: a damaged file gives up at the damaged group.
A large file can be read in slices (`slices.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .rows import ReadOptions, Row

# CODEMOD section data.slices
# Slices: a large file read by several processes, each row by exactly one of them.
#
# Lines are cut by a range of bytes (a line belongs to the slice in which its first byte lies), parquet by a range of
# row
# groups. Blocks of a .txt file cannot be cut: only reading from the beginning tells where one starts.


class Slice(NamedTuple):
    """A part of a file: bytes begin <= b < end of .jsonl and .txt, or row groups of .parquet."""

    begin: int
    end: int


class LinePlace(NamedTuple):
    """Where a line stands; its number in the file is counted only when somebody wants to read it.

    Attributes:
        path: The file.
        word: "row" or "line".
        number: Number of the line in its slice, from 1.
        begin: First byte of the slice.
    """

    path: Path
    word: str
    number: int
    begin: int

    def __str__(self) -> str:
        return f"{self.path}, {self.word} {_lines_before(self.path, self.begin) + self.number}"


def slices(path: Path, options: ReadOptions, size: int) -> list[tuple[Slice | None, int]]:
    """Cut a file into slices.

    Args:
        path: A .txt, .jsonl or .parquet file.
        options: Say whether a .txt file can be cut.
        size: Bytes that a slice should have, about.

    Returns:
        Slices with their bytes; a single None for a file that stays whole.
    """
    total = path.stat().st_size
    if path.suffix == ".parquet":
        found = _group_slices(path, size)
    elif path.suffix == ".txt" and options.text_unit == "block":
        found = []
    else:
        found = [(Slice(begin, min(begin + size, total)), min(size, total - begin)) for begin in range(0, total, size)]
    return list(found) if len(found) > 1 else [(None, total)]


def _group_slices(path: Path, size: int) -> list[tuple[Slice, int]]:
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.metadata.row_group(number).total_byte_size for number in range(file.num_row_groups)]
    except (OSError, pa.ArrowException):
        return []  # the reader says so, as a bad row
    found, begin, filled = [], 0, 0
    for number, group in enumerate(groups):
        filled += group
        if filled >= size or number == len(groups) - 1:
            found.append((Slice(begin, number + 1), filled))
            begin, filled = number + 1, 0
    return found


def _lines_before(path: Path, begin: int) -> int:
    """Counts the lines that start before a byte."""
    count, left = 0, begin
    with path.open("rb") as file:
        while left and (block := file.read(min(left, 1 << 20))):
            count += block.count(b"\n")
            left -= len(block)
        file.seek(max(begin - 1, 0))
        return count + (begin > 0 and file.read(1) != b"\n")


# CODEMOD section data.readers
# Readers of text, jsonl and parquet files: every row, good or bad, with its place.
#
# Files are streamed: a line longer than the limit is passed over without being held, so that one broken 50 MB row costs
# no memory. Parquet comes by row group: a damaged file gives up at the damaged group.
# A large file can be read in slices (`slices.py`).


_BATCH_ROWS = 1024
_JSON_GROWTH = 8  # a JSON line may be longer than its text: six bytes for \uXXXX, and the other columns
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None = None) -> Iterator[Row]:
    """Yields the rows of one file; a file that cannot be read is one bad row.

    Args:
        path: A .txt, .jsonl or .parquet file.
        language: Tag of all its rows, or None if a column says it.
        options: Columns and limits.
        part: Read only this slice.

    Yields:
        Row: The rows in file order.
    """
    count = 0
    try:
        for row in READERS[path.suffix](path, language, options, part):
            count += 1
            yield row
    except (OSError, pa.ArrowException) as error:
        detail = str(error).splitlines()[0]
        inside = "" if part is None else f" between {part.begin:,} and {part.end:,}"
        place = f"{path}{inside}, after row {count}"
        yield Row(place, language, None, problem="unreadable file", detail=detail)
        return
    if not count and part is None:
        yield Row(str(path), language, None, problem="empty document", detail="the file has no row")


def _text_rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None) -> Iterator[Row]:
    """Yields blocks between blank lines, or single lines; blank lines only separate."""
    block: list[bytes] = []
    size, first, too_long = 0, 1, False
    begin = part.begin if part else 0
    for number, line in _lines(path, options.max_document_bytes, part):
        if line is None or line.strip():
            if not block and not too_long:
                size, first = 0, number
            size += len(line or b"") + 1
            too_long = too_long or line is None or size > options.max_document_bytes + 1
            if too_long:
                block.clear()
            else:
                block.append(line or b"")
            if options.text_unit == "block":
                continue
        if block or too_long:
            yield _text_row(LinePlace(path, "line", first, begin), language, block, too_long, options)
        block, too_long = [], False
    if block or too_long:
        yield _text_row(LinePlace(path, "line", first, begin), language, block, too_long, options)


def _text_row(place: object, language: str | None, block: list[bytes], too_long: bool, options: ReadOptions) -> Row:
    if too_long:
        return _too_long(place, language, options)
    return _decoded(place, language, b"\n".join(block), None)


def _json_rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None) -> Iterator[Row]:
    """Yields one row for every line that is not blank."""
    begin = part.begin if part else 0
    for number, line in _lines(path, options.max_document_bytes * _JSON_GROWTH, part):
        place = LinePlace(path, "row", number, begin)
        if line is None:
            yield _too_long(place, language, options)
        elif line.strip():
            yield _json_row(place, language, line, options)


def _json_row(place: object, language: str | None, line: bytes, options: ReadOptions) -> Row:
    try:
        record = json.loads(line)
    except UnicodeDecodeError as error:
        return Row(place, language, None, problem="not UTF-8", detail=f"byte {error.start}")
    except (ValueError, RecursionError) as error:
        return Row(place, language, None, problem="invalid JSON", detail=str(error))
    if not isinstance(record, dict):
        return Row(place, language, None, problem="invalid JSON", detail=f"a {type(record).__name__}, not an object")
    if options.text_column not in record:
        detail = f"no column {options.text_column!r}; there are {', '.join(map(repr, record))}"
        return Row(place, language, None, problem="no text", detail=detail)
    tag = language if language is not None else record.get(options.language_column)
    key = record.get(options.key_column) if options.key_column else None
    return Row(place, tag, record[options.text_column], key)


def _parquet_rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None) -> Iterator[Row]:
    """Yields the rows of all row groups; text is taken as bytes, so that bad UTF-8 spoils its own row only."""
    with pq.ParquetFile(path) as file:
        columns = [name for name in options.columns if language is None or name != options.language_column]
        missing = [name for name in columns if name not in file.schema_arrow.names]
        if missing:
            there = ", ".join(map(repr, file.schema_arrow.names))
            raise ValueError(f"{path} has no column {missing[0]!r}; there are {there}. Name the right one.")
        groups = range(part.begin, part.end) if part else range(file.num_row_groups)
        number = sum(file.metadata.row_group(before).num_rows for before in range(groups.start))
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, row_groups=list(groups), columns=columns):
            values = {name: _python_values(batch.column(name)) for name in columns}
            for row in range(batch.num_rows):
                number += 1
                tag = language if language is not None else _as_text(values[options.language_column][row])
                key = _as_text(values[options.key_column][row]) if options.key_column else None
                text = values[options.text_column][row]
                place = f"{path}, row {number}"
                yield _decoded(place, tag, text, key) if isinstance(text, bytes) else Row(place, tag, text, key)


def _python_values(column: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    values: list[Any] = column.to_pylist()
    return values


def _as_text(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _decoded(place: object, language: str | None, raw: bytes, key: Any) -> Row:
    try:
        return Row(place, language, raw.decode("utf-8"), key)
    except UnicodeDecodeError as error:
        return Row(place, language, None, key, "not UTF-8", f"byte {error.start}")


def _too_long(place: object, language: str | None, options: ReadOptions) -> Row:
    detail = f"max_document_bytes is {options.max_document_bytes:,}"
    return Row(place, language, None, problem="document too long", detail=detail)


def _lines(path: Path, limit: int, part: Slice | None) -> Iterator[tuple[int, bytes | None]]:
    """Yields (line number, line without its end), and None for a line longer than `limit` bytes."""
    with path.open("rb") as file:
        if part is not None and part.begin:
            # From one byte before: if a line ends there, the slice begins with a whole one.
            file.seek(part.begin - 1)
            _pass_over(file, file.readline(limit + 2), limit)
        elif file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
            file.seek(0)
        number = 0
        # The first line of the file begins at byte 0, byte order mark or not.
        begin = file.tell() if part is None or part.begin else 0
        while (part is None or begin < part.end) and (line := file.readline(limit + 2)):
            number += 1
            content = line.rstrip(b"\r\n")
            _pass_over(file, line, limit)
            begin = file.tell()
            yield number, None if len(content) > limit else content


def _pass_over(file: BinaryIO, line: bytes, limit: int) -> None:
    """Reads on to the end of a long line."""
    while line and not line.endswith(b"\n"):
        line = file.readline(limit + 2)


READERS: dict[str, Callable[[Path, str | None, ReadOptions, Slice | None], Iterator[Row]]] = {
    ".txt": _text_rows,
    ".jsonl": _json_rows,
    ".parquet": _parquet_rows,
}

"""Rows of files as a corpus sees them: every row, good or bad, with its place, its language and its text.

`data.tables` reads; what is here is the text of .txt files, cut into blocks or lines, and which columns hold what.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...common.messages import first_line, option
from ...languages.tags import known_tag, same_language
from ..tables.arrow import schema_of
from ..tables.base import MISSING, Record, Slice, TableError, pick
from ..tables.files import BROKEN, format_of, lines, lines_before
from ..tables.names import language_of
from ..tables.read import records
from .rows import ReadOptions, Row

_WITH_HEADER = ("csv", "tsv")


class LinePlace(NamedTuple):
    """Where a line stands; its number in the file is counted only when somebody wants to read it."""

    path: Path  # the file
    word: str  # "row" or "line"
    number: int  # number of the line in its slice, from 1
    begin: int  # first byte of the slice

    def __str__(self) -> str:
        return f"{self.path}, {self.word} {lines_before(self.path, self.begin) + self.number}"


def read_rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None = None) -> Iterator[Row]:
    """Yields the rows of a file, or of a slice of it; a file that cannot be read is one bad row."""
    count = 0
    try:
        for row in _rows(path, language, options, part):
            count += 1
            yield row
    except (*BROKEN, TableError) as error:
        inside = "" if part is None else f" between {part.begin:,} and {part.end:,}"
        place = f"{path}{inside}, after row {count}"
        yield Row(place, language, None, problem="unreadable file", detail=first_line(error))
        return
    if not count and part is None:
        yield Row(str(path), language, None, problem="empty document", detail="the file has no row")


def _rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None) -> Iterator[Row]:
    kind = format_of(path) or ""
    if kind == "text":
        yield from _text_rows(path, language, options, part)
        return
    if language is None and (named := language_of(path.name)) is not None:  # en.jsonl, sw_train.csv
        values = next((one.values for one in records(path, limit=options.max_document_bytes) if one.values), {})
        language = named if pick(values, options.language_column) is MISSING else None
    columns = [name for name in options.columns if language is None or name != options.language_column]
    if language is not None and kind in ("parquet", "arrow") and options.language_column in schema_of(path).names:
        columns.append(options.language_column)
    begin = part.begin if part and kind == "jsonl" else 0
    first = kind in _WITH_HEADER
    for record in records(path, columns, limit=options.max_document_bytes, part=part):
        if first and record.values is not None:
            first = False
            if gone := [name for name in columns if pick(record.values, name) is MISSING]:
                there = ", ".join(map(repr, record.values))
                remedy = f"name the right one, {option('text_column', 'COLUMN')}"
                if gone[0] == options.language_column:
                    remedy = language_remedy(language_of(path.name) or "swh_Latn")
                raise ValueError(f"{path} has no column {gone[0]!r}; there are {there}; {remedy}.")
        place: object = LinePlace(path, "row", record.number, begin) if begin else f"{path}, row {record.number}"
        yield row_of(place, record, language, options)


def language_remedy(tag: str = "swh_Latn") -> str:
    """Say how a table's language is told, where no column of the usual name does."""
    column, whole = option("language_column", "COLUMN"), option("language", tag)
    return f"name the right one, {column}{f', or the language of all its rows, {whole}' if whole else ''}"


def row_of(place: object, record: Record, language: str | None, options: ReadOptions) -> Row:
    """Turns a record into a row of a corpus."""
    values = record.values
    if values is None:
        return Row(place, language, None, problem=record.problem, detail=record.detail)
    text = pick(values, options.text_column)
    if text is MISSING:
        detail = (
            f"no column {options.text_column!r}; there are {', '.join(map(repr, values))}; "
            f"name the right one, {option('text_column', 'COLUMN')}"
        )
        return Row(place, language, None, problem="no text", detail=detail)
    if language is None and pick(values, options.language_column) is MISSING:
        detail = f"no column {options.language_column!r}; there are {', '.join(map(repr, values))}; {language_remedy()}"
        return Row(place, None, text, problem="no language", detail=detail)
    said = _value(values, options.language_column)
    if language is not None and isinstance(said, str) and _contradicts(said, language, options):
        detail = (
            f"its column {options.language_column!r} says {said}, the name of its file or folder, or "
            f"{option('language', language)}, says {language}; rename the file if the column is right"
        )
        return Row(place, language, None, problem="two languages", detail=detail)
    tag = language if language is not None else said
    key = _value(values, options.key_column) if options.key_column else None
    return _decoded(place, tag, text, key) if isinstance(text, bytes) else Row(place, tag, text, key)


def _contradicts(said: str, language: str, options: ReadOptions) -> bool:
    """Tell whether a column names a language that is understood, and not the one of the file."""
    return known_tag(said, options.extra_languages) is not None and not same_language(said, language)


def _value(values: dict[str, Any], column: str) -> Any:
    value = pick(values, column)
    return None if value is MISSING else value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _text_rows(path: Path, language: str | None, options: ReadOptions, part: Slice | None) -> Iterator[Row]:
    """Yields blocks between blank lines, or single lines; blank lines only separate."""
    block: list[bytes] = []
    size, first, too_long = 0, 1, False
    begin = part.begin if part else 0
    for number, line in lines(path, options.max_document_bytes, part):
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
        detail = f"max_document_bytes is {options.max_document_bytes:,}"
        return Row(place, language, None, problem="document too long", detail=detail)
    return _decoded(place, language, b"\n".join(block), None)


def _decoded(place: object, language: str | None, raw: bytes, key: Any) -> Row:
    try:
        return Row(place, language, raw.decode("utf-8"), key)
    except UnicodeDecodeError as error:
        return Row(place, language, None, key, "not UTF-8", f"byte {error.start}")

"""The one reader of rows: whatever holds a table gives records with their row numbers.

    for row in read_table("reviews.csv.gz"): print(row.place, row.values)

Fine-tuning, evaluation, pairs, `mmbert embed`, search, `mmbert tokenize` and trim all read through `records`, so that a
file is understood by all of them or by none. Files are streamed but for .json; a bad row does not end the reading: who
reads decides whether it is an error or left out and counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...common.messages import first_line
from .arrow import arrow_rows, class_names, schema_of
from .base import MISSING, Record, Slice, Table, TableError, TableRow, pick
from .conll import conll_rows
from .delimited import delimited
from .files import BROKEN, KINDS, check_binary, format_of, is_rows, refusal
from .json_rows import json_file, json_lines
from .names import language_of, other_names, split_of

_FOLDER = re.compile(r"[a-z]{2,3}[_-][A-Z][a-z]{3}|[a-z]{2}")
SUFFIXES = tuple(suffix for suffix, kind in KINDS.items() if kind != "text")


def records(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    limit: int | None = None,
    part: Slice | None = None,
) -> Iterator[Record]:
    """Read the rows of one file, good and bad.

    Args:
        path: The file: parquet, JSON lines, JSON, CSV, TSV, Arrow or CoNLL; all but parquet and Arrow may be compressed
            (.gz, .zst, .xz, .bz2).
        columns: Only these of parquet and Arrow; a file without one of them is an error.
        options: For CoNLL: which columns words and tags stand in.
        limit: Bytes of a document at most.
        part: Read only this slice.

    Returns:
        The rows.

    Raises:
        TableError: If the file as a whole cannot be read.
    """
    kind = format_of(path)
    if kind in ("parquet", "arrow"):
        check_binary(path, kind)
        return arrow_rows(path, columns, part)
    if kind == "jsonl":
        return json_lines(path, limit, part)
    if kind == "json":
        return json_file(path, limit)
    if kind in ("csv", "tsv"):
        return delimited(path, kind)
    if kind == "conll":
        return conll_rows(path, options)
    raise TableError(refusal(path))


def file_table(
    path: Path, name: str | None = None, options: Mapping[str, Any] | None = None, of_no_split: bool = False
) -> Table:
    """Open one file as a table; its path inside the folder that was named says split and language."""
    if format_of(path) in (None, "text"):
        raise ValueError(refusal(path, SUFFIXES))

    def rows(columns: Sequence[str] | None) -> Iterator[Record]:
        try:
            yield from records(path, columns, options=options)
        except TableError as error:
            raise ValueError(f"{path}: {error}") from None
        except BROKEN as error:
            raise ValueError(f"{path}: cannot be read ({first_line(error)}).") from None

    name = path.name if name is None else name
    names, header = {}, None
    if format_of(path) in ("parquet", "arrow"):
        try:
            check_binary(path, str(format_of(path)))
            schema = schema_of(path)
        except TableError as error:
            raise ValueError(f"{path}: {error}") from None
        except BROKEN as error:
            raise ValueError(f"{path}: cannot be read ({first_line(error)}).") from None
        names, header = class_names(schema), list(schema.names)
    language = language_of(f"{own}/{name}") if _FOLDER.fullmatch(own := _folder_of(path, name)) else language_of(name)
    return Table(str(path), rows, language, split_of(name), names, header, of_no_split)


def _folder_of(path: Path, name: str) -> str:
    """Return the name of the folder that a path inside it leaves out: `data/swh_Latn/train.tsv` says Swahili."""
    return path.parts[-1 - len(Path(name).parts)] if len(path.parts) > len(Path(name).parts) else ""


def open_tables(
    place: str | Path,
    *,
    split: str | None = None,
    languages: Sequence[str] | None = None,
    configuration: str | None = None,
    revision: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> list[Table]:
    """Open a file, the files of a folder (a saved data set too), or a dataset of the Hub."""
    path = Path(place)
    if path.is_file():
        return [file_table(path, options=options)]
    if not path.exists():
        if (
            path.is_absolute()
            or (path.suffix and (format_of(path) or path.suffix.lower() in KINDS))
            or len(path.parts) > 2
        ):
            raise FileNotFoundError(f"{place} does not exist.")
        from .hub import hub_tables

        return hub_tables(str(place), split=split, languages=languages, configuration=configuration, revision=revision)
    inside = {file.relative_to(path).as_posix(): file for file in table_files(path)}
    if not inside:
        others = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
        told = f" {refusal(others[0], SUFFIXES)}" if others else ""
        raise FileNotFoundError(f"{path} holds no {', '.join(SUFFIXES)} file.{told}")
    said = {name: split_of(name) for name in inside}
    some_say = any(said.values())
    if split is not None:
        wanted = (*other_names(split), None)
        inside = {name: file for name, file in inside.items() if said[name] in wanted}
        if not inside:
            there = ", ".join(sorted({found for found in said.values() if found}))
            raise FileNotFoundError(f"{path} has no split {split!r}; its files are of {there}.")
    return [
        file_table(file, name, options, of_no_split=some_say and said[name] is None) for name, file in inside.items()
    ]


def table_files(folder: Path) -> list[Path]:
    """Find the files of rows in a folder, at any depth, in the order of their paths."""
    found = (
        path for path in folder.rglob("*") if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return sorted(path for path in found if format_of(path) != "text" and is_rows(path))


def read_table(
    place: str | Path, columns: Sequence[str] | None = None, *, split: str | None = None, **hub: Any
) -> Iterator[TableRow]:
    """Read the rows of a file, a folder or a dataset of the Hub, as they are.

    Args:
        place: The place, see `open_tables`.
        columns: Only these; `a.b` is a value inside a column. None: all.
        split: Only these rows, by names of files or a column `split`.
        **hub: `configuration` and `revision` of a Hub dataset.

    Yields:
        TableRow: Place and values; with `columns` exactly these, None where a row lacks one.

    Raises:
        FileNotFoundError: If there is nothing there.
        ValueError: If a file or row cannot be read, or a file lacks a column.
    """
    for table in open_tables(place, split=split, **hub):
        for row in table.read():
            if split is not None and str(row.values.get("split", split)) not in other_names(split):
                continue
            if columns is None:
                yield row
                continue
            found = {name: pick(row.values, name) for name in columns}
            if found and all(value is MISSING for value in found.values()):
                there = ", ".join(map(repr, row.values))
                raise ValueError(f"{row.place}: no column {columns[0]!r}; there are {there}.")
            yield TableRow(row.place, {name: None if value is MISSING else value for name, value in found.items()})

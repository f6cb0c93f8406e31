"""A row of a table, a table, and values inside rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MISSING = object()


class TableError(ValueError):
    """A file that cannot be read as rows; the message says why and what to do, without the file's name."""


class Record(NamedTuple):
    """One row as it stands in a file."""

    number: int  # row of the file (or slice), from 1: the line of .jsonl and .txt, else the row below the header
    values: dict[str, Any] | None  # column to value; None if the row cannot be read
    problem: str = ""  # why not, in two or three words to count it under
    detail: str = ""  # more about it


class Slice(NamedTuple):
    """A part of a file: bytes begin <= b < end of plain .jsonl and .txt, or row groups of .parquet."""

    begin: int
    end: int


class TableRow(NamedTuple):
    """A row and where it stands."""

    place: str  # file and row, for messages
    values: dict[str, Any]  # column to value


@dataclass(frozen=True)
class Table:
    """Rows that come from one place."""

    place: str  # file or Hub id, for messages
    # called with the wanted columns (None: all), it reads the rows
    rows: Callable[[Sequence[str] | None], Iterator[Record]]
    language: str | None = None  # what the place's name says of the language; None if it says nothing
    split: str | None = None  # what it says of the split
    # names of classes, by column, where the source stores numbers for them
    names: dict[str, list[str]] = field(default_factory=dict)
    header: Sequence[str] | None = None  # its columns, where they are known without reading the rows
    of_no_split: bool = False  # its name says no split, while names of files beside it do: then a column must

    def read(self, columns: Sequence[str] | None = None) -> Iterator[TableRow]:
        """Read the rows, or only these columns of them; the first bad one is an error."""
        for number, values, problem, detail in self.rows(columns):
            if values is None:
                raise ValueError(f"{self.place}, row {number}: {problem}{f' ({detail})' if detail else ''}.")
            yield TableRow(f"{self.place}, row {number}", values)


def pick(values: Mapping[str, Any], name: str) -> Any:
    """Return a value of a row by the name of its column, or `a.b` inside one; `MISSING` if there is none."""
    if name in values:
        return values[name]
    head, dot, rest = name.partition(".")
    while dot:
        inner = values.get(head, MISSING)
        if isinstance(inner, Mapping):
            return pick(inner, rest)
        if isinstance(inner, list) and inner and all(isinstance(one, Mapping) for one in inner):
            return [None if (found := pick(one, rest)) is MISSING else found for one in inner]
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    return MISSING

"""A row of a table, a table, and values inside rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MISSING = object()


class TableError(ValueError):
    """A file that cannot be read as rows; the message says why and what to do, without the file's name."""


class Record(NamedTuple):
    """One row as it stands in a file.

    Attributes:
        number: Row of the file (or slice), from 1: the line of .jsonl and .txt, else the row below the header.
        values: Column to value; None if the row cannot be read.
        problem: Why not, in two or three words to count it under.
        detail: More about it.
    """

    number: int
    values: dict[str, Any] | None
    problem: str = ""
    detail: str = ""


class Slice(NamedTuple):
    """A part of a file: bytes begin <= b < end of plain .jsonl and .txt, or row groups of .parquet."""

    begin: int
    end: int


class TableRow(NamedTuple):
    """A row and where it stands.

    Attributes:
        place: File and row, for messages.
        values: Column to value.
    """

    place: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows that come from one place.

    Attributes:
        place: File or Hub id, for messages.
        rows: Called with the wanted columns (None: all), it reads the rows.
        language: What the place's name says of the language; None if it says nothing.
        split: What it says of the split.
        names: Names of classes, by column, where the source stores numbers for them.
        header: Its columns, where they are known without reading the rows.
        of_no_split: Its name says no split, while names of files beside it do: then a column must.
    """

    place: str
    rows: Callable[[Sequence[str] | None], Iterator[Record]]
    language: str | None = None
    split: str | None = None
    names: dict[str, list[str]] = field(default_factory=dict)
    header: Sequence[str] | None = None
    of_no_split: bool = False

    def read(self, columns: Sequence[str] | None = None) -> Iterator[TableRow]:
        """Read the rows; the first bad one is an error.

        Args:
            columns: Only these, where leaving the others out saves time.

        Yields:
            TableRow: The rows.

        Raises:
            ValueError: If a row cannot be read; the message names file, row and why.
        """
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

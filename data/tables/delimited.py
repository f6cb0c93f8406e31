"""CSV and TSV as people save them: the first lines of a file say how its columns are separated and quoted.

Tab-separated text mostly has no quotes (a lone " is common, and no quote there), unless every quoted field is whole and
doubles the quotes inside, as pandas and spreadsheets write it. Elsewhere quotes are quotes, doubled or (database dumps)
with a backslash. What fits none of these is told with its row: a quote that swallows the rest of a file must not pass.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

from .base import Record, TableError
from .files import not_utf8, open_text

_SAMPLE = 1 << 18
_TWICE = 500_000  # lines that may be read again in any file
_ORDER = {"csv": (",", ";", "\t", "|"), "tsv": ("\t", ",", ";", "|")}
_TATOEBA = ("id", "lang", "text", "username", "added", "modified")  # no header: sentences.csv, eng_sentences.tsv
_TATOEBA_NAME = re.compile(r"(^|_)sentences(_detailed|_base|_CC0)?\.")


@dataclass(frozen=True)
class Dialect:
    """How a file is separated and quoted."""

    delimiter: str | None = ","  # between columns; None: the file has one
    quotes: str = "doubled"  # "doubled", "backslash" or "none"
    skip_blank: bool = False  # whether a blank follows the delimiter
    names: tuple[str, ...] = ()  # columns of a file without a first line of names
    skip: int = 0  # lines before the names (`sep=;`)

    def options(self) -> dict[str, Any]:
        """Return what `csv.reader` takes."""
        return {
            "delimiter": self.delimiter, "strict": True, "skipinitialspace": self.skip_blank,
            "doublequote": self.quotes == "doubled", "escapechar": "\\" if self.quotes == "backslash" else None,
        }  # fmt: skip


class _Lines:
    """Lines of a file for `csv.reader`; those since the last row can be put back."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source, self._back, self._read, self._twice = source, list[str](), 0, 0
        self.taken: list[str] = []
        self.broken: UnicodeDecodeError | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._back:
            line = self._back.pop()
        else:
            raw = next(self._source)
            self._read += 1
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                self.broken, line = error, raw.decode("utf-8", "replace")
        self.taken.append(line)
        return line

    def put_back(self) -> None:
        """Put all lines of a broken row back but its first."""
        self._back += reversed(self.taken[1:])
        self._twice += len(self.taken) - 1
        if self._twice > _TWICE + 20 * self._read:  # each of many quotes takes most of the file: hours, otherwise
            raise TableError(
                f"{self._read:,} lines were read {self._twice / self._read:.0f} times each, because quotes in many "
                "rows are never closed; double the quotes inside quoted fields, or write jsonl"
            )


def delimited(path: Path, kind: str) -> Iterator[Record]:
    """Read the rows of a CSV or TSV file below the names, good and bad."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a long document is a long field
    with open_text(path) as file:
        sample = file.read(_SAMPLE)
        whole = len(sample) < _SAMPLE
        rest = b"" if whole else file.readline()
        dialect = sniff(sample + rest, kind, whole, path.name)
        if b"\r" in sample and b"\n" not in sample:  # old Macintosh
            head = (sample + rest + file.read()).splitlines(keepends=True)
        else:
            head = list(BytesIO(sample + rest))
        source = _Lines(chain(head[dialect.skip :], file))
        rows = _fields(source, dialect)
        names = list(dialect.names) or _names(rows, source, path)
        for number, (fields, problem) in enumerate(rows, start=1):
            yield _record(number, fields, problem, names, source, dialect, path)
            source.taken, source.broken = [], None


def _names(rows: Iterator[tuple[list[str], str]], source: _Lines, path: Path) -> list[str]:
    """Read the first line, with the names of the columns."""
    names, problem = next(rows, ([], ""))
    if source.broken:
        raise not_utf8(path, source.broken)
    if problem:
        raise TableError(f"its first line, with the names of the columns, cannot be read: {problem}")
    names = [name.strip() for name in names]
    if twice := [name for name, count in Counter(names).items() if count > 1 and name]:
        raise TableError(f"it names the column {twice[0]!r} twice in its first line; rename or remove one.")
    source.taken = []
    return names


def _record(
    number: int, fields: list[str], problem: str, names: list[str], source: _Lines, dialect: Dialect, path: Path
) -> Record:
    if source.broken:
        return Record(number, None, "not UTF-8", not_utf8(path, source.broken).args[0].removeprefix("not UTF-8, "))
    if len(fields) > len(names) and not any(fields[len(names) :]):
        fields = fields[: len(names)]  # a separator at the end of the line
    if not problem and len(fields) == len(names):
        return Record(number, dict(zip(names, fields, strict=True)))
    source.put_back()  # a quote that was never meant as one has taken the lines below
    if problem:
        return Record(number, None, "broken quotes", problem)
    return Record(number, None, "wrong number of fields", _ragged(len(fields), names, dialect))


def _ragged(count: int, names: list[str], dialect: Dialect) -> str:
    mark = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}.get(dialect.delimiter or "", "separators")
    return (
        f"{count} fields, but the first line names {len(names)} columns ({', '.join(names)}); "
        f"quote {mark} inside a field, or write jsonl"
    )


def _fields(source: _Lines, dialect: Dialect) -> Iterator[tuple[list[str], str]]:
    """Read of every row that is not blank its fields, and what is wrong with its quotes."""
    if dialect.quotes == "none" or dialect.delimiter is None:
        for line in source:
            content = line.rstrip("\r\n")
            if content:
                yield content.split(dialect.delimiter) if dialect.delimiter else [content], ""
            else:
                source.taken = []
        return
    rows = csv.reader(source, **dialect.options())
    while True:
        try:
            fields = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            fields = None
            told = f"{error}; double the quotes inside a quoted field, or write jsonl"
            yield [], told
        if fields:
            yield fields, ""
        elif fields is not None:
            source.taken = []  # a blank line


def sniff(sample: bytes, kind: str, whole: bool, name: str = "") -> Dialect:
    """Find out how a file is separated and quoted from its beginning; where nothing fits, the usual way."""
    text = sample.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    skip, named = 0, re.match(r"sep=(.)\n", text)
    if named:  # spreadsheets write this first
        text, skip = text[named.end() :], 1
    first = next((line for line in text.split("\n") if line.strip()), "")
    columns = first.split("\t")
    if _TATOEBA_NAME.search(name) and 3 <= len(columns) <= len(_TATOEBA) and columns[0].isdigit():
        return Dialect("\t", "none", names=_TATOEBA[: len(columns)])
    best: tuple[int, int, Dialect] | None = None
    order = (named[1],) if named else _ORDER[kind]
    for place, delimiter in enumerate(order):
        for dialect in _styles(text, delimiter):
            dialect = replace(dialect, skip=skip, skip_blank=_blank_after(delimiter, first))
            width = _consistent(text, dialect, whole)
            if width > 1 and (best is None or width > best[0]):
                best = (width, -place, dialect)
            if width:
                break
    if best is not None:
        return best[2]
    counts = {delimiter: first.count(delimiter) for delimiter in order}
    delimiter = max(order, key=lambda one: counts[one])
    if not counts[delimiter]:
        quoted = Dialect(order[0], skip=skip)
        return quoted if _consistent(text, quoted, whole) == 1 else Dialect(None, "none", skip=skip)
    return Dialect(
        delimiter, "none" if delimiter == "\t" else "doubled", skip=skip, skip_blank=_blank_after(delimiter, first)
    )


def _blank_after(delimiter: str, first: str) -> bool:
    """Tell whether every separator of the first line is followed by a blank."""
    return delimiter != "\t" and 0 < first.count(delimiter) == first.count(f"{delimiter} ")


def _styles(text: str, delimiter: str) -> list[Dialect]:
    """Return the ways of quoting to try, the likely ones first."""
    plain, doubled, backslash = (Dialect(delimiter, quotes) for quotes in ("none", "doubled", "backslash"))
    if '"' not in text:
        return [plain if delimiter == "\t" else doubled]
    fields = [field for line in text.split("\n") for field in line.split(delimiter)]
    whole = sum(len(field) > 1 and field[0] == field[-1] == '"' for field in fields)
    if delimiter == "\t":
        return [doubled, plain] if _is_quoted(fields) else [plain, doubled, backslash]
    return [doubled, backslash] if whole else [doubled, backslash, plain]


def _is_quoted(fields: list[str]) -> bool:
    """Tell quoted fields from texts with quotation marks: all are whole, and one of them had to be quoted."""
    marked = [field for field in fields if '"' in field]
    inner = [field[1:-1] for field in marked if len(field) > 1 and field[0] == field[-1] == '"']
    if len(inner) < len(marked) or any('"' in one.replace('""', "") for one in inner):
        return False
    head = fields[0]
    return any('""' in one for one in inner) or (len(head) > 1 and head[0] == head[-1] == '"')


def _consistent(text: str, dialect: Dialect, whole: bool) -> int:
    """Return the number of columns if all rows of the sample have as many, else 0."""
    source = _Lines(iter(line.encode("utf-8", "replace") for line in text.splitlines(keepends=True)))
    width = 0
    for fields, problem in _fields(source, dialect):
        width = width or len(fields)
        if len(fields) > width and not any(fields[width:]):
            continue
        if problem or len(fields) != width:
            return width if not whole and not next(iter(source), None) and width else 0
    return width

"""Files with labelled rows: parquet, JSON lines, JSON, CSV, TSV, CoNLL; each gives columns of plain values.

Whole files are held in memory: labelled data is small beside the text of pre-training, and a row that cannot be used
must be named by its number before anything is trained.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...languages.tags import is_language_tag
from .conll import SUFFIXES as CONLL
from .conll import read_conll

SUFFIXES = (".parquet", ".jsonl", ".json", ".csv", ".tsv", *CONLL)
SPLITS = {"dev": ("validation", "valid", "val"), "validation": ("dev", "valid", "val")}  # names of one and the same
_SPLIT_WORDS = ("train", "test", "dev", "validation", "valid", "val")


@dataclass(frozen=True)
class Part:
    """Rows that come from one place.

    Attributes:
        place: File or Hub id, for messages.
        columns: Name to values, all of one length.
        language: What the place's name says of the language; None if it says nothing.
        names: Names of classes, by column, where the source stores numbers for them.
        of_no_split: Its name says no split, while names of files beside it do: then a column must.
    """

    place: str
    columns: dict[str, list[Any]]
    language: str | None = None
    names: dict[str, list[str]] = field(default_factory=dict)
    of_no_split: bool = False

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), []))


def read_parts(location: Path, split: str | None, columns: Mapping[str, Any] | None) -> list[Part]:
    """Read a file, or the files of a folder.

    Args:
        location: The file or folder; names in the path may say the split (`train.csv`, `dev/`) and the language
            (`swh_Latn.tsv`, `swh_Latn/`).
        split: Which files of a folder to read; None: all. A file whose name says no split is read too, and marked
            where others' names say one: a column may tell.
        columns: For CoNLL files, see `read_conll`.

    Returns:
        A part a file, in the order of their paths.

    Raises:
        FileNotFoundError: If there is no file of a known kind, or none of the split.
        ValueError: If a file cannot be read.
    """
    if location.is_file():
        return [_read(location, columns, _language_of(location.name))]
    files = sorted(path for path in location.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise FileNotFoundError(f"{location} holds no {', '.join(SUFFIXES)} file.")
    inside = {path.relative_to(location).as_posix(): path for path in files}
    said = {name: _split_of(name) for name in inside}
    some_say = any(said.values())
    if split is not None:
        wanted = (split, *SPLITS.get(split, ()), None)
        inside = {name: path for name, path in inside.items() if said[name] in wanted}
        if not inside:
            there = ", ".join(sorted({found for found in said.values() if found}))
            raise FileNotFoundError(f"{location} has no split {split!r}; its files are of {there}.")
    return [
        replace(_read(path, columns, _language_of(name)), of_no_split=some_say and said[name] is None)
        for name, path in inside.items()
    ]


def _split_of(name: str) -> str | None:
    words = re.split(r"[^a-z]+", name.lower())
    return next((word for word in words if word in _SPLIT_WORDS), None)


def _language_of(name: str) -> str | None:
    return next((word for word in re.split(r"[/.-]", name) if is_language_tag(word) and "_" in word), None)


def _read(path: Path, columns: Mapping[str, Any] | None, language: str | None) -> Part:
    """Read one file by its suffix; whatever is wrong with it is told in one line."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            return Part(str(path), pq.read_table(path).to_pydict(), language)
        if suffix in CONLL:
            return Part(str(path), _columns_of(read_conll(path, columns)), language)
        if suffix in (".csv", ".tsv"):
            return Part(str(path), _read_csv(path, "\t" if suffix == ".tsv" else ","), language)
        if suffix == ".json":
            return Part(str(path), _columns_of(_json_rows(json.loads(path.read_text(encoding="utf-8")))), language)
        if suffix == ".jsonl":
            return Part(str(path), _columns_of(_json_lines(path)), language)
    except (UnicodeDecodeError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    raise ValueError(f"{path} is no {', '.join(SUFFIXES)} file.")


def _columns_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows into columns; a row that lacks a column has None there."""
    found: dict[str, list[Any]] = {}
    count = 0
    for row in rows:
        for name in [name for name in row if name not in found]:
            found[name] = [None] * count
        for name, values in found.items():
            values.append(row.get(name))
        count += 1
    return found


def _read_csv(path: Path, separator: str) -> dict[str, list[Any]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a long document is a long field
    with path.open(encoding="utf-8-sig", newline="") as file:
        # A lone " is common in tab-separated text, and no quote there.
        lines = csv.reader(file) if separator == "," else csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        names = next(lines, [])
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise ValueError(f"{path} names the column {twice[0]!r} twice in its first line; rename or remove one.")
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for number, line in enumerate(lines, start=1):
            if len(line) != len(names):
                raise ValueError(
                    f"{path}, row {number}: {len(line)} fields, but the first line names {len(names)} columns "
                    f"({', '.join(names)}); quote separators inside a field, or write jsonl."
                )
            for name, value in zip(names, line, strict=True):
                columns[name].append(value)
    return columns


def _json_lines(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number}: no JSON ({error.msg}).") from None
                if not isinstance(row, dict):
                    raise ValueError(f"{path}, line {number}: a {type(row).__name__}, not an object with columns.")
                yield row


def _json_rows(content: Any) -> Iterable[dict[str, Any]]:
    """Rows of a JSON file: a list of objects, or SQuAD's articles, paragraphs and questions."""
    rows = content.get("data", content) if isinstance(content, dict) else content
    if isinstance(rows, dict):  # columns
        yield from (dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True))
        return
    for row in rows:
        if "paragraphs" not in row:
            yield row
            continue
        for paragraph in row["paragraphs"]:
            for question in paragraph["qas"]:
                answers = question.get("answers") or []
                yield {
                    "id": question.get("id"),
                    "title": row.get("title"),
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": [answer["text"] for answer in answers],
                    "answer_start": [answer["answer_start"] for answer in answers],
                }

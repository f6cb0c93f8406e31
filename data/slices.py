"""Slices: a large file read by several processes, each row by exactly one of them.

Lines are cut by a range of bytes (a line belongs to the slice in which its first byte lies), parquet by a range of row
groups. Blocks of a .txt file cannot be cut: only reading from the beginning tells where one starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from .rows import ReadOptions


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

"""Files that hold rows: format by name, compression by content, lines, and slices for several processes.

Lines longer than a limit are passed over without being held, so that one broken 50 MB row costs no memory. A plain file
of lines is cut by a range of bytes (a line belongs to the slice in which its first byte lies), parquet by row groups;
everything else (compressed files, JSON, CSV with its quotes, blocks of text) can only be read from its beginning.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from .base import Slice, TableError

CONLL = (".conll", ".conllu", ".iob", ".iob2", ".bio", ".conll2002", ".conll2003")
KINDS = {
    ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonlines": "jsonl",
    ".json": "json", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".arrow": "arrow", ".feather": "arrow",
    ".txt": "text", ".md": "text", ".rst": "text", **dict.fromkeys(CONLL, "conll"),
}  # fmt: skip
TABLES = tuple(suffix for suffix, kind in KINDS.items() if kind not in ("text", "conll"))
COMPRESSED = (".gz", ".zst", ".xz", ".bz2")
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".xlsm", ".numbers"), "save the sheet as CSV (UTF-8)"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), "unpack it, and name the file or folder that comes out"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".npy", ".npz"), "write the rows as .jsonl or .parquet"),
    **dict.fromkeys((".sqlite", ".db", ".sql"), "export the table as CSV"),
    **dict.fromkeys((".pdf", ".doc", ".docx", ".html", ".xml", ".tmx"), "convert it to .txt, .tsv or .jsonl"),
}
_RARE = (".pq", ".ndjson", ".jsonlines", ".tab", ".feather", ".bio", ".iob", ".conll2002", ".conll2003")
# Files about a data set, not of it, which stand beside the rows.
METADATA = frozenset(
    {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "index.json", "metadata.json",
     "config.json", "croissant.json", "package.json", "verified.json"}
)  # fmt: skip
_UNPACKED, _RATIO = 1 << 30, 200  # a compressed file may unpack to so many bytes, and so many for each of its own
_MAGIC = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zst"}
# What files are that are not what their name says, by their first bytes.
_OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; fetch it: git lfs pull",
    b"<!doctype html": "a page of HTML, such as an error of a download; download the file itself",
    b"<html": "a page of HTML, such as an error of a download; download the file itself",
    b"pk\x03\x04": "a spreadsheet or ZIP archive; save the sheet as CSV (UTF-8), or unpack it",
    b"par1": "parquet; rename it to .parquet",
    b"arrow1": "Arrow; rename it to .arrow",
    b"\xd0\xcf\x11\xe0": "a spreadsheet of old Excel; save the sheet as CSV (UTF-8)",
    b"sqlite format 3": "a SQLite database; export the table as CSV",
    b"%pdf": "a PDF; convert it to .txt, .tsv or .jsonl",
}
_UTF8_MARK = b"\xef\xbb\xbf"
BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException)
"""What a file that is cut short or damaged raises."""


def format_of(path: str | Path) -> str | None:
    """Return parquet, jsonl, json, csv, tsv, arrow, conll or text by the name of a file, compressed or not; or None."""
    name = Path(path).name.lower()
    for suffix in (*COMPRESSED, ".zstd"):
        name = name.removesuffix(suffix)
    return KINDS.get(Path(name).suffix)


def refusal(path: Path, kinds: tuple[str, ...] = TABLES) -> str:
    """Say why a file of this name is not read, and what to do."""
    plain = Path(path.name.lower())
    while plain.suffix in COMPRESSED and plain.stem != plain.name:
        plain = Path(plain.stem)
    remedy = _REMEDIES.get(plain.suffix)
    hint = ""
    if plain.suffix == ".txt":
        hint = " Name it by what its lines hold: .csv, .tsv, .jsonl, or .conll (a word and its tag)."
    listed = (
        f"{', '.join(kind for kind in kinds if kind not in _RARE)} file, compressed ({', '.join(COMPRESSED)}) or not"
    )
    return f"{path} cannot be read: {remedy}." if remedy else f"{path} is no {listed}.{hint}"


def is_rows(path: Path) -> bool:
    """Tell a file of rows or text from files about a data set, hidden files and caches of `datasets`."""
    name = path.name
    if name.startswith(".") or name in METADATA or (name.startswith("cache-") and name.endswith(".arrow")):
        return False
    return format_of(path) is not None and path.is_file()


def compression_of(path: Path) -> str | None:
    """Return gz, bz2, xz or zst by the first bytes of a file."""
    with path.open("rb") as file:
        head = file.read(6)
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def open_bytes(path: Path) -> BinaryIO:
    """Open a file, compressed or not; whether it is, its first bytes say, not its name."""
    kind = compression_of(path)
    file: BinaryIO = path.open("rb")
    if kind is None:
        return file
    openers: dict[str, Any] = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}
    opened = pa.CompressedInputStream(file, "zstd") if kind == "zst" else openers[kind](file, "rb")
    return io.BufferedReader(_Bounded(opened, path), 1 << 16)


class _Bounded(io.RawIOBase):
    """What a compressed file unpacks to, up to a bound that no text reaches: a few bytes can stand for terabytes."""

    def __init__(self, unpacked: Any, path: Path) -> None:
        self._unpacked = unpacked
        self._left = self._most = _UNPACKED + _RATIO * path.stat().st_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._unpacked.read(len(buffer))
        self._left -= len(piece)
        if self._left < 0:
            raise TableError(
                f"it unpacks to more than {self._most:,} bytes, {_RATIO} times its size and more; unpack it"
            )
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._unpacked.close()
        super().close()


def open_text(path: Path) -> BinaryIO:
    """Open a file of text behind its byte order mark; one that is not in UTF-8 is told at once."""
    file = open_bytes(path)
    head = cast(io.BufferedReader, file).peek(4096)[:4096]
    if (other := other_content(head)) is not None:
        file.close()
        raise TableError(f"it is {other}")
    marked, zeros = head.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")), head.count(0) / max(len(head), 1)
    if marked or zeros > 0.25:
        file.close()
        if not marked and b"\0\0\0\0\0" in head:
            raise TableError("it holds zero bytes and is no text; give the rows as text")
        kind = "UTF-32" if zeros > 0.6 else "UTF-16"
        raise TableError(f"it is {kind}, not UTF-8; convert it first: iconv -f {kind} -t UTF-8 {path.name} > NEW")
    if head.startswith(_UTF8_MARK):
        file.read(len(_UTF8_MARK))
    return file


def other_content(head: bytes) -> str | None:
    """Say what a file is by its first bytes, and what to do, where it is none that this package reads as text."""
    start = head[:64].lstrip().lower()
    return next((what for magic, what in _OTHERS.items() if start.startswith(magic)), None)


def check_binary(path: Path, kind: str) -> None:
    """Refuse a file named .parquet or .arrow that is a pointer, a page or compressed as a whole."""
    with path.open("rb") as file:
        head = file.read(64)
    other = other_content(head)
    if other is not None and not other.lower().startswith(kind):
        raise TableError(f"it is {other}")
    if compression_of(path) is not None:
        raise TableError(f"{kind} is compressed inside and not read in a compressed file; decompress it first")


def not_utf8(path: Path, error: UnicodeDecodeError) -> TableError:
    """Make the error of a file in another encoding, with the remedy."""
    byte = error.object[error.start]
    return TableError(
        f"not UTF-8, byte 0x{byte:02x}: {error.reason}; convert it first, such as: "
        f"iconv -f WINDOWS-1252 -t UTF-8 {path.name} > NEW"
    )


def lines(path: Path, limit: int | None = None, part: Slice | None = None) -> Iterator[tuple[int, bytes | None]]:
    """Read (number in the slice, from 1; line without its end, None if longer than `limit`) line by line."""
    if limit is None and part is None:
        with open_text(path) as file:
            yield from ((number, line.rstrip(b"\r\n")) for number, line in enumerate(file, start=1))
        return
    most = -1 if limit is None else limit + 2
    if part is None:
        file = open_text(path)
    else:
        file = path.open("rb")
    with file:
        if part is not None and part.begin:
            # From one byte before: if a line ends there, the slice begins with a whole one.
            file.seek(part.begin - 1)
            _pass_over(file, file.readline(most), most)
        elif part is not None and file.read(len(_UTF8_MARK)) != _UTF8_MARK:
            file.seek(0)
        number = 0
        # The first line of the file begins at byte 0, byte order mark or not.
        begin = file.tell() if part is not None and part.begin else 0
        while (part is None or begin < part.end) and (line := file.readline(most)):
            number += 1
            content = line.rstrip(b"\r\n")
            if limit is not None:
                _pass_over(file, line, most)
            if part is not None:
                begin = file.tell()
            yield number, None if limit is not None and len(content) > limit else content


def _pass_over(file: BinaryIO, line: bytes, most: int) -> None:
    """Read on to the end of a long line."""
    while line and not line.endswith(b"\n"):
        line = file.readline(most)


def lines_before(path: Path, begin: int) -> int:
    """Count the lines that start before a byte."""
    count, left = 0, begin
    with path.open("rb") as file:
        while left and (block := file.read(min(left, 1 << 20))):
            count += block.count(b"\n")
            left -= len(block)
        file.seek(max(begin - 1, 0))
        return count + (begin > 0 and file.read(1) != b"\n")


def slices(path: Path, size: int, *, blocks: bool = False) -> list[tuple[Slice | None, int]]:
    """Cut a file into slices of about `size` bytes; a single None for a file that stays whole."""
    total, kind = path.stat().st_size, format_of(path)
    found: list[tuple[Slice, int]] = []
    if kind == "parquet":
        found = _group_slices(path, size)
    elif total > size and (kind == "jsonl" or (kind == "text" and not blocks)) and compression_of(path) is None:
        found = [(Slice(begin, min(begin + size, total)), min(size, total - begin)) for begin in range(0, total, size)]
    return list(found) if len(found) > 1 else [(None, total)]


def _group_slices(path: Path, size: int) -> list[tuple[Slice, int]]:
    import pyarrow.parquet as pq

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

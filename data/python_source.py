"""The Python files of an installed package, as documents of the language `code`.

Files are cut at blank lines into chunks of a few thousand characters, so that a chunk is a few whole functions and fits
a context of 1,024 tokens or so. All chunks of a file share its split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

CHUNK_CHARACTERS = 3000


def python_files(root: Path) -> list[Path]:
    """Lists the Python files below a folder, sorted.

    Args:
        root: The package's folder.

    Returns:
        The files.
    """
    return sorted(path for path in root.rglob("*.py") if path.is_file())


def chunks(text: str, limit: int = CHUNK_CHARACTERS) -> Iterator[str]:
    """Cuts source text at blank lines, or at line ends where a block is too long, nothing left out but blank edges.

    Args:
        text: A whole file.
        limit: Most characters in a chunk; a single longer line stays whole.

    Yields:
        str: Chunks that are not blank.
    """
    chunk = ""
    for piece in _pieces(text, limit):
        if chunk and len(chunk) + len(piece) > limit:
            if chunk.strip():
                yield chunk.strip("\n")
            chunk = ""
        chunk += piece
    if chunk.strip():
        yield chunk.strip("\n")


def _pieces(text: str, limit: int) -> Iterator[str]:
    """Blocks with the blank lines after them; lines, where a block is longer than the limit."""
    block: list[str] = []
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        block.append(line)
        ends = not line.strip() and number + 1 < len(lines) and bool(lines[number + 1].strip())
        if ends or number + 1 == len(lines):
            whole = "".join(block)
            yield from [whole] if len(whole) <= limit else block
            block = []

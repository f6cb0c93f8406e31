"""Files compared with their checksums, once: what was found good is remembered by size and time of change.

`verified.json` beside the shards is a note to ourselves, not a proof: damage that leaves a file's time as it was (a
failing disk) is found only by `verify="again"`. A file that changed within two seconds before the note is not noted,
because clocks of file systems are coarse. Where the directory cannot be written, every opening compares again.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ..modeling.checkpoint_files import sha256

NOTE = "verified.json"
_COARSE_CLOCK = 2_000_000_000  # nanoseconds; the coarsest file systems keep two seconds


def verify_files(directory: Path, checksums: Mapping[str, str], *, again: bool = False) -> None:
    """Compare files with their SHA-256, and note those that are good.

    Args:
        directory: Where the files are.
        checksums: File name to SHA-256.
        again: Compare files that are noted as good, too.

    Raises:
        ValueError: If a file is not what was written.
    """
    known = {} if again else _read_note(directory)
    good: dict[str, list[object]] = {}
    began = time.time_ns()
    for name, wanted in checksums.items():
        path = directory / name
        stat = path.stat()
        stamp: list[object] = [stat.st_size, stat.st_mtime_ns, wanted]
        if known.get(name) != stamp and sha256(path) != wanted:
            raise ValueError(f"shard {path} is not what was written (SHA-256 differs); write the shards again.")
        if stat.st_mtime_ns < began - _COARSE_CLOCK:
            good[name] = stamp
    if good != known:
        _write_note(directory, good)


def _read_note(directory: Path) -> dict[str, list[object]]:
    try:
        note = json.loads((directory / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write_note(directory: Path, good: Mapping[str, list[object]]) -> None:
    partial = directory / f".{NOTE}.{os.getpid()}.tmp"
    try:
        partial.write_text(json.dumps(good), encoding="utf-8")
        partial.replace(directory / NOTE)
    except OSError:  # a directory that is read only, or a full disk: no note, no harm
        with suppress(OSError):
            partial.unlink(missing_ok=True)

"""One writer per output: a second run that would write the same file or folder ends with a line that says who is at it.

The lock is the system's, by the `filelock` library, on a hidden file beside the output, `.NAME.lock`. It is released
whatever happens to its holder. Trade-off: some network file systems have no locks; there the file itself is the lock.
"""

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def only_writer(output: str | os.PathLike[str]) -> Iterator[None]:
    """Write a file or folder alone while the block runs; its parent folder is made where it is absent."""
    real = Path(output).resolve()  # `.` has no name
    place = real.with_name(f".{real.name}.lock")
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place, timeout=0.2)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{output} is being written by {_holder(place)}; wait until it is done, or choose another output"
        ) from None
    except (OSError, NotImplementedError):  # what cannot be written here will say so itself
        yield
        return
    try:
        _note(place)
        yield
    finally:
        with suppress(OSError):
            place.unlink(missing_ok=True)
        lock.release()


def _note(place: Path) -> None:
    note = {"pid": os.getpid(), "host": socket.gethostname(), "program": Path(sys.argv[0]).name}
    with suppress(OSError):
        place.write_text(json.dumps(note), encoding="utf-8")


def _holder(place: Path) -> str:
    try:
        note = json.loads(place.read_text(encoding="utf-8"))
        where = "" if note["host"] == socket.gethostname() else f" on {note['host']}"
        return f"another run ({note['program']}, process {int(note['pid'])}{where})"
    except (OSError, ValueError, TypeError, KeyError):
        return "another run"

"""Keeps a second run from writing what a first one is writing: two that go on with one file would mix their rows.

A lock of the system on a hidden file beside the output, `.NAME.lock`. The system lets go of it whatever happens, so a
kill leaves nothing to clean up but an empty file.

Trade-off: Windows has no such lock, and some network file systems neither; there nobody is kept out.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def only_writer(output: Path) -> Iterator[None]:
    """Write a file or folder alone while the block runs.

    Args:
        output: What is being written; its folder is there.

    Yields:
        None: The block writes.

    Raises:
        ValueError: If another run is writing it.
    """
    real = output.resolve()  # `.` has no name
    place = real.with_name(f".{real.name}.lock")
    handle = _taken(output, place)
    try:
        yield
    finally:
        if handle is not None:
            place.unlink(missing_ok=True)
            os.close(handle)


def _taken(output: Path, place: Path) -> int | None:
    """Return the locked file; None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        return None
    while True:
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return None  # what cannot be written here will say so itself
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as held:
            os.close(handle)
            raise ValueError(
                f"{output} is being written by another run; wait until it is done, or name another output"
            ) from held
        except OSError:
            os.close(handle)
            return None
        if place.exists() and os.path.samestat(os.fstat(handle), place.stat()):
            return handle
        os.close(handle)  # its holder has just finished and removed it: the lock is on no name

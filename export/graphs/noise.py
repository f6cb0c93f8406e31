"""Sends what other libraries print while they convert a graph into a file, hundreds of lines that no user needs."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...common.local_paths import hide_local_paths

LOG = "export.log"


@contextlib.contextmanager
def output_into(folder: Path, output: Path) -> Iterator[None]:
    """Write everything that this process prints meanwhile, native code too, into a folder's `export.log`.

    Where the conversion fails, the folder goes and the log stays as `OUTPUT.export.log`, which the error names.
    """
    failed: Exception | None = None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        saved = _redirected(log.fileno())
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        except Exception as error:
            failed = error
        finally:
            log.flush()
            for number, copy in saved.items():
                os.dup2(copy, number)
                os.close(copy)
        log.seek(0)
        text = "".join(f"{hide_local_paths(line.rstrip())}\n" for line in log)
    log_file = folder / LOG if failed is None else output.with_name(f"{output.name}.{LOG}")
    if failed is None or text:
        log_file.write_text(text, encoding="utf-8", newline="\n")
    if failed is None:
        return
    if isinstance(failed, OSError) or not text:  # a full disk has its own words
        raise failed
    said = next(iter(str(failed).strip().splitlines()), "") or type(failed).__name__
    raise ValueError(f"{output} was not written: {said}; what the converter printed is in {log_file}") from failed


def _redirected(target: int) -> dict[int, int]:
    """Point standard output and error at a file; return copies of what they were."""
    saved = {}
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
        with contextlib.suppress(OSError):  # closed, as in a daemon
            saved[number] = os.dup(number)
            os.dup2(target, number)
    return saved

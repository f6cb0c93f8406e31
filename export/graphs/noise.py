"""Sends what other libraries print while they convert a graph into a file, hundreds of lines that no user needs."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...common.library_output import redirected
from ...common.local_paths import hide_local_paths
from ...common.messages import first_line

LOG = "export.log"


@contextlib.contextmanager
def output_into(folder: Path, output: Path) -> Iterator[None]:
    """Write everything that this process prints meanwhile, native code too, into a folder's `export.log`.

    Where the conversion fails, the folder goes and the log stays as `OUTPUT.export.log`, which the error names.
    """
    failed: Exception | None = None
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            with redirected(log.fileno()), contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
        except Exception as error:
            failed = error
        log.flush()
        log.seek(0)
        text = "".join(f"{hide_local_paths(line.rstrip())}\n" for line in log)
    log_file = folder / LOG if failed is None else output.with_name(f"{output.name}.{LOG}")
    if failed is None or text:
        log_file.write_text(text, encoding="utf-8", newline="\n")
    if failed is None:
        return
    if isinstance(failed, OSError) or not text:  # a full disk has its own words
        raise failed
    told = f"{output} was not written: {first_line(failed)}; what the converter printed is in {log_file}"
    raise ValueError(told) from failed

"""What other libraries print and warn of while a command runs goes into a file beside the result; ours is shown.

    OUTPUT/run.log        of a folder; OUTPUT.run.log of a file, and of a command that left no folder
    OUTPUT/export.log     of `mmbert export`, where the conversion writes its part too

Ours is what code of this package or of a script writes, and the bars of a download from the Hub. What a line of another
package writes, or native code, belongs to the file; where nobody said anything there is none.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .local_paths import hide_local_paths
from .run_file import beside

NAME = "run.log"
_PACKAGE = str(Path(__file__).parents[1]) + os.sep
_LIBRARIES = tuple({f"{sysconfig.get_path(kind)}{os.sep}" for kind in ("purelib", "platlib")})
_CARRIERS = ("rich", "typer", "click", "tqdm", "_pytest", "pytest")  # they write what others hand them
_SHOWN = ("huggingface_hub", "transformers.trainer_callback")  # bars: of a download, of --disable_tqdm False


class LibraryOutput:
    """Takes what other libraries say, from when it is made until `close`.

    Standard output and error become streams that look at who writes; the file descriptors behind them, which native
    code uses, lead to a temporary file.
    """

    def __init__(self) -> None:
        self._kept: Any = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", buffering=1)
        self._undo = contextlib.ExitStack()
        before = {"stdout": sys.stdout, "stderr": sys.stderr}
        saved = self._undo.enter_context(redirected(self._kept.fileno()))
        for number, (name, stream) in enumerate(before.items(), start=1):
            shown: Any = stream
            if number in saved and _descriptor(stream) == number:
                shown = open(saved[number], "w", encoding=stream.encoding, errors="replace", closefd=False)
                self._undo.callback(shown.flush)
            self._sort(name, stream, shown)
        self._undo.callback(setattr, warnings, "showwarning", warnings.showwarning)
        self._show_warning: Any = warnings.showwarning
        warnings.showwarning = self._warn

    def close(self) -> str:
        """Put everything back; returns what was said."""
        self._undo.close()
        self._kept.seek(0)
        text = "".join(f"{hide_local_paths(line.rstrip())}\n" for line in self._kept if line.strip())
        self._kept.close()
        return text

    def _sort(self, name: str, stream: Any, shown: Any) -> None:
        """Put a stream that sorts in the place of standard output or error, and sort the records of loggers."""
        new = _Sorted(shown, self._kept)
        setattr(sys, name, new)
        self._undo.callback(setattr, sys, name, stream)
        self._undo.callback(new.lead_to, stream, stream)  # whoever holds it still
        root = logging.getLogger()
        for handler in [one for one in root.handlers if getattr(one, "stream", None) is stream]:
            kept = logging.StreamHandler(self._kept)
            kept.setFormatter(logging.Formatter("%(name)s: %(levelname)s: %(message)s"))
            kept.addFilter(lambda record: not _is_our_record(record))
            handler.setStream(shown)  # type: ignore[attr-defined]
            handler.addFilter(_is_shown)
            root.addHandler(kept)
            self._undo.callback(handler.setStream, stream)  # type: ignore[attr-defined]
            self._undo.callback(handler.removeFilter, _is_shown)
            self._undo.callback(root.removeHandler, kept)

    def _warn(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if _is_ours(sys._getframe(1)) and "Triggered internally" not in str(message):  # torch's, from C++
            self._show_warning(message, category, filename, lineno, file, line)
        else:
            self._kept.write(warnings.formatwarning(message, category, filename, lineno, line))


class _Sorted(io.TextIOBase):
    """A text stream that shows what is ours and keeps what is not."""

    def __init__(self, shown: Any, kept: Any) -> None:
        self.lead_to(shown, kept)

    def lead_to(self, shown: Any, kept: Any) -> None:
        self._shown, self._kept = shown, kept

    def write(self, text: str) -> int:
        ours = self._shown is self._kept or _is_ours(sys._getframe(1))
        (self._shown if ours else self._kept).write(text)
        if ours and "\n" in text:
            self._shown.flush()
        return len(text)

    def flush(self) -> None:
        self._shown.flush()

    def isatty(self) -> bool:
        return bool(self._shown.isatty())

    def fileno(self) -> int:
        return int(self._shown.fileno())

    def __getattr__(self, name: str) -> Any:  # buffer, errors, ...
        return getattr(self._shown, name)

    @property
    def encoding(self) -> Any:  # type: ignore[override]
        return self._shown.encoding


def _is_ours(frame: Any) -> bool:
    """Whether the innermost code that does not merely carry text (the standard library does) is no other library's."""
    while frame is not None:
        file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
        if file != __file__ and (file.startswith(_PACKAGE) or module.startswith(_SHOWN)):
            return True
        if file.startswith(_LIBRARIES) and file != __file__ and module.partition(".")[0] not in _CARRIERS:
            return False
        frame = frame.f_back
    return True


def _is_our_record(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in (__name__.partition(".")[0], "__main__", "root")


def _is_shown(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR or _is_our_record(record)


def _descriptor(stream: Any) -> int | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return int(stream.fileno())
    return None


@contextlib.contextmanager
def redirected(target: int) -> Iterator[dict[int, int]]:
    """Point the descriptors of standard output and error at a file; gives copies of what they were."""
    saved: dict[int, int] = {}
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
        with contextlib.suppress(OSError):  # closed, as in a daemon
            saved[number] = os.dup(number)
            os.dup2(target, number)
    try:
        yield saved
    finally:
        for number, copy in saved.items():
            os.dup2(copy, number)
            os.close(copy)


_now: dict[str, Any] = {"wanted": 0}


@contextlib.contextmanager
def may_sort() -> Iterator[None]:
    """Let `sort_library_output` work inside: whoever runs a command sees to it that `end_sorting` follows."""
    _now["wanted"] += 1
    try:
        yield
    finally:
        _now["wanted"] -= 1
        if path := end_sorting():
            logging.getLogger(__name__).info("what other libraries said is in %s", path)


def sort_library_output(place: Path | None, name: str = NAME) -> None:
    """Begin to keep what other libraries say for a file beside the result of this command, if it has one."""
    if place is not None and _now["wanted"] and "sorted" not in _now:
        _now["sorted"] = LibraryOutput(), place, name


def end_sorting() -> Path | None:
    """Show everything again; returns the file that was written, if another library has said something."""
    if "sorted" not in _now:
        return None
    output, place, name = _now.pop("sorted")
    if not (text := output.close()):
        return None
    rank = os.environ.get("RANK", "0")
    path = beside(place, name if rank == "0" else f"run.rank{rank}.log")
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError:  # there is no place for it: better shown than lost
        sys.stderr.write(text)
        return None
    return path


@contextlib.contextmanager
def without_load_report() -> Iterator[None]:
    """Keep transformers from listing tensors that a checkpoint has too many or too few of: the caller checks them."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)

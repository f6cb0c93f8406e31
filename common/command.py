"""How every command and script ends: one line for what the user can mend, 130 and 143 for who was told to stop."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn

from .library_output import may_sort
from .progress import Progress
from .run_file import write_run_file

CHATTY = ("httpx", "sentence_transformers", "transformers", "datasets", "matplotlib", "gguf")


class Stopped(KeyboardInterrupt):
    """The process was asked to end by a signal other than Ctrl-C."""


def run_command(act: Callable[[], object]) -> None:
    """Run a command: log lines with the time, errors that a user can mend as one line, and the exit status.

    Status 2 for a wrong option, file or value, 130 after Ctrl-C, 143 after SIGTERM. MMBERT_TRACEBACK=1 shows where
    an error came from. `--quiet` or `-q`, anywhere in the command line, is taken out of it: only warnings and errors
    are shown then, and what the command prints as its result. `--no-verify` reads files without comparing checksums.

    Args:
        act: The command.
    """
    if _taken("--no-verify", "--no_verify"):
        os.environ["MMBERT_VERIFY"] = "0"  # what this command starts must not compare either
    quiet = _taken("-q", "--quiet")
    Progress.silent = quiet
    if quiet or not sys.stderr.isatty():
        _turn_off_bars()
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S"
    )
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _stop)
    sys.excepthook = _say_uncaught
    try:
        with may_sort():
            _act(act)
            write_run_file()
    except (ValueError, OSError, ImportError) as error:
        if os.environ.get("MMBERT_TRACEBACK"):
            raise
        if isinstance(error, BrokenPipeError):  # `mmbert ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        told = " ".join(str(error).split())
        sys.stderr.write(f"{told if told.startswith('mmbert ') else f'mmbert: {told}'}\n")
        sys.exit(2)
    except KeyboardInterrupt as stop:
        said = " ".join(str(stop).split()) or "what is done is kept; the same command goes on"
        sys.stderr.write(f"mmbert: stopped: {said}\n")
        sys.exit(143 if isinstance(stop, Stopped) else 130)
    finally:
        Progress.silent = False


def _taken(*flags: str) -> bool:
    """Take a flag out of the command line, wherever it stands; whether it was there."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    rest = [word for word in sys.argv[:end] if word not in flags]
    wanted, sys.argv[:end] = len(rest) < end, rest
    return wanted


def refuse_dead_reader(error: BaseException, readers: int = 0) -> None:
    """Say it where an error is that of a data-loader process which the system has killed; of `readers`, in a batch."""
    said = " ".join(str(error).split())
    cut = isinstance(error, (ConnectionResetError, ConnectionRefusedError, EOFError))
    if not (readers and cut) and "DataLoader worker" not in said:
        return
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's raises again for every other reader that ends now
    if "Terminated" in said:
        raise Stopped("the same command goes on") from None
    raise ValueError(
        f"a process that reads data was killed by the system ({said[:120]}), most often for want of memory; the "
        "checkpoints are whole: use fewer --dataloader_num_workers or more memory, and the same command goes on"
    ) from None


def _act(act: Callable[[], object]) -> None:
    try:
        act()
    except RuntimeError as error:  # torch's signal handler raises wherever the process is at that moment
        refuse_dead_reader(error)
        raise
    finally:
        Progress.close_all()


def _turn_off_bars() -> None:
    """Let other libraries draw no bars: where no terminal is, or none is wanted, they are noise in a log."""
    for library in ("HUB", "DATASETS"):  # transformers follows the Hub's
        os.environ.setdefault(f"HF_{library}_DISABLE_PROGRESS_BARS", "1")
    if (loaded := sys.modules.get("transformers.utils.logging")) is not None:
        loaded.disable_progress_bar()


def _say_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print what nobody caught, but not of a reader (a fork, which inherits this) whose other end has gone."""
    if multiprocessing.parent_process() is None or not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped

"""Progress of an evaluation: a bar where somebody watches, a line a run where a file does."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from .clock import Tell

logger = logging.getLogger(__name__)


@contextmanager
def progress() -> Iterator[Tell]:
    """Show which run was done and how long the others will take.

    Yields:
        A function to call after each run.
    """
    if not sys.stderr.isatty():
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("runs", total=None, left="first run")

        def tell(words: str, done: int, known: int, spent: float, left: float | None) -> None:
            bar.console.print(words, highlight=False)
            bar.update(task, completed=done, total=known, left=_left(left))

        yield tell


def _line(words: str, done: int, known: int, spent: float, left: float | None) -> None:
    logger.info("%s (run %d of %d, %s so far, %s)", words, done, known, _clock(spent), _left(left))


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"about {_clock(seconds)} left"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

"""Progress of a long measurement: a bar where somebody watches, a line now and then where a file does."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from .timing import Tell

logger = logging.getLogger(__name__)

_QUIET_SECONDS = 60.0  # between two lines


@contextmanager
def progress(title: str) -> Iterator[Tell]:
    """Show how far a measurement is and how long it will take.

    Args:
        title: What is measured.

    Yields:
        A function to call with the seconds spent and the seconds that are left, None while that is unknown.
    """
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    # Drawn by our own calls between the rounds: a thread that draws would be counted as the contestants' CPU time.
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, transient=True) as bar:
        task = bar.add_task(title, total=None, left="first round")

        def tell(spent: float, left: float | None) -> None:
            text = "first round" if left is None else f"about {_clock(left)} left"
            bar.update(task, completed=spent, total=None if left is None else spent + left, left=text, refresh=True)

        yield tell


def _lines(title: str) -> Tell:
    last = time.monotonic()

    def tell(spent: float, left: float | None) -> None:
        nonlocal last
        if time.monotonic() - last < _QUIET_SECONDS:
            return
        last = time.monotonic()
        text = "first round" if left is None else f"about {_clock(left)} left"
        logger.info("%s: %s so far, %s", title, _clock(spent), text)

    return tell


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))

"""How far a long piece of work is: a bar where somebody watches, one line per interval where a file does."""

import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar, Self

logger = logging.getLogger(__name__)

_FRAME = 0.1  # seconds between two drawings of the bar


class Progress:
    """Shows steps done, text of the caller's (rates and counts) and the time that is left.

    No thread draws: it would be counted as work of whatever is being measured.

    Args:
        title: What is being done.
        shown: Whether to show anything.
        interval: Seconds between two lines where no terminal is.
        clock: Gives seconds; for tests.

    Attributes:
        silent: Whether no progress of this process is shown, whoever asks for it (`--quiet`).
    """

    silent: ClassVar[bool] = False
    _drawn: ClassVar[set["Progress"]] = set()

    def __init__(
        self, title: str, *, shown: bool = True, interval: float = 5.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        shown = shown and not Progress.silent
        self.title, self._shown, self._interval, self._clock = title, shown, interval, clock
        self._before, self._began = 0.0, clock()
        self._last: float = self._began
        self._bar: Any = None
        self._task: Any = None
        self._handlers = ExitStack()
        if shown:
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stop: object) -> None:
        self.close()

    @property
    def draws(self) -> bool:
        """Whether there is a bar; without a terminal there are lines."""
        return self._bar is not None

    def hide(self) -> None:
        """Show nothing from now on."""
        self.close()
        self._shown = False

    @property
    def seconds(self) -> float:
        """Seconds since the work began, never 0."""
        return max(self._clock() - self._began, 1e-9)

    def resume(self, done: float) -> None:
        """Leave what an earlier run had done out of the speed."""
        self._before = done

    def left(self, done: float, total: float | None) -> float | None:
        """Seconds that the rest will take at the speed so far; None where nothing is known yet."""
        gained = done - self._before
        return None if total is None or gained <= 0 else self.seconds * max(total - done, 0) / gained

    def update(self, done: float, total: float | None, text: str = "", *, left: float | None = None) -> None:
        """Say how far the work is, as often as you like; `left` seconds follow from the speed so far if None."""
        now = self._clock()
        if not self._shown or now - self._last < (self._interval if self._bar is None else _FRAME):
            return
        self._last = now
        if self._bar is None:
            self.print(self.line(done, total, text, left=left))
        else:
            self._draw(done, total, text, left)

    def update_time(self, spent: float, left: float | None) -> None:
        """Say how far work is whose steps are seconds; `left` None is not known yet."""
        self.update(spent, None if left is None else spent + left, left=left)

    def step(self, line: str, done: int, total: int, left: float | None) -> None:
        """Print a line for a step that is done, and how many there are."""
        if self._bar is None:
            self.print(f"{line} ({self.title} {done} of {total}, {clock_time(self.seconds)} so far, {_left(left)})")
        else:
            self.print(line)
            self._draw(done, total, f"{done} of {total}", left)

    def line(self, done: float, total: float | None, text: str = "", *, left: float | None = None) -> str:
        """Say in one line how far the work is; the arguments are those of `update`."""
        share = f" {done / total:6.1%}" if total else ""
        left = self.left(done, total) if left is None else left
        return f"{self.title}{share}  {text}{', ' if text else ''}{_left(left)}"

    def print(self, line: str) -> None:
        """Print a line that stays, above the bar if there is one."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, markup=False)
        elif logger.isEnabledFor(logging.INFO):
            logger.info("%s", line)
        elif self._shown:
            sys.stderr.write(f"{line}\n")

    def close(self) -> None:
        """Take the bar away."""
        type(self)._drawn.discard(self)
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._handlers.close()

    @classmethod
    def close_all(cls) -> None:
        """Take every bar away, that of work which has failed too: the terminal has its cursor again."""
        for one in list(cls._drawn):
            one.close()

    def _lift_log_lines(self) -> None:
        """Let lines of the log stand above the bar, not in it."""
        for handler in logging.getLogger().handlers:
            if type(handler) is logging.StreamHandler and handler.stream.isatty():
                write = partial(_write_above, self, handler)
                handler.emit = write  # type: ignore[method-assign]
                self._handlers.callback(handler.__dict__.pop, "emit", None)

    def _draw(self, done: float, total: float | None, text: str, left: float | None) -> None:
        left = self.left(done, total) if left is None else left
        self._bar.update(self._task, completed=done, total=total, text=text, left=_left(left), refresh=True)

    def _open(self) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        if not (sys.stderr.isatty() or console.is_jupyter):
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=console, auto_refresh=False, transient=True)
        self._task = self._bar.add_task(self.title, total=None, text="", left="")
        self._bar.start()
        type(self)._drawn.add(self)
        self._lift_log_lines()


def duration(seconds: float) -> str:
    """Spell a duration in the unit that a reader would choose."""
    if 0 < seconds < 1:
        return f"{seconds:.1g} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def per_second(done: float, seconds: float) -> str:
    """Spell a speed, slow ones with two digits."""
    rate = done / max(seconds, 1e-9)
    return f"{rate:.2g}" if rate < 10 else f"{rate:,.0f}"


def _write_above(bar: Progress, handler: logging.Handler, record: logging.LogRecord) -> None:
    bar.print(handler.format(record))


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"{duration(seconds)} left"


def clock_time(seconds: float) -> str:
    """Spell a duration as `h:mm:ss`."""
    return str(timedelta(seconds=round(seconds)))

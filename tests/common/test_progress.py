"""Progress on a terminal: one bar, with the lines of the log above it, which goes away with the work."""

import io
import logging

import pytest
from mmbert.common.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("told: %(message)s"))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def test_lines_of_the_log_stand_above_the_bar_and_nothing_of_it_stays(terminal, monkeypatch):
    monkeypatch.setattr("sys.stderr", terminal)  # here: pytest puts its own in place between fixture and test
    logger = logging.getLogger("somebody")
    bar = Progress("train")
    bar.update(1, 4, "step 1/4")
    logger.warning("held-out 0.5")
    shown = terminal.getvalue()
    assert "\x1b[?25l" in shown and "told: held-out 0.5\n" in shown
    Progress.close_all()  # as `run_command` does when the work has failed
    assert "\x1b[?25h" in terminal.getvalue() and not bar.draws
    before = len(terminal.getvalue())
    logger.warning("after")
    assert terminal.getvalue()[before:] == "told: after\n"

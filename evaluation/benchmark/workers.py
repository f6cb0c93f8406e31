"""Where runs happen: here and now, or in processes of their own that may die without taking the evaluation along.

A process that is killed breaks its whole pool, and nobody can say which run was to blame. So each run of a broken pool
is done once more, alone; one that breaks the pool again is the one to blame.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

Call = Callable[..., dict[str, Any]]


class Workers:
    """Does calls, at most so many at a time; with one, in this process."""

    def __init__(self, processes: int) -> None:
        if processes < 1:
            raise ValueError(f"processes is {processes}, but must be 1 or more")
        self.processes = processes
        self._pool: ProcessPoolExecutor | None = None

    def submit(self, call: Call, *arguments: Any) -> "Future[dict[str, Any]]":
        """Begin a call."""
        if self.processes == 1:
            return _at_once(call, *arguments)
        for _ in range(2):
            if self._pool is None:
                # spawn: a fork of a process in which torch has run may hang
                self._pool = ProcessPoolExecutor(self.processes, get_context("spawn"), _quieten)
            try:
                return self._pool.submit(call, *arguments)
            except BrokenProcessPool:
                self.close()
        raise BrokenProcessPool("a fresh pool of processes broke at once")

    def close(self) -> None:
        """End the processes, once what runs is done; what waits is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _at_once(call: Call, *arguments: Any) -> "Future[dict[str, Any]]":
    future: Future[dict[str, Any]] = Future()
    try:
        future.set_result(call(*arguments))
    except Exception as error:  # as a process would hand it over
        future.set_exception(error)
    return future


def _quieten() -> None:
    from transformers.utils import logging as transformers_logging

    logging.basicConfig(level=logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

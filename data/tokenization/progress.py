"""How far a tokenisation is, in one line every few seconds: share done, documents, tokens a second, time left.

The time left comes from bytes of source where their number is known (files, MDS), else from units. Within units that
are under way bytes are estimated from their tokens. What an earlier run had done does not count into the speed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...common.progress import Progress, logger


class TokenizeProgress:
    """Counts what is done and logs it.

    Args:
        units: Units of this run in all, with those done before.
        total_bytes: Bytes of source in all; 0: not known.
        clock: Gives seconds; for tests.
    """

    def __init__(self, units: int, total_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.units, self.total_bytes = units, total_bytes
        self.documents = self.tokens = self.finished_units = self.finished_bytes = 0
        self._before_bytes = self._finished_tokens = 0
        self._progress = Progress("tokenized", shown=logger.isEnabledFor(logging.INFO), clock=clock)

    def resume(self, units: int, finished_bytes: int) -> None:
        """Count units of an earlier run.

        Args:
            units: How many are finished.
            finished_bytes: Bytes of source in them.
        """
        self.finished_units = units
        self.finished_bytes = self._before_bytes = finished_bytes
        self._progress.resume(self.share)

    def tell(self, documents: int, tokens: int) -> None:
        """Count a batch.

        Args:
            documents: Documents in it.
            tokens: Tokens in it.
        """
        self.at(self.documents + documents, self.tokens + tokens)

    def at(self, documents: int, tokens: int) -> None:
        """Set what was done in this run so far.

        Args:
            documents: Documents.
            tokens: Tokens.
        """
        self.documents, self.tokens = documents, tokens
        self._progress.update(self.share, 1.0, self._counts())

    def finish(self, covered: int) -> None:
        """Count a finished unit.

        Args:
            covered: Bytes of source in it.
        """
        self.finished_units += 1
        self.finished_bytes += covered
        self._finished_tokens = self.tokens

    @property
    def share(self) -> float:
        """Share of the source that is done, 0 to 1, as far as one can tell."""
        if not self.total_bytes:
            return self.finished_units / self.units if self.units else 1.0
        done = self.finished_bytes
        fresh = done - self._before_bytes
        if fresh and self._finished_tokens:
            done += int((self.tokens - self._finished_tokens) * fresh / self._finished_tokens)
        return min(1.0, done / self.total_bytes)

    def finish_all(self) -> None:
        """Take the bar away and log the last line."""
        self._progress.close()
        logger.info("%s", self.line())

    def line(self) -> str:
        """Say how far it is.

        Returns:
            One line.
        """
        return self._progress.line(self.share, 1.0, self._counts())

    def _counts(self) -> str:
        rate = self.tokens / self._progress.seconds
        return f"{self.documents:,} documents, {self.tokens:,} tokens, {rate:,.0f} tokens/s"

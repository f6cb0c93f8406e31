"""Progress of encoding: how fast the network reads, in tokens, and when it will be done.

The texts of one call are encoded longest first, so counting them would crawl and then leap. Progress goes by
characters, which are known before anything is tokenised and cost about the same wherever they stand; that of a stream,
which is encoded window by window, goes by texts.
"""

from collections.abc import Sequence
from typing import Any

from ...common.progress import Progress
from .batching import TokenizedText

_CHARACTERS_PER_TOKEN = 4  # what lies beyond so many characters per token of the limit is cut off and costs nothing


class EncodingProgress(Progress):
    """Progress of one call."""

    def __init__(self, texts: Sequence[str], limit: int | None, *, shown: bool) -> None:
        super().__init__("embedding", shown=shown and bool(texts))
        most = None if limit is None else _CHARACTERS_PER_TOKEN * limit
        self._weights = [1 + (len(text) if most is None else min(len(text), most)) for text in texts if shown]
        self._total, self._done, self._texts, self._tokens = sum(self._weights), 0, 0, 0

    def advance(self, batch: Sequence[TokenizedText]) -> None:
        """Count a batch that is done."""
        if not self._weights:
            return
        self._done += sum(self._weights[text.row] for text in batch)
        self._texts += len(batch)
        self._tokens += sum(len(text.ids) for text in batch)
        rate = self._tokens / self.seconds
        told = f"{self._texts:,} of {len(self._weights):,} texts, {rate:,.0f} tokens/s"
        self.update(self._done, self._total, told)
        if self._done == self._total and not self.draws:  # who asked for a bar sees a line, however fast it was
            self.print(self.line(self._done, self._total, told))


class StreamProgress(Progress):
    """Progress over the texts of a stream; the time left is known if the number of texts is."""

    def __init__(self, texts: Any, there: int, tokens: int | None, *, shown: bool) -> None:
        super().__init__("embedding", shown=shown)
        self.resume(there)
        self._total = len(texts) if hasattr(texts, "__len__") else None
        self._done, self._tokens_before = there, tokens or 0

    def advance(self, texts: int, tokens: int | None) -> None:
        """Count texts that are done; `tokens` are those of all so far."""
        self._done += texts
        rate = "" if tokens is None else f", {(tokens - self._tokens_before) / self.seconds:,.0f} tokens/s"
        of = "" if self._total is None else f" of {self._total:,}"
        self.update(self._done, self._total, f"{self._done:,}{of} texts{rate}")

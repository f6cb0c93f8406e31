"""Bars that know tokens: how fast the network reads, and when it will be done.

The texts of one call are encoded longest first, so a bar that counts them would crawl and then leap. It is filled by
characters, which are known before anything is tokenised and cost about the same wherever they stand. A stream, which is
encoded window by window, has a bar of texts.
"""

import time
from collections.abc import Sequence
from typing import Any, Self

from .batching import TokenizedText

_CHARACTERS_A_TOKEN = 4  # what lies beyond so many characters a token of the limit is cut off and costs nothing


class EncodingProgress:
    """Draws a bar on standard error, if it is to be shown.

    Args:
        texts: What will be encoded.
        limit: Tokens after which a text is cut; None: no limit.
        shown: Whether to draw.
    """

    def __init__(self, texts: Sequence[str], limit: int | None, *, shown: bool) -> None:
        self._bar: Any = None
        if not shown or not texts:
            return
        from tqdm.auto import tqdm  # type: ignore[import-untyped]

        most = None if limit is None else _CHARACTERS_A_TOKEN * limit
        self._weights = [1 + (len(text) if most is None else min(len(text), most)) for text in texts]
        self._texts = self._tokens = 0
        self._began = time.perf_counter()
        layout = "{desc} {percentage:3.0f}%|{bar}| {postfix} [{elapsed}<{remaining}]"
        self._bar = tqdm(total=sum(self._weights), desc="Embedding", bar_format=layout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stop: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, batch: Sequence[TokenizedText]) -> None:
        """Count a batch that is done.

        Args:
            batch: Its texts.
        """
        if self._bar is None:
            return
        self._texts += len(batch)
        self._tokens += sum(len(text.ids) for text in batch)
        rate = self._tokens / max(time.perf_counter() - self._began, 1e-9)
        self._bar.set_postfix_str(
            f"{self._texts:,} of {len(self._weights):,} texts, {rate:,.0f} tokens/s", refresh=False
        )
        self._bar.update(sum(self._weights[text.row] for text in batch))


class StreamProgress:
    """A bar over the texts of a stream, with the speed in tokens; the time left is known if the number of texts is.

    Args:
        texts: What will be encoded.
        there: Texts that an earlier call encoded.
        tokens: Tokens that it read; None if that is not known.
        shown: Whether to draw.
    """

    def __init__(self, texts: Any, there: int, tokens: int | None, *, shown: bool) -> None:
        self._bar: Any = None
        self._began, self._before = time.perf_counter(), tokens or 0
        if shown:
            from tqdm.auto import tqdm

            total = len(texts) if hasattr(texts, "__len__") else None
            self._bar = tqdm(total=total, initial=there, desc="Embedding", unit=" texts")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *stop: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, texts: int, tokens: int | None) -> None:
        """Count texts that are done.

        Args:
            texts: How many more.
            tokens: The tokens of all so far; None if that is not known.
        """
        if self._bar is None:
            return
        if tokens is not None:
            rate = (tokens - self._before) / max(time.perf_counter() - self._began, 1e-9)
            self._bar.set_postfix_str(f"{rate:,.0f} tokens/s", refresh=False)
        self._bar.update(texts)

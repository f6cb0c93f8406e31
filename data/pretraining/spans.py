"""Chunks: documents cut to the context length, and each language's endless shuffled order of them.

A document longer than the context is cut into pieces of context - 2 tokens; every piece is read as `<bos> piece <eos>`
(recipe.md section 6 on Ettin's chunking, with an <eos> on every piece, so that a piece looks like a document).

A language's tokens are laid out in spans of equal width, about two documents wide and never wider than a piece. A draw
takes a span and reads every chunk that begins in it; each chunk begins in exactly one, so a pass over the spans, in an
order of its own, visits every chunk once. Spans need no table: how many there are stands in the index, and where their
chunks begin is a binary search in the offsets on disk. A table of chunks would take 8 bytes per document (40 GB for
five billion) and reading every file before the first batch. The price: two documents that stand side by side in the
corpus often come together, in different rows of one block.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..hashing import language_key, permute, scramble
from ..shards import TokenShards

SPECIALS_PER_CHUNK = 2  # <bos> and <eos>
# At 1 a third of the draws would find no chunk; at 2 a block's tokens spread as little as with single chunks drawn.
_DOCUMENTS_PER_SPAN = 2

Integers = NDArray[np.int64]


class ChunkTable:
    """The chunks of several languages at one context length; nothing is read before a language's first draw."""

    def __init__(self, shards: TokenShards, languages: Sequence[str], context_length: int, seed: int) -> None:
        self.shards = shards
        self.languages = list(languages)
        self.piece = context_length - SPECIALS_PER_CHUNK
        self._tokens = _numbers(shards.token_counts, languages)
        documents = _numbers(shards.document_counts, languages)
        self._span = np.clip(_DOCUMENTS_PER_SPAN * self._tokens // documents, 1, self.piece)
        self.counts = -(-self._tokens // self._span)
        self.mean_length = (self._tokens + SPECIALS_PER_CHUNK * self._expected_chunks(documents)) / self.counts
        self._keys = np.array([language_key(language, seed) for language in self.languages], dtype=np.uint64)

    def _expected_chunks(self, documents: Integers) -> NDArray[np.float64]:
        """Expect the chunks of a language from its mean document alone, as if lengths were exponential.

        Exact where documents are much shorter than the context; elsewhere a tenth too many chunks means a few
        ten-thousandths too many tokens, since a chunk costs two specials.
        """
        pieces_per_document = self.piece * documents / self._tokens
        expected: NDArray[np.float64] = documents / -np.expm1(-pieces_per_document)
        return expected

    def locate(self, language: Integers, draw: Integers) -> tuple[Integers, Integers, Integers]:
        """Chunks that draws (n,) of languages (n,) read: language, start and length without specials, (m,) each."""
        size = self.counts[language]
        visit, place = np.divmod(draw, size)
        key = scramble(self._keys[language] ^ scramble(visit.astype(np.uint64) + np.uint64(1)))
        order = np.argsort(language, kind="stable")
        language, span = language[order], permute(place, size, key)[order]
        begin = span * self._span[language]
        end = np.minimum(begin + self._span[language], self._tokens[language])
        owner, document, stop = self._documents(language, begin, end)
        # No wider than a piece, a span holds the first pieces of the documents that begin in it, and of the document
        # that began before it at most one further piece.
        start = document - np.minimum((document - begin[owner]) // self.piece, 0) * self.piece
        inside = np.flatnonzero(start < np.minimum(end[owner], stop))
        owner, start, stop = owner[inside], start[inside], stop[inside]
        return language[owner], start, np.minimum(stop - start, self.piece)

    def _documents(self, language: Integers, begin: Integers, end: Integers) -> tuple[Integers, Integers, Integers]:
        """Return number of the span, first and last token + 1 of the documents that touch spans, sorted by language."""
        numbers, firsts, sizes = np.unique(language, return_index=True, return_counts=True)
        bounds = np.stack([begin, end])
        runs = []
        for number, at, many in zip(numbers.tolist(), firsts.tolist(), sizes.tolist(), strict=True):
            offsets = np.asarray(self.shards.offsets(self.languages[number]))
            found = offsets.searchsorted(bounds[:, at : at + many]).tolist()
            runs += [offsets[max(low - 1, 0) : high + 1] for low, high in zip(*found, strict=True)]
        documents = np.array([len(run) - 1 for run in runs])
        owner = np.repeat(np.arange(len(runs)), documents)
        edges = np.concatenate(runs)
        place = np.arange(len(owner)) + owner  # every run has one edge more than documents
        start, stop = edges[place], edges[place + 1]
        if (stop <= start).any():
            wrong = self.languages[language[owner[int(np.argmax(stop <= start))]]]
            raise ValueError(
                f"the document offsets of {wrong} in {self.shards.directory} do not rise; write the shards again."
            )
        return owner, start, stop


def _numbers(by_language: dict[str, int], languages: Sequence[str]) -> Integers:
    return np.array([by_language[language] for language in languages], dtype=np.int64)

"""Counts the words of texts by language, as tuples of the original vocabulary's ids, and sets some documents aside.

A word is what the tokenizer cuts at spaces, signs included ("house," is another word than "house"). Where a script
writes no spaces, a token of the original vocabulary is the word: any other unit would need a segmenter. One document in
ten, by a hash of its text, is held out: tokens are ranked without it, and coverage is measured on it.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice

from tokenizers import Tokenizer

from ...languages.scripts import is_unspaced

Word = tuple[int, ...]
HELDOUT_FRACTION = 0.1
_BATCH = 512  # documents tokenised at once


@dataclass(slots=True)
class TextCounts:
    """Words of one language."""

    # word to number of occurrences, in the documents that rank tokens
    seen: Counter[Word] = field(default_factory=Counter)
    heldout: Counter[Word] = field(default_factory=Counter)  # the same in those set aside
    documents: int = 0  # number of documents

    def token_counts(self, *, heldout: bool) -> Counter[int]:
        """Count tokens by id, with or without the documents set aside."""
        counts: Counter[int] = Counter()
        for words in (self.seen, self.heldout) if heldout else (self.seen,):
            for word, number in words.items():
                for token in word:
                    counts[token] += number
        return counts


def count_texts(tokenizer: Tokenizer, texts: Iterable[str], label: str) -> TextCounts:
    """Tokenise and count, holding a batch of documents and the distinct words."""
    counts = TextCounts()
    unspaced = {token for text, token in tokenizer.get_vocab().items() if is_unspaced(text)}
    stream = iter(texts)
    while batch := list(islice(stream, _BATCH)):
        for number, text in enumerate(batch, start=counts.documents + 1):
            if not isinstance(text, str) or (not text.isprintable() and _has_surrogate(text)):
                raise ValueError(
                    f"text {number} of {label} is no valid Unicode string: {text!r:.60}; repair or drop it"
                )
        for text, encoding in zip(batch, tokenizer.encode_batch(batch, add_special_tokens=False), strict=True):
            side = counts.heldout if _is_heldout(text) else counts.seen
            side.update(_words(encoding.ids, encoding.word_ids, unspaced))
        counts.documents += len(batch)
    return counts


def _words(ids: list[int], places: list[int | None], unspaced: set[int]) -> Iterator[Word]:
    for _, run in groupby(zip(places, ids, strict=True), key=lambda pair: pair[0]):
        word = tuple(token for _, token in run)
        if len(word) > 1 and not unspaced.isdisjoint(word):
            yield from ((token,) for token in word)
        else:
            yield word


def _is_heldout(text: str) -> bool:
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8, person=b"trim").digest()
    return int.from_bytes(digest, "big") < HELDOUT_FRACTION * 2**64


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)

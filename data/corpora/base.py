"""What every corpus is: documents with a language tag, a licence, a held-out part and a count of what was left out.

The split is a pure function of the document's own text (or key): the same document is held out on every machine, in
every order, and identical texts never stand on both sides. It costs nothing to store; the share is hit on average only.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

Split = Literal["train", "heldout"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True)
class Document:
    """One text.

    Attributes:
        language: Tag `iso639-3_Script`, or `code`.
        text: The text, never empty.
        source: Name of its `Source`.
        key: What names the document inside its source, if anything does.
    """

    language: str
    text: str
    source: str
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A text and its English original.

    Attributes:
        language: Tag of `text`.
        english: The English side.
        text: The translation.
        key: Names the English side: equal over all languages, so that pairs can be joined on it.
    """

    language: str
    english: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where text comes from, for model cards.

    Attributes:
        name: Package, dataset or folder.
        version: Version, revision, or what says which state it was.
        licence: SPDX expression, or "not stated".
        url: Home page; empty if there is none.
    """

    name: str
    version: str
    licence: str
    url: str


class Corpus(ABC):
    """Documents in languages, in a train and a held-out part.

    Attributes:
        skipped: Reason to number of rows left out, in the latest pass over the data (either split: every pass reads
            all rows). Nothing is left out without being counted here.
    """

    skipped: Counter[str]

    @abstractmethod
    def languages(self) -> list[str]:
        """The sorted tags of all languages."""

    @abstractmethod
    def documents(self, split: Split) -> Iterator[Document]:
        """Yields the documents of one split, in an order that is always the same."""

    @abstractmethod
    def sources(self) -> dict[str, Source]:
        """The sources by name."""


class ParallelCorpus(Corpus):
    """A corpus whose texts are also translations of English ones."""

    @abstractmethod
    def pairs(self, split: Split) -> Iterator[Pair]:
        """Yields (text, English) pairs of one split; English with itself is left out."""


def is_heldout(key: str, fraction: float) -> bool:
    """Decides by a stable hash of a text, or of its key, whether it is of the share that is held out."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < fraction * 2**64


def check_split(split: str) -> bool:
    """Refuses a split other than "train" and "heldout"; True for the held-out one."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; a corpus has {' and '.join(map(repr, SPLITS))}.")
    return split == "heldout"


def check_fraction(fraction: float) -> None:
    """Refuses a held-out share that is no share."""
    if not 0.0 <= fraction < 1.0:
        raise ValueError(f"heldout_fraction is {fraction}, but must lie in [0, 1); 0.01 holds out one document in 100.")

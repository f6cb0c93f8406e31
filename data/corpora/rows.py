"""Rows become documents here, for every kind of reader: what is wrong with a row is found and answered in one place.

A bad row stops the run with its file and number, or is left out and counted, as `on_bad_row` says; both see the same
rows. Copies are not looked for here: that needs the hashes of the whole corpus (`duplicates.py`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from ...common.messages import option, require_known
from ...common.options import comma_list
from ...languages.tags import canonical_names, choose_tags, is_language_tag, known_tag, note_tags, unknown_tag_message
from .base import Corpus, Document, Source, Split, check_fraction, check_split, is_heldout

_SAMPLE = 2_000  # characters of each language that show which script its text is in

OnBadRow = Literal["error", "skip"]


class Row(NamedTuple):
    """What a reader found at one place."""

    place: object  # file and row, for messages; turned into text only when one is needed
    language: Any  # tag, or whatever stood in the language column
    text: Any  # as the text column has it, None without; token ids where the source was tokenised before
    key: Any = None  # whatever stood in the key column
    problem: str = ""  # why the reader could not read the row; empty if it could
    detail: str = ""  # more about the problem, for the message


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How rows are read.

    Attributes:
        language_column: Column with the language tag, where file or folder names do not say it.
        text_column: Column with the text.
        key_column: Column whose value decides the split instead of the text; rows that belong together share it.
        languages: Read only these, in any spelling; a code without a script means all scripts of it. None: all.
        language: Tag of files and folders whose names say none; None: a column says it.
        extra_languages: Codes or tags beyond the 1,833 of mmBERT's statistics.
        on_bad_row: "error" stops at the first bad row, "skip" leaves it out and counts it in `corpus.skipped`.
        max_document_bytes: A longer document (UTF-8) is a bad row.
        heldout_fraction: Share of documents for the split "heldout".
        text_unit: What a document is in a .txt file: a "block" between blank lines, or a "line".
        source: For the model card; None: name of the file or dataset, licence "not stated".
    """

    language_column: str = "lang"
    text_column: str = "text"
    key_column: str | None = None
    languages: tuple[str, ...] | None = None
    language: str | None = None
    extra_languages: tuple[str, ...] = ()
    on_bad_row: OnBadRow = "error"
    max_document_bytes: int = 10_000_000
    heldout_fraction: float = 0.01
    text_unit: Literal["block", "line"] = "block"
    source: Source | None = None

    def __post_init__(self) -> None:
        require_known("on_bad_row", self.on_bad_row, get_args(OnBadRow))
        require_known("text_unit", self.text_unit, ("block", "line"))
        if self.max_document_bytes < 1:
            raise ValueError(f"max_document_bytes is {self.max_document_bytes}, but must be 1 or more.")
        check_fraction(self.heldout_fraction)
        for key in ("languages", "extra_languages"):
            if isinstance(given := getattr(self, key), str):  # one tag, or several with commas between
                object.__setattr__(self, key, comma_list(given))
        extra = tuple(self.extra_languages)
        for key in ("languages", "language"):
            given = getattr(self, key)
            if given is not None:
                names = canonical_names((given,) if key == "language" else given, extra, whole=key == "language")
                object.__setattr__(self, key, names[0] if key == "language" else names)

    @property
    def columns(self) -> list[str]:
        """The columns a table must have."""
        return [name for name in (self.language_column, self.text_column, self.key_column) if name]

    def wants(self, tag: str) -> bool:
        """Tell whether a language is one of those to read."""
        return self.languages is None or tag in self.languages or tag.partition("_")[0] in self.languages


class RowCorpus(Corpus):
    """A corpus that reads rows; subclasses say where from."""

    def __init__(self, options: ReadOptions, source: Source) -> None:
        self.options = options
        self.skipped: Counter[str] = Counter()
        self._source = options.source or source
        self._languages: list[str] | None = None
        self._noted = False

    @abstractmethod
    def rows(self) -> Iterable[Row]:
        """Yields all rows that a reader can see, bad ones too, in an order that is always the same."""

    def languages(self) -> list[str]:
        """The sorted tags of all languages; where a column says them, the first call reads the whole corpus."""
        if self._languages is None:
            found = {document.language for document in self._accepted(Counter())}
            if not found:
                raise ValueError(f"{self._source.name} holds no usable document; all rows were left out.")
            self._languages = sorted(found)
        return list(self._languages)

    def documents(self, split: Split) -> Iterator[Document]:
        """Yields the documents of one split in the order of the rows, and counts bad rows in `skipped`."""
        heldout = check_split(split)
        self.skipped = Counter()
        return self._split(heldout, self.skipped)

    def sources(self) -> dict[str, Source]:
        """The one source, by its name."""
        return {self._source.name: self._source}

    def _split(self, heldout: bool, skipped: Counter[str]) -> Iterator[Document]:
        fraction = self.options.heldout_fraction
        for document in self._accepted(skipped):
            if is_heldout(document.key or document.text, fraction) == heldout:
                yield document

    def _accepted(self, skipped: Counter[str]) -> Iterator[Document]:
        """Yields every good row as a document; a language that was asked for and never came is an error."""
        read: dict[str, str] = {}
        samples: dict[str, str] = {}
        for theirs in self.rows():
            row = with_known_tag(theirs, self.options)
            problem, detail = find_problem(row, self.options)
            if not problem:
                read[theirs.language] = row.language
                if not self.options.wants(row.language):
                    continue
                if (
                    not self._noted
                    and len(seen := samples.get(row.language, "")) < _SAMPLE
                    and isinstance(row.text, str)
                ):
                    samples[row.language] = seen + row.text[: _SAMPLE - len(seen)]
                key = None if row.key is None else str(row.key)
                yield Document(row.language, row.text, self._source.name, key)
            elif self.options.on_bad_row == "skip":
                skipped[problem] += 1
            else:
                raise bad_row(row, problem, detail)
        if self.options.languages:
            choose_tags(self.options.languages, set(read.values()), self._source.name, "holds no document in {}")
        if not self._noted:
            self._noted = True
            kept = {theirs: ours for theirs, ours in read.items() if self.options.wants(ours)}
            note_tags(self._source.name, kept, samples)


def with_known_tag(row: Row, options: ReadOptions) -> Row:
    """Return a row with the tag in use in place of the source's spelling, where it is understood."""
    tag = known_tag(row.language, options.extra_languages) if isinstance(row.language, str) else None
    return row if tag is None or tag == row.language else row._replace(language=tag)


def find_problem(row: Row, options: ReadOptions) -> tuple[str, str]:
    """Name what is wrong with a row and its detail for the message; two empty strings for a good row."""
    if row.problem:
        return row.problem, f" ({row.detail})" if row.detail else ""
    if not isinstance(row.language, str):
        return "no language", f" (column {options.language_column!r} holds {row.language!r:.40})"
    if not is_language_tag(row.language, options.extra_languages):
        return "unknown language", f" ({unknown_tag_message(row.language)})"
    if isinstance(row.text, np.ndarray):
        return ("", "") if len(row.text) else ("empty document", "")
    if not isinstance(row.text, str):
        return "no text", f" (column {options.text_column!r} holds {row.text!r:.40})"
    if not row.text or row.text.isspace():
        return "empty document", ""
    return _size_problem(row.text, options.max_document_bytes)


def bad_row(row: Row, problem: str, detail: str) -> ValueError:
    """Make the error that stops at a bad row; a detail has a leading space."""
    return ValueError(f"{row.place}: {problem}{detail}; repair it, or leave it out by {option('on_bad_row', 'skip')}.")


def _size_problem(text: str, limit: int) -> tuple[str, str]:
    try:
        size = len(text) if text.isascii() else len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        return "not UTF-8", f" (lone surrogate at character {error.start})"
    if size > limit:
        return "document too long", f" ({size:,} bytes; max_document_bytes is {limit:,})"
    return "", ""

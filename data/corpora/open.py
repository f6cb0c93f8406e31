"""One door to every corpus: a path, or the id of a dataset on the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ..tables.files import format_of
from .base import Source
from .files import FileCorpus
from .rows import OnBadRow, ReadOptions, RowCorpus

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def open_corpus(
    location: str | os.PathLike[str],
    *,
    language_column: str = "lang",
    text_column: str = "text",
    key_column: str | None = None,
    languages: Iterable[str] | None = None,
    language: str | None = None,
    extra_languages: Iterable[str] = (),
    on_bad_row: OnBadRow = "error",
    max_document_bytes: int = 10_000_000,
    heldout_fraction: float = 0.01,
    text_unit: Literal["block", "line"] = "block",
    source: Source | None = None,
    revision: str | None = None,
    hub_split: str = "train",
) -> RowCorpus:
    """Opens files of text or rows, or a Hub dataset, as a corpus.

    An option out of range, and a language that is unknown or missing, raise a ValueError that says so.

    Args:
        location: A file, a folder (see `mmbert.data.corpora.files` for its shapes), or a Hub dataset id.
        language_column: Column with the language tag, where file, folder or configuration names do not say it.
        text_column: Column with the text.
        key_column: Column whose value decides the split instead of the text; rows that belong together share it.
        languages: Tags to read; None: all.
        language: Tag of files whose names say none; None: a column says it.
        extra_languages: Codes or tags beyond the 1,833 of mmBERT's statistics.
        on_bad_row: "error" stops at the first bad row, "skip" leaves it out and counts it in `corpus.skipped`.
        max_document_bytes: A longer document (UTF-8) is a bad row.
        heldout_fraction: Share of documents for the split "heldout".
        text_unit: A document of a .txt file is a "block" between blank lines, or a "line".
        source: For the model card; None: what the files or the Hub say.
        revision: Branch, tag or commit of a Hub dataset.
        hub_split: Split of the Hub dataset, or of folders named after splits; train and held-out part are both cut
            from it.

    Returns:
        The corpus; nothing is read yet but names (and the first row of a Hub dataset).

    Raises:
        FileNotFoundError: There is nothing at that place.
    """
    options = ReadOptions(
        language_column=language_column,
        text_column=text_column,
        key_column=key_column,
        languages=languages if languages is None or isinstance(languages, str) else tuple(languages),  # type: ignore[arg-type]
        language=language,
        extra_languages=extra_languages if isinstance(extra_languages, str) else tuple(extra_languages),  # type: ignore[arg-type]
        on_bad_row=on_bad_row,
        max_document_bytes=max_document_bytes,
        heldout_fraction=heldout_fraction,
        text_unit=text_unit,
        source=source,
    )
    return open_with(location, options, revision=revision, hub_split=hub_split)


def open_with(
    location: str | os.PathLike[str], options: ReadOptions, *, revision: str | None = None, hub_split: str = "train"
) -> RowCorpus:
    """Open a corpus with options that are already checked."""
    path = Path(location)
    if path.exists():
        return FileCorpus(path, options, hub_split)
    if format_of(path) or not _HUB_ID.fullmatch(str(location)):
        raise FileNotFoundError(f"{path} does not exist; give a file, a folder or a Hub dataset id (owner/name).")
    from .hub import HubCorpus

    return HubCorpus(str(location), options, revision=revision, split=hub_split)

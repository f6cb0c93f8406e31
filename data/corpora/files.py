"""A corpus in files: a folder or a file per language, or tables that name the language in a column.

    corpus/swh_Latn/*.txt      a sub-folder per language (files of any of the three kinds, any depth)
    corpus/fao_Latn.jsonl      a file per language; "fao_Latn-00001.parquet" and "fao_Latn.2024.txt" count as well
    corpus/all.parquet         a table with a language column

The three may stand side by side. Kinds: .txt (a document is a block between blank lines), .jsonl (an object a line),
.parquet. Other files are left alone and counted as "other file type".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ...languages.tags import choose_tags, is_language_tag, known_tag, near_matches, unknown_tag_message
from .base import Document, Source, Split
from .readers import READERS, read_rows
from .rows import ReadOptions, Row, RowCorpus


class FileCorpus(RowCorpus):
    """Documents in text, jsonl and parquet files."""

    def __init__(self, location: Path, options: ReadOptions) -> None:
        source = Source(location.resolve().name, "local files", "not stated", "")
        super().__init__(options, source)
        self.location = location
        self.files, self._others = _find_files(location, options)
        if all(tag is not None for _, tag in self.files):
            self._languages = sorted({tag for _, tag in self.files if tag is not None})
        self._select()

    def rows(self) -> Iterator[Row]:
        """Yields the rows of all files, sorted by language and path."""
        for path, language in self.files:
            yield from read_rows(path, language, self.options)

    def documents(self, split: Split) -> Iterator[Document]:
        """Yields the documents of one split, file by file, and counts bad rows and foreign files in `skipped`.

        Args:
            split: "train" or "heldout".

        Returns:
            An iterator; files are read while it runs.
        """
        documents = super().documents(split)
        if self._others:
            self.skipped["other file type"] = self._others
        return documents

    @property
    def other_files(self) -> int:
        """Number of files that are of no kind that can be read."""
        return self._others

    def _select(self) -> None:
        """Keeps the files of the wanted languages; where names say the language, a missing one is refused at once."""
        if self._languages is not None and self.options.languages is not None:
            self._languages = sorted(choose_tags(self.options.languages, self._languages, str(self.location)))
        self.files = [(path, tag) for path, tag in self.files if tag is None or self.options.wants(tag)]


def _find_files(location: Path, options: ReadOptions) -> tuple[list[tuple[Path, str | None]], int]:
    """Lists (file, language or None) in a fixed order, and how many files are of another kind."""
    if location.is_file():
        if location.suffix not in READERS:
            raise ValueError(f"{location} is no {', '.join(READERS)} file.")
        return [(location, _tag_of_file(location, options))], 0
    found: list[tuple[Path, str | None]] = []
    others = 0
    for entry in sorted(location.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            tag = _tag_of_folder(entry, options)
            inside = sorted(path for path in entry.rglob("*") if path.is_file() and not path.name.startswith("."))
            found += [(path, tag) for path in inside if path.suffix in READERS]
            others += sum(path.suffix not in READERS for path in inside)
        elif entry.suffix in READERS:
            found.append((entry, _tag_of_file(entry, options)))
        else:
            others += 1
    if not found:
        raise FileNotFoundError(f"{location} holds no {', '.join(READERS)} file, nor a folder per language with some.")
    return sorted(found, key=lambda item: (item[1] or "", item[0])), others


def _tag_of_folder(folder: Path, options: ReadOptions) -> str:
    tag = known_tag(folder.name, options.extra_languages)
    if tag is None:
        raise ValueError(f"{folder}: {unknown_tag_message(folder.name)}")
    return tag


def _tag_of_file(path: Path, options: ReadOptions) -> str | None:
    """The tag in a file's name, or the one given for all; None leaves it to the language column of a table."""
    name = re.split(r"[.-]", path.name)[0]
    if is_language_tag(name, options.extra_languages):
        return name
    if options.language is not None:
        return options.language
    looks_like_a_tag = re.fullmatch(r"[A-Za-z]{2,3}_[A-Za-z]{4}", name) is not None
    if looks_like_a_tag or (path.suffix == ".txt"):
        if (tag := known_tag(name, options.extra_languages)) is not None:
            return tag
        near = "" if looks_like_a_tag or near_matches(name) else " Name the file after its language (swh_Latn.txt)."
        raise ValueError(f"{path}: {unknown_tag_message(name)}{near}")
    return None

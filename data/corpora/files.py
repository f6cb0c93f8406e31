"""A corpus in files: a folder or a file per language, or tables that name the language in a column.

    corpus/swh_Latn/*.txt      a sub-folder per language (files of any kind, any depth)
    corpus/fao_Latn.jsonl      a file per language; "fao_Latn-00001.parquet" and "fao_Latn.2024.txt.gz" count as well
    corpus/all.csv             a table with a language column

The three may stand side by side. A .txt file holds a document per block between blank lines; all others are tables (see
`data.tables`). Of folders named after splits (FineWeb-2's swh_Latn/train and swh_Latn/test) one split is read. What is
left alone is counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...common.messages import option
from ...languages.tags import choose_tags, is_language_tag, known_tag, near_matches, unknown_tag_message
from ..tables.files import TABLES, format_of, is_rows, refusal
from ..tables.names import other_names, split_of
from .base import Document, Source, Split
from .readers import read_rows
from .rows import ReadOptions, Row, RowCorpus

OTHER_TYPE, OTHER_SPLIT, OTHER_LANGUAGE = "other file type", "file of another split", "file of no language"
_KINDS = (".txt", *TABLES)


class FileCorpus(RowCorpus):
    """Documents in files of text and rows."""

    def __init__(self, location: Path, options: ReadOptions, split: str = "train") -> None:
        source = Source(location.resolve().name, "local files", "not stated", "")
        super().__init__(options, source)
        self.location = location
        self.left_alone: Counter[str] = Counter()
        self.files = _Finder(options, split, self.left_alone).find(location)
        if all(tag is not None for _, tag in self.files):
            self._languages = sorted({tag for _, tag in self.files if tag is not None})
        self._select()

    def rows(self) -> Iterator[Row]:
        """Yields the rows of all files, sorted by language and path."""
        for path, language in self.files:
            yield from read_rows(path, language, self.options)

    def documents(self, split: Split) -> Iterator[Document]:
        """Yields the documents of one split, file by file, and counts bad rows and files left alone in `skipped`."""
        documents = super().documents(split)
        self.skipped.update(self.left_alone)
        return documents

    def _select(self) -> None:
        """Keeps the files of the wanted languages; where names say the language, a missing one is refused at once."""
        if self._languages is not None and self.options.languages is not None:
            self._languages = sorted(choose_tags(self.options.languages, self._languages, str(self.location)))
        self.files = [(path, tag) for path, tag in self.files if tag is None or self.options.wants(tag)]


class _Finder:
    """Lists (file, language or None) of a place in a fixed order, and counts what it leaves alone."""

    def __init__(self, options: ReadOptions, split: str, left_alone: Counter[str]) -> None:
        self.options, self.split, self.left_alone = options, split, left_alone

    def find(self, location: Path) -> list[tuple[Path, str | None]]:
        if location.is_file():
            if not _is_corpus(location):
                raise ValueError(refusal(location, _KINDS))
            return [(location, self._tag_of_file(location))]
        found = sorted(self._walk(location, None), key=lambda item: (item[1] or "", item[0]))
        if not found:
            others = f"; left alone: {dict(self.left_alone)}" if self.left_alone else ""
            raise FileNotFoundError(
                f"{location} holds no {', '.join(_KINDS)} file, nor a folder per language with some{others}."
            )
        return found

    def _walk(self, folder: Path, tag: str | None) -> Iterator[tuple[Path, str | None]]:
        """Yield what lies in a folder and below; `tag` once a folder on the way has named the language."""
        entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
        folders = [entry.name for entry in entries if entry.is_dir()]
        for entry in entries:
            if not entry.is_dir():
                if self._is_taken(entry):
                    yield entry, tag or self._tag_of_file(entry)
            elif self._is_other_split(entry.name, folders):
                self._leave(entry, OTHER_SPLIT)
            elif tag or split_of(entry.name) == entry.name or entry.name == "data":
                yield from self._walk(entry, tag)
            elif named := self._tag_of_folder(entry):
                yield from self._walk(entry, named)

    def _is_taken(self, path: Path) -> bool:
        if not (taken := _is_corpus(path)):
            self.left_alone[OTHER_TYPE] += 1
        return taken

    def _is_other_split(self, name: str, folders: list[str]) -> bool:
        """Tell a folder of another split, where the wanted one stands beside it."""
        wanted = other_names(self.split)
        return split_of(name) == name and name not in wanted and any(one in folders for one in wanted)

    def _leave(self, folder: Path, reason: str) -> None:
        self.left_alone[reason] += sum(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*"))

    def _tag_of_folder(self, folder: Path) -> str | None:
        """The tag that a folder is named after; None for one that is left alone: swh_Latn_removed, or not asked for."""
        name = re.sub(r"^\d{8}\.", "", folder.name)  # wikimedia/wikipedia: 20231101.sw
        tag = known_tag(name, self.options.extra_languages)
        if tag is not None:
            return tag
        head = folder.name.rpartition("_")[0]
        if is_language_tag(head, self.options.extra_languages) or self.options.languages is not None:
            self._leave(folder, OTHER_LANGUAGE)
            return None
        raise ValueError(f"{folder}: {unknown_tag_message(folder.name)}")

    def _tag_of_file(self, path: Path) -> str | None:
        """The tag in a file's name, or the one given for all; None leaves it to the language column of a table."""
        name = re.split(r"[.-]", path.name)[0]
        if is_language_tag(name, self.options.extra_languages):
            return name
        if self.options.language is not None:
            return self.options.language
        looks_like_a_tag = re.fullmatch(r"[A-Za-z]{2,3}_[A-Za-z]{4}", name) is not None
        if looks_like_a_tag or format_of(path) == "text":
            if (tag := known_tag(name, self.options.extra_languages)) is not None:
                return tag
            if looks_like_a_tag:
                raise ValueError(f"{path}: {unknown_tag_message(name)}")
            near, given = near_matches(name), option("language", "swh_Latn")
            meant = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise ValueError(
                f"{path}: language tag {name!r} is not known{meant}: name the file after its language, swh_Latn.txt"
                f"{f', or give it by {given}' if given else ''}."
            )
        return None


def _is_corpus(path: Path) -> bool:
    """Tell a file of text or rows; .md and .rst are mostly about a corpus, and CoNLL has no running text."""
    kind = format_of(path)
    return is_rows(path) and kind != "conll" and (kind != "text" or ".txt" in path.suffixes)

"""A small real corpus that every machine can have: the translations inside Django, Sphinx and pycountry.

These three PyPI packages (extra `demo`) carry gettext catalogues in some 160 languages: web forms, documentation, names
of languages, countries and currencies. Their Python source is the `code` share. It is short, technical text: enough to
watch a recipe work, not to train a model for use.

What is kept: every translated string in NFC, placeholders and markup included. Left out and counted in `skipped`:
strings equal to the English ("untranslated"), empty ones, repeated ones of a language, and translations into English.
English itself is the message ids. Regional catalogues (es_MX, pt_BR) belong to their language.

The split goes by the English string, so a held-out string is held out in all languages and pairs stay parallel. Source
is split by file, and it contains English strings: some that are held out as English stand in training code.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from ...common.messages import require_known
from ...languages.tags import CODE, tag_of_locale
from .base import Document, Pair, ParallelCorpus, Source, Split, check_fraction, check_split, is_heldout
from .gettext_files import Message, locale_of, read_messages

PACKAGES = ("django", "sphinx", "pycountry")
ENGLISH = "eng_Latn"
DOCUMENT_CHARACTERS = 300  # strings are joined until a document has this many,
LONGEST_DOCUMENT = 600  # and not beyond this many, if they are not longer by themselves


class _String(NamedTuple):
    """One string of a catalogue; `english` is None for forms that make no pair."""

    text: str
    heldout: bool
    english: str | None


@dataclass(frozen=True, slots=True)
class _Catalogue:
    """The strings of one package in one locale, or one of its source files."""

    source: str
    name: str
    strings: tuple[_String, ...]


class CatalogueCorpus(ParallelCorpus):
    """Translations and source of installed packages.

    Args:
        packages: Import names of packages with gettext catalogues.
        heldout_fraction: Share of English strings, and of source files, for the split "heldout".
        languages: Tags to keep; None: all.
        on_bad_row: "error" stops at a damaged file, "skip" leaves it out and counts it.

    Raises:
        ValueError: The share is out of range.
    """

    def __init__(
        self,
        packages: Sequence[str] = PACKAGES,
        *,
        heldout_fraction: float = 0.1,
        languages: Collection[str] | None = None,
        on_bad_row: str = "error",
    ) -> None:
        check_fraction(heldout_fraction)
        require_known("on_bad_row", on_bad_row, ("error", "skip"))
        self.heldout_fraction = heldout_fraction
        self.on_bad_row = on_bad_row
        self.skipped: Counter[str] = Counter()
        self._is_heldout = cache(partial(is_heldout, fraction=heldout_fraction))  # each string comes in 100 languages
        self._wanted = None if languages is None else tuple(languages)
        self._roots = {name: _package_folder(name) for name in packages}
        self._sources = {name: _package_source(name) for name in packages}

    def __reduce__(self) -> tuple[Any, ...]:  # another process reads the packages itself
        options: dict[str, Any] = {
            "heldout_fraction": self.heldout_fraction,
            "languages": self._wanted,
            "on_bad_row": self.on_bad_row,
        }
        return partial(CatalogueCorpus, tuple(self._roots), **options), ()

    def languages(self) -> list[str]:
        """The sorted tags, `code` among them."""
        return list(self._catalogues)

    def sources(self) -> dict[str, Source]:
        """The packages, with versions and licences as their metadata state them."""
        return {source.name: source for source in self._sources.values()}

    def documents(self, split: Split, language: str | None = None) -> Iterator[Document]:
        """Yields strings of a catalogue joined by newlines, 300 to 600 characters, of one split and language or all."""
        heldout = check_split(split)
        for tag, catalogues in self._catalogues.items():
            for catalogue in catalogues if language in (None, tag) else ():
                texts = [string.text for string in catalogue.strings if string.heldout == heldout]
                joined = iter(texts) if tag == CODE else _join(texts)
                for number, text in enumerate(joined):
                    yield Document(tag, text, catalogue.source, f"{catalogue.name}#{number}")

    def pairs(self, split: Split) -> Iterator[Pair]:
        """Yields translations with their English side, which is in the same split for all languages."""
        heldout = check_split(split)
        for tag, catalogues in self._catalogues.items():
            seen: set[str] = set()
            for string in (string for catalogue in catalogues for string in catalogue.strings):
                if string.english is None or string.heldout != heldout or string.english in seen or tag == ENGLISH:
                    continue
                seen.add(string.english)
                yield Pair(tag, string.english, string.text, _key(string.english))

    def bytes_per_language(self) -> dict[str, int]:
        """UTF-8 bytes of all strings by language, both splits together, largest first."""
        sizes = {
            tag: sum(len(string.text.encode("utf-8")) for catalogue in catalogues for string in catalogue.strings)
            for tag, catalogues in self._catalogues.items()
        }
        return dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))

    @cached_property
    def _catalogues(self) -> dict[str, list[_Catalogue]]:
        """All catalogues by tag, read once."""
        by_tag: dict[str, list[_Catalogue]] = defaultdict(list)
        seen: dict[str, set[str]] = defaultdict(set)
        english: dict[str, dict[str, Message]] = {}
        for package, root in self._roots.items():
            english[package] = {}
            for locale, messages in self._read_package(package, root):
                for message in messages:
                    english[package].setdefault(message.singular, message)
                tag = tag_of_locale(locale, "".join(form for message in messages for form in message.forms))
                if tag is None or tag.startswith("eng_"):
                    self.skipped["translation into English" if tag else "no letters"] += len(messages)
                    continue
                strings = tuple(self._translations(messages, seen[tag]))
                by_tag[tag].append(_Catalogue(self._sources[package].name, f"{package}/{locale}", strings))
        for package, messages_by_id in english.items():
            ordered = [messages_by_id[singular] for singular in sorted(messages_by_id)]
            strings = tuple(self._english(ordered, seen[ENGLISH]))
            by_tag[ENGLISH].append(_Catalogue(self._sources[package].name, f"{package}/en", strings))
            by_tag[CODE] += self._python_source(package, seen[CODE])
        return self._select({tag: by_tag[tag] for tag in sorted(by_tag) if any(c.strings for c in by_tag[tag])})

    def _select(self, by_tag: dict[str, list[_Catalogue]]) -> dict[str, list[_Catalogue]]:
        for tag in self._wanted or ():
            if tag not in by_tag:
                near = (
                    " or ".join(difflib.get_close_matches(tag, by_tag, n=3, cutoff=0.4)) or "one of corpus.languages()"
                )
                raise ValueError(f"the installed catalogues have no language {tag!r}; did you mean {near}?")
        return by_tag if self._wanted is None else {tag: by_tag[tag] for tag in sorted(self._wanted)}

    def _read_package(self, package: str, root: Path) -> Iterator[tuple[str, list[Message]]]:
        """Yields (locale, messages of all its files), the plain locale of a language before its regional ones."""
        by_locale: dict[str, list[Path]] = defaultdict(list)
        for path in sorted(root.rglob("LC_MESSAGES/*.mo")):
            by_locale[locale_of(path)].append(path)
        if not by_locale:
            raise FileNotFoundError(
                f"{package} has no .mo files below {root}; install it from PyPI with its catalogues."
            )
        for locale in sorted(by_locale, key=lambda name: (len(name), name)):
            messages: list[Message] = []
            for path in by_locale[locale]:
                try:
                    messages += read_messages(path)
                except (OSError, ValueError) as error:
                    self._bad_file(str(error))
            if messages:
                yield locale, messages

    def _translations(self, messages: Iterable[Message], seen: set[str]) -> Iterator[_String]:
        for message in messages:
            last = len(message.forms) - 1
            for number, form in enumerate(message.forms):
                text = unicodedata.normalize("NFC", form)
                if text == message.singular or text == message.plural:
                    self.skipped["untranslated"] += 1
                elif self._is_new(text, seen):
                    yield _String(text, self._is_heldout(message.english), message.english if number == last else None)

    def _english(self, messages: Iterable[Message], seen: set[str]) -> Iterator[_String]:
        for message in messages:
            heldout = self._is_heldout(message.english)
            for english in filter(None, (message.singular, message.plural)):
                text = unicodedata.normalize("NFC", english)
                if self._is_new(text, seen):
                    yield _String(text, heldout, None)

    def _python_source(self, package: str, seen: set[str]) -> Iterator[_Catalogue]:
        root = self._roots[package]
        for path in python_files(root):
            name = f"{package}/{path.relative_to(root).as_posix()}"
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                self._bad_file(f"{path} is no readable UTF-8 file ({error})")
                continue
            if self._is_new(text, seen):
                heldout = self._is_heldout(name)
                strings = tuple(_String(chunk, heldout, None) for chunk in chunks(text))
                yield _Catalogue(self._sources[package].name, name, strings)

    def _is_new(self, text: str, seen: set[str]) -> bool:
        if not text or text.isspace():
            self.skipped["empty"] += 1
            return False
        if text in seen:
            self.skipped["duplicate"] += 1
            return False
        seen.add(text)
        return True

    def _bad_file(self, problem: str) -> None:
        if self.on_bad_row == "error":
            raise ValueError(f"{problem}; reinstall the package, or leave the file out by on_bad_row='skip'.") from None
        self.skipped["unreadable file"] += 1


def _join(texts: Iterable[str]) -> Iterator[str]:
    """Joins consecutive strings into documents; the rest goes with the last one if it fits."""
    documents: list[list[str]] = [[]]
    length = 0
    for text in texts:
        if documents[-1] and (length >= DOCUMENT_CHARACTERS or length + len(text) > LONGEST_DOCUMENT):
            documents.append([])
            length = 0
        documents[-1].append(text)
        length += len(text) + 1
    if len(documents) > 1 and length < DOCUMENT_CHARACTERS:
        if length + sum(len(text) + 1 for text in documents[-2]) <= LONGEST_DOCUMENT:
            rest = documents.pop()
            documents[-1] += rest
    return ("\n".join(document) for document in documents if document)


def _key(english: str) -> str:
    return hashlib.blake2b(english.encode("utf-8"), digest_size=8).hexdigest()


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f'the catalogue corpus reads {name}, which is not installed: pip install "mmbert[demo]"')
    return Path(next(iter(spec.submodule_search_locations)))


def _package_source(name: str) -> Source:
    """Name, version and licence as the installed package states them."""
    metadata: dict[str, Any] = importlib.metadata.metadata(name).json
    links = dict(link.split(", ", 1) for link in metadata.get("project_url", ()) if ", " in link)
    lower = {label.lower(): address for label, address in links.items()}
    url = metadata.get("home_page") or lower.get("homepage") or lower.get("source") or ""
    licence = metadata.get("license_expression") or metadata.get("license") or "not stated"
    return Source(metadata["name"], metadata["version"], licence.splitlines()[0], url)


CHUNK_CHARACTERS = 3000  # a few whole functions, which fit a context of 1,024 tokens or so


def python_files(root: Path) -> list[Path]:
    """Lists the Python files below a folder, sorted."""
    return sorted(path for path in root.rglob("*.py") if path.is_file())


def chunks(text: str, limit: int = CHUNK_CHARACTERS) -> Iterator[str]:
    """Cuts source text at blank lines, or at line ends where a block exceeds `limit`; nothing but blank is lost."""
    chunk = ""
    for piece in _pieces(text, limit):
        if chunk and len(chunk) + len(piece) > limit:
            if chunk.strip():
                yield chunk.strip("\n")
            chunk = ""
        chunk += piece
    if chunk.strip():
        yield chunk.strip("\n")


def _pieces(text: str, limit: int) -> Iterator[str]:
    """Blocks with the blank lines after them; lines, where a block is longer than the limit."""
    block: list[str] = []
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        block.append(line)
        ends = not line.strip() and number + 1 < len(lines) and bool(lines[number + 1].strip())
        if ends or number + 1 == len(lines):
            whole = "".join(block)
            yield from [whole] if len(whole) <= limit else block
            block = []

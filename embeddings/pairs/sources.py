"""Where training pairs come from: a Hub data set, files of rows that `data.tables` reads, or folders of them.

A source is one string, `PLACE?role=column&...`, so that every source of a run can have columns of its own:

    pairs.jsonl                                        columns are found by their usual names
    qa.parquet?anchor=question&positive=context        or named, `a.b` inside one; &negative= may be repeated
    ntrex.parquet?key=line&text=text&language=lang     translations of one line: each is paired with the pivot's text
    sentences.parquet?text=sentence                    single texts, for distillation from a teacher only
    stories.parquet?document=text                      running text: two pieces of a document are a pair (see `crops`)
    opus.jsonl                                         two columns, or keys of `translation`, that are languages
    notes?document=text                                the same of a folder of .txt, .md and .rst files
    sentence-transformers/all-nli?name=pair-class      a data set of the Hub, with its configuration
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ...common.messages import did_you_mean
from ...data.tables.base import MISSING, Table, TableError, TableRow, pick
from ...data.tables.files import format_of, lines
from ...data.tables.names import other_names
from ...data.tables.read import open_tables, table_files
from ...languages.tags import canonical_tag, same_language, tag_in_name
from ..encoding.texts import check_text
from ..search.documents import read_documents
from .random_crops import crops

# First match wins; names as in the sentence-transformers data sets of the Hub and in the usual QA and parallel files.
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "anchor": ("anchor", "query", "question", "premise", "sentence1", "sentence_A", "english", "text_eng", "source"),
    "positive": (
        "positive", "pos", "passage", "document", "answer", "hypothesis", "sentence2", "sentence_B", "context",
        "translation", "non_english", "text", "target", "code", "positives", "positive_passages", "positive_ctxs",
    ),
    "negative": ("negative", "neg", "negatives", "negative_passages", "hard_negative_ctxs", "hard_negatives"),
    "score": ("score", "similarity_score", "similarity"),
    "label": ("label", "gold_label"),
    "language": ("language", "lang"),
    "positive_scores": ("pos_scores", "positive_scores"),
    "negative_scores": ("neg_scores", "negative_scores"),
}  # fmt: skip
_LOOKED_AT = 1000
_TAG = r"[a-z]{2,3}([_-][A-Z][a-z]{3})?([_-][A-Z]{2})?"
_ROLES = (*USUAL_NAMES, "key", "text", "document")
_OPTIONS = ("name", "split", "pivot")


@dataclass(frozen=True, slots=True)
class PairSource:
    """A parsed source."""

    place: str  # file, folder or Hub id
    columns: dict[str, str | list[str]]  # column of each role that the user named; a list for several of negatives
    name: str | None = None  # configuration of a Hub data set
    split: str | None = None  # split of a Hub data set; in files, rows whose column `split` says so
    pivot: str = "eng_Latn"  # language that translations of one key are paired with

    @classmethod
    def parse(cls, source: str) -> "PairSource":
        """Read `PLACE?role=column&...`."""
        place, _, query = source.partition("?")
        named = parse_qsl(query, strict_parsing=True) if query else []
        given: dict[str, Any] = dict(named)
        if repeated := next((name for name in given if name != "negative" and len(_all(named, name)) > 1), None):
            raise ValueError(f"{source}: {repeated} is named twice; name one column for it")
        if len(negatives := _all(named, "negative")) > 1:
            given["negative"] = negatives
        if unknown := sorted(set(given) - {*_ROLES, *_OPTIONS}):
            known = did_you_mean(unknown[0], (*_ROLES, *_OPTIONS))
            raise ValueError(f"{source}: {unknown[0]!r} is no role of a column; {known}")
        options: dict[str, Any] = {name: given.pop(name) for name in _OPTIONS if name in given}
        return cls(place, given, **options)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (place, values by role: anchor, positive, negative, score, label, language; or `left_out`)."""
        if self.columns and self.holds_texts:
            raise ValueError(f"{self.place}: single texts are for `mmbert train distilled`; name anchor and positive")
        if "document" in self.columns and self._is_text():
            yield from _cropped((found.name, {"document": found.text}) for found in read_documents(self.place))
            return
        rows = (row for table in self.tables() for row in self._chosen(table))
        if "key" in self.columns:
            yield from _joined(rows, self.pivot, self.place)
        elif "document" in self.columns:
            yield from _cropped(rows)
        else:
            yield from rows

    @property
    def holds_texts(self) -> bool:
        """Whether it gives single texts: lines of a text file, `text=` without a key, or a table without an anchor."""
        if not self.columns:
            return format_of(Path(self.place)) == "text" or self._text_column() is not None
        return "text" in self.columns and not {"key", "document", "anchor", "positive"} & set(self.columns)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Yield single texts."""
        path = Path(self.place)
        if format_of(path) == "text":
            if not path.is_file():
                raise FileNotFoundError(f"{path} is no file; give one")
            try:
                yield from (((line or b"").decode("utf-8"), "") for _, line in lines(path))
            except (UnicodeDecodeError, TableError) as error:
                raise ValueError(f"{path}: {error}; convert it to UTF-8 first") from None
            return
        named = self if self.columns else replace(self, columns={"text": str(self._text_column())})
        for table in named.tables():
            for place, row in named._chosen(table):
                if (text := row["text"]) is not None:
                    check_text(text, f"{place}, text")
                yield text or "", str(row.get("language") or "")

    def _text_column(self) -> str | None:
        """The column of texts in a table that has nothing to pair them with."""
        table = self.tables()[0]
        row = next(iter(table.read()), None)
        names = table.header or (row.values if row else {})
        if row is None or any(name in names for name in USUAL_NAMES["anchor"]) or _translations(row.values):
            return None
        return next((name for name in ("text", "sentence") if name in names), None)

    def _chosen(self, table: Table) -> Iterator[TableRow]:
        """Yield the rows of the split, by role; where no header says the columns, the rows do."""
        rows = table.read()
        first = list(islice(rows, _LOOKED_AT))
        names = dict.fromkeys(table.header or (name for row in first for name in row.values))
        texts = _translations(first[0].values if first else {})
        roles = self._roles(list(names), texts) if names else {}
        said = {"language": canonical_tag(texts[1].rpartition(".")[2])} if roles.get("positive") in texts[1:] else {}
        said = said or ({"language": table.language} if table.language else {})
        for place, values in chain(first, rows):
            if not values.keys() <= names.keys():
                names |= dict.fromkeys(values)
                roles = self._roles(list(names), texts)
            if self.split is None or str(values.get("split", self.split)) in other_names(self.split):
                yield TableRow(place, {**said, **{role: _value(values, column) for role, column in roles.items()}})

    def tables(self) -> list[Table]:
        """Open the place."""
        path = Path(self.place)
        if path.is_dir() and not table_files(path):
            raise ValueError(
                f"{path} holds no file of pairs; give .parquet, .jsonl, .json, .csv, .tsv, compressed or not"
            )
        if not path.exists() and (format_of(path) or len(path.parts) != 2):
            raise FileNotFoundError(f"{path} is no file; give one, or a Hub id like sentence-transformers/all-nli")
        hub = None if path.exists() else self.split or "train"
        return open_tables(self.place, split=hub, configuration=self.name)

    def _is_text(self) -> bool:
        """Tell a text file, or a folder of text files without a table among them."""
        path = Path(self.place)
        return format_of(path) == "text" or (path.is_dir() and not table_files(path))

    def _roles(self, names: Sequence[str], translations: Sequence[str] = ()) -> dict[str, Any]:
        """Return the column, or for negatives the columns, of every role; `translations` are a text and its own."""
        taken: set[str] = set()
        for role, given in self.columns.items():
            for column in [given] if isinstance(given, str) else given:
                if column not in names and column.split(".")[0] not in names:
                    raise ValueError(f"{self.place} has no column {column!r} for {role}; it has {', '.join(names)}")
                taken.add(column)
        roles: dict[str, Any] = dict(self.columns)
        shape = _shape(roles, self.place)
        named = {"anchor", "positive"} & roles.keys() or any(name in names for name in USUAL_NAMES["anchor"])
        if shape == "pair" and translations and not named:
            roles |= {"anchor": translations[0], "positive": translations[1]}
        wanted = tuple(USUAL_NAMES) if shape == "pair" else ("language",)
        for role in wanted:
            free = [name for name in USUAL_NAMES[role] if name in names and name not in taken]
            if role not in roles and free:
                roles[role] = free[0]
                taken.add(free[0])
        numbered = [name for name in names if name.rpartition("_")[0] == "negative" and name[9:].isdigit()]
        if shape == "pair" and numbered and "negative" not in roles:
            roles["negative"] = sorted(numbered, key=lambda name: int(name[9:]))
        shapes = {"pair": ("anchor", "positive"), "key": ("language", "text"), "document": (), "text": ()}
        needed = shapes[shape]
        if missing := [role for role in needed if role not in roles]:
            hint = f"{self.place}?{missing[0]}=COLUMN"
            raise ValueError(
                f"{self.place}: no column is the {missing[0]}; name it as {hint}, one of: {', '.join(names)}"
            )
        return roles


def _translations(row: Mapping[str, Any]) -> list[str]:
    """Return the two columns (or keys of `translation`) that are named after languages, English first; else none."""
    inner = row.get("translation")
    if isinstance(inner, Mapping):
        tags = {f"translation.{name}": canonical_tag(name) for name in inner}
    else:
        tags = {name: tag_in_name(name) for name in row if re.fullmatch(_TAG, name)}
        if sum(tag is not None for tag in tags.values()) < 2:  # no, is and id are words as well, but not here
            words = ("no", "is", "id")
            tags |= {name: canonical_tag(name) for name in words if re.search(r"[^\W\d]{2}", str(row.get(name) or ""))}
    found = [name for name, tag in tags.items() if tag is not None]
    return sorted(found, key=lambda name: tags[name] != "eng_Latn") if len(found) == 2 else []


def _shape(roles: Mapping[str, Any], place: str) -> str:
    """Tell what a row is: a `pair`, a translation of a `key`, or a `document`."""
    found = [shape for shape in ("key", "document") if shape in roles]
    if len(found) > 1:
        raise ValueError(f"{place}: key joins translations, document cuts one text; name one of them")
    return found[0] if found else "text" if "text" in roles else "pair"


def _all(named: list[tuple[str, str]], role: str) -> list[str]:
    return [value for name, value in named if name == role]


def read_texts(source: str) -> set[str]:
    """Read every text of a file or data set, whatever its column: what must not be trained on."""
    rows = (row for table in PairSource.parse(source).tables() for row in table.read())
    return {value for row in rows for value in row.values.values() if isinstance(value, str)}


def _value(row: Mapping[str, Any], column: str | list[str]) -> Any:
    if isinstance(column, str):
        return None if (found := pick(row, column)) is MISSING else found
    return [_value(row, name) for name in column]


def _joined(rows: Iterable[TableRow], pivot: str, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pair every translation of a key with the pivot's text of that key, the first if there are several."""
    pivots: dict[Any, Any] = {}
    others: dict[Any, list[tuple[str, str, Any]]] = defaultdict(list)
    for where, row in rows:
        key, language, text = (row.get(role) for role in ("key", "language", "text"))
        if language is not None and same_language(str(language), pivot):
            pivots.setdefault(key, text)
        else:
            others[key].append((where, str(language), text))
    if not pivots:
        raise ValueError(f"{place} has no text in the pivot language {pivot}; name another with ?pivot=LANGUAGE")
    for key, translations in others.items():
        for where, language, text in translations:
            yield where, {"anchor": pivots.get(key), "positive": text, "language": language}


def _cropped(rows: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Make pairs of documents; one that gives none says why."""
    for place, row in rows:
        text = row.pop("document")
        if text is not None and not isinstance(text, str):
            yield place, {**row, "anchor": text, "positive": text}  # refused as any value that is no text
            continue
        pairs = list(crops(text or ""))
        yield from ((place, {**row, "anchor": anchor, "positive": positive}) for anchor, positive in pairs)
        if not pairs:
            yield place, {"left_out": "document too short for two pieces"}

"""Where training pairs come from: a Hub data set, parquet, jsonl, CSV or TSV, or a folder of such files.

A source is one string, `PLACE?role=column&...`, so that every source of a run can have columns of its own:

    pairs.jsonl                                        columns are found by their usual names
    qa.parquet?anchor=question&positive=context        or named; &negative= may be repeated
    ntrex.parquet?key=line&text=text&language=lang     translations of one line: each is paired with the pivot's text
    stories.parquet?document=text                      running text: two pieces of a document are a pair (see `crops`)
    notes?document=text                                the same of a folder of .txt, .md and .rst files
    sentence-transformers/all-nli?name=pair-class      a data set of the Hub, with its configuration
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ..search.documents import SUFFIXES as TEXT_SUFFIXES
from ..search.documents import read_documents
from .random_crops import crops

# CODEMOD section embeddings.pair_tables
# Opens what holds training pairs as a table: parquet, jsonl, CSV, TSV, folders of such files, data sets of the Hub.
#
# Trade-off: a file is read whole, as Arrow, and cleaned row by row in Python, which takes about half a minute for a
# million triplets; in return every row that is left out has a reason.


_READERS = (".parquet", ".jsonl", ".json", ".csv", ".tsv")


def open_table(
    place: str, name: str | None = None, split: str | None = None
) -> tuple[list[str], Iterable[dict[str, Any]]]:
    """Open a place.

    Args:
        place: File, folder or Hub id.
        name: Configuration of a Hub data set.
        split: Split of a Hub data set; "train" if left out.

    Returns:
        Its columns, and its rows as they are.

    Raises:
        FileNotFoundError: If there is no such file or data set.
        ValueError: If it cannot be read.
    """
    path = Path(place)
    if path.exists():
        files = table_files(path) if path.is_dir() else [path]
        if not files:
            raise ValueError(f"{path} holds no file of pairs; give {', '.join(_READERS)}")
        tables = [_read(file) for file in files]
        if len({tuple(table.column_names) for table in tables}) > 1:
            raise ValueError(f"the files of {path} have different columns; give them one by one")
        return tables[0].column_names, (row for table in tables for row in _table_rows(table))
    if path.suffix in _READERS or len(path.parts) != 2:
        raise FileNotFoundError(f"{path} is no file; give one, or a Hub id like sentence-transformers/all-nli")
    data = _hub(place, name, split or "train")
    return data.column_names, data


def table_files(folder: Path) -> list[Path]:
    """Find the tables of a folder.

    Args:
        folder: The folder, searched at any depth.

    Returns:
        Their paths, in order.
    """
    return sorted(file for file in folder.rglob("*") if _suffix(file))


def _suffix(path: Path) -> str | None:
    """Return the format of a file by its name, compressed or not."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    return next((suffix for suffix in _READERS if name.endswith(suffix)), None)


def _read(path: Path) -> Any:
    import pyarrow
    from pyarrow import csv, json, parquet

    kind = _suffix(path)
    try:
        if kind == ".parquet":
            return parquet.read_table(path)
        with pyarrow.input_stream(str(path), compression="detect") as stream:
            if kind in (".jsonl", ".json"):
                return json.read_json(stream, parse_options=json.ParseOptions(newlines_in_values=True))
            if kind in (".csv", ".tsv"):
                layout = csv.ParseOptions(delimiter="\t" if kind == ".tsv" else ",", newlines_in_values=True)
                return csv.read_csv(stream, parse_options=layout)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    raise ValueError(f"{path}: files of pairs end in {', '.join(_READERS)}, compressed or not")


def _table_rows(table: Any) -> Iterator[dict[str, Any]]:
    for batch in table.to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _hub(place: str, name: str | None, split: str) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(place, name, split=split)
    except Exception as error:  # datasets raises a dozen types for a set that is not there
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise FileNotFoundError(f"cannot load {place} from the Hub: {reason}") from error


# CODEMOD section embeddings.pair_sources
# Where training pairs come from: a Hub data set, parquet, jsonl, CSV or TSV, or a folder of such files.
#
# A source is one string, `PLACE?role=column&...`, so that every source of a run can have columns of its own:
#
#     pairs.jsonl                                        columns are found by their usual names
#     qa.parquet?anchor=question&positive=context        or named; &negative= may be repeated
#     ntrex.parquet?key=line&text=text&language=lang     translations of one line: each is paired with the pivot's text
#     stories.parquet?document=text                      running text: two pieces of a document are a pair (see `crops`)
#     notes?document=text                                the same of a folder of .txt, .md and .rst files
#     sentence-transformers/all-nli?name=pair-class      a data set of the Hub, with its configuration


# First match wins; names as in the sentence-transformers data sets of the Hub and in the usual QA and parallel files.
USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "anchor": ("anchor", "query", "question", "premise", "sentence1", "sentence_A", "english", "text_eng", "source"),
    "positive": (
        "positive", "pos", "passage", "document", "answer", "hypothesis", "sentence2", "sentence_B", "context",
        "translation", "non_english", "text", "target", "code",
    ),
    "negative": ("negative", "neg", "negatives"),
    "score": ("score", "similarity_score", "similarity"),
    "label": ("label", "gold_label"),
    "language": ("language", "lang"),
}  # fmt: skip
_ROLES = (*USUAL_NAMES, "key", "text", "document")
_OPTIONS = ("name", "split", "pivot")


@dataclass(frozen=True, slots=True)
class PairSource:
    """A parsed source.

    Attributes:
        place: File, folder or Hub id.
        columns: Column of each role that the user named; a list for several of negatives.
        name: Configuration of a Hub data set.
        split: Split of a Hub data set; in files, rows whose column `split` says so, where they have one.
        pivot: Language that translations of one key are paired with.
    """

    place: str
    columns: dict[str, str | list[str]]
    name: str | None = None
    split: str | None = None
    pivot: str = "eng_Latn"

    @classmethod
    def parse(cls, source: str) -> "PairSource":
        """Read `PLACE?role=column&...`.

        Args:
            source: The string.

        Returns:
            What it says.

        Raises:
            ValueError: If a role is unknown.
        """
        place, _, query = source.partition("?")
        named = parse_qsl(query, strict_parsing=True) if query else []
        given: dict[str, Any] = dict(named)
        if repeated := next((name for name in given if name != "negative" and len(_all(named, name)) > 1), None):
            raise ValueError(f"{source}: {repeated} is named twice; name one column for it")
        if len(negatives := _all(named, "negative")) > 1:
            given["negative"] = negatives
        if unknown := sorted(set(given) - {*_ROLES, *_OPTIONS}):
            raise ValueError(f"{source}: {unknown[0]!r} is no role of a column; use {', '.join((*_ROLES, *_OPTIONS))}")
        options: dict[str, Any] = {name: given.pop(name) for name in _OPTIONS if name in given}
        return cls(place, given, **options)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows, the columns renamed to the roles that they play.

        Yields:
            dict[str, Any]: Values by role: `anchor`, `positive`, `negative` (a list), `score`, `label`, `language`; or
                `left_out`, why there is no pair.

        Raises:
            FileNotFoundError: If there is no such file or data set.
            ValueError: If a file cannot be read or has not the columns.
        """
        if "document" in self.columns and self._is_text():
            yield from _cropped({"document": found.text} for found in read_documents(self.place))
            return
        names, table = self.table()
        roles = self._roles(names)
        chosen = (row for row in table if self.split is None or row.get("split", self.split) == self.split)
        if "key" in roles:
            yield from _joined(chosen, roles, self.pivot, self.place)
            return
        if "document" in roles:
            yield from _cropped({role: row.get(column) for role, column in roles.items()} for row in chosen)
            return
        for row in chosen:
            yield {role: _value(row, column) for role, column in roles.items()}

    def table(self) -> tuple[list[str], Iterable[dict[str, Any]]]:
        """Open the place, see `open_table`.

        Returns:
            Its columns, and its rows as they are.
        """
        return open_table(self.place, self.name, self.split)

    def _is_text(self) -> bool:
        """Tell a text file, or a folder of text files without a table among them."""
        path = Path(self.place)
        return path.suffix in TEXT_SUFFIXES or (path.is_dir() and not table_files(path))

    def _roles(self, names: list[str]) -> dict[str, Any]:
        """Return the column, or for negatives the columns, of every role."""
        taken: set[str] = set()
        for role, given in self.columns.items():
            for column in [given] if isinstance(given, str) else given:
                if column not in names:
                    raise ValueError(f"{self.place} has no column {column!r} for {role}; it has {', '.join(names)}")
                taken.add(column)
        roles: dict[str, Any] = dict(self.columns)
        shape = _shape(roles, self.place)
        wanted = tuple(USUAL_NAMES) if shape == "pair" else ("language",)
        for role in wanted:
            free = [name for name in USUAL_NAMES[role] if name in names and name not in taken]
            if role not in roles and free:
                roles[role] = free[0]
                taken.add(free[0])
        numbered = [name for name in names if name.rpartition("_")[0] == "negative" and name[9:].isdigit()]
        if shape == "pair" and numbered and "negative" not in roles:
            roles["negative"] = sorted(numbered, key=lambda name: int(name[9:]))
        needed = {"pair": ("anchor", "positive"), "key": ("language", "text"), "document": ()}[shape]
        if missing := [role for role in needed if role not in roles]:
            hint = f"{self.place}?{missing[0]}=COLUMN"
            raise ValueError(
                f"{self.place}: no column is the {missing[0]}; name it as {hint}, one of: {', '.join(names)}"
            )
        return roles


def _shape(roles: Mapping[str, Any], place: str) -> str:
    """Tell what a row is: a `pair`, a translation of a `key`, or a `document`."""
    found = [shape for shape in ("key", "document") if shape in roles]
    if len(found) > 1:
        raise ValueError(f"{place}: key joins translations, document cuts one text; name one of them")
    return found[0] if found else "pair"


def _all(named: list[tuple[str, str]], role: str) -> list[str]:
    return [value for name, value in named if name == role]


def read_texts(source: str) -> set[str]:
    """Read every text of a file or data set, whatever its column: what must not be trained on.

    Args:
        source: `PLACE?...`, as for pairs; the columns need no names.

    Returns:
        All strings in it.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it cannot be read.
    """
    parsed = PairSource.parse(source)
    return {value for row in parsed.table()[1] for value in row.values() if isinstance(value, str)}


def _value(row: dict[str, Any], column: str | list[str]) -> Any:
    return row.get(column) if isinstance(column, str) else [row.get(name) for name in column]


def _joined(
    rows: Iterable[dict[str, Any]], roles: Mapping[str, str], pivot: str, place: str
) -> Iterator[dict[str, Any]]:
    """Pair every translation of a key with the pivot's text of that key, the first if there are several."""
    pivots: dict[Any, Any] = {}
    others: dict[Any, list[tuple[str, Any]]] = defaultdict(list)
    for row in rows:
        key, language, text = (row[roles[role]] for role in ("key", "language", "text"))
        if language == pivot:
            pivots.setdefault(key, text)
        else:
            others[key].append((language, text))
    if not pivots:
        raise ValueError(f"{place} has no text in the pivot language {pivot}; name another with ?pivot=LANGUAGE")
    for key, translations in others.items():
        for language, text in translations:
            yield {"anchor": pivots.get(key), "positive": text, "language": language}


def _cropped(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Make pairs of documents; one that gives none says why."""
    for row in rows:
        text = row.pop("document")
        if text is not None and not isinstance(text, str):  # a column has one type: this is the first row
            yield {**row, "anchor": text, "positive": text}  # and is refused as any value that is no text
            continue
        pairs = list(crops(text or ""))
        yield from ({**row, "anchor": anchor, "positive": positive} for anchor, positive in pairs)
        if not pairs:
            yield {"left_out": "document too short for two pieces"}

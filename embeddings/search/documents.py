"""Documents to search: text files, rows of tables, or what a program yields; the skipped are counted.

A document has a name that stays the same between runs (the path as it was given, or the row's `id`), so that an index
knows what it holds already. Its text is what the file holds, with its own line ends.

Trade-off: what cannot be searched is either an error or skipped and counted, as the caller says. A blank document is
always skipped: its vector would be that of every other blank one, and near to short texts.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ...common.messages import option
from ...data.tables.base import MISSING, TableError, pick
from ...data.tables.files import BROKEN, format_of, is_rows, open_text, refusal
from ...data.tables.read import records

logger = logging.getLogger(__name__)

SUFFIXES = (".txt", ".md", ".rst")
LANGUAGE_COLUMNS = ("lang", "language", "lang_code", "language_code", "locale")  # their values are tags
_TEXT = ("text", "content", "body", "passage", "document", "sentence", "abstract", "article", "review", "description")
_LOOKED_AT = 50  # rows of a table that are looked at for the texts
_PART = re.compile(r"part-\d{4,}|\.part-\d{4,}\.partial")  # folders of an index of format 1


@dataclass(frozen=True, slots=True)
class Document:
    """One text to be found.

    Attributes:
        name: What tells it from others; the same between runs.
        text: The whole text.
        file: Where it was read, if its text is that file's; passages can then be looked up instead of stored.
        named: Whether somebody named it; otherwise its name is its number, which the next list has, too.
        columns: What else is known of it, to filter on and to show with hits, such as `lang`.
    """

    name: str
    text: str
    file: str | None = None
    named: bool = True
    columns: Mapping[str, Any] = field(default_factory=dict)


def read_documents(
    *places: str | Path, field: str | None = None, on_bad: Literal["raise", "skip"] = "raise"
) -> Iterator[Document]:
    """Read documents from folders, text files and tables.

    Args:
        *places: A folder stands for its .txt, .md and .rst files and its tables, at any depth, those of an index in it
            left out; a table (.jsonl, .parquet, .csv, ...) has a row per document, with its name under `id`
            or `_id` (the row's number if there is none) and its other values as columns. A `title` of BEIR's passages
            (`_id`, `title`, `text`) stands before the text. Tables of a folder that lack
            the field are left alone, with a warning, but for .jsonl and .parquet.
        field: Where the text alone is in a row, `a.b` inside a nested one. None: `text`, else a column of a usual name,
            else the one with the longest texts; which one it is is logged.
        on_bad: `raise` at a file or row that cannot be read; `skip`: pass it on as what it is, for the index to count.

    Returns:
        The documents, in the order of their paths. That a place exists is seen at once.

    Raises:
        FileNotFoundError: If a place does not exist.
        ValueError: If there is none, a folder holds no such file, or (while reading) a row or file is broken.
    """
    if not places:
        raise ValueError("got 0 places to read documents from; name a folder or a file")
    files: list[Path] = []
    for place in map(Path, places):
        if not place.exists():
            raise FileNotFoundError(f"{place} is no file or folder; name where the documents are")
        if place.is_file():
            files.append(place)
            continue
        found = [path for path in sorted(filter(_is_documents, place.rglob("*"))) if _has_field(path, field)]
        if asked := [path for path in found if path.name == "queries.jsonl" and path.with_name("qrels").is_dir()]:
            logger.warning("%s is left alone: the questions of BEIR are no documents", asked[0])
            found = [path for path in found if path not in asked]
        if not found:
            raise ValueError(f"{place} holds no {', '.join(SUFFIXES)} file and no table; name another folder")
        files += found
    if refused := next((path for path in files if path.suffix and "cannot be read" in refusal(path)), None):
        raise ValueError(refusal(refused))
    if tagged := next((path for path in files if format_of(path) == "conll"), None):
        raise ValueError(f"{tagged} has a word and its tags in a line; write the sentences as .txt or .jsonl")
    return _read(files, field, on_bad)


def _is_documents(path: Path) -> bool:
    """Tell a file of documents from others, and from the passages of an index that lies among them."""
    ours = path.name == "passages.jsonl" and _PART.fullmatch(path.parent.name)
    return format_of(path) not in (None, "conll") and not ours and is_rows(path)


def _has_field(path: Path, field: str | None) -> bool:
    """Tell whether a table of a folder is one of documents; a settings file beside notes is none."""
    if format_of(path) not in ("csv", "tsv", "json"):
        return True
    rows = _first_rows(path)
    if rows and (pick(rows[0], field) is not MISSING if field else _usual_name(rows)):
        return True
    logger.warning("%s is left alone: it has no column %r", path, field or _TEXT[0])
    return False


def _first_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        return [one.values for one in islice(records(path), _LOOKED_AT) if one.values is not None]
    except (*BROKEN, ValueError):  # said when the file is read
        return []


def _usual_name(rows: list[Mapping[str, Any]]) -> str | None:
    """The first usual name of a text column that the rows have."""
    there = {str(name).strip().lower(): name for name in rows[0] if isinstance(rows[0][name], str)}
    return next((there[name] for name in _TEXT if name in there), None)


def _has_title(path: Path) -> bool:
    """Tell a file of BEIR's passages, whose titles its benchmarks put before the texts."""
    rows = _first_rows(path)
    titled = any({"_id", "title", "text"} <= row.keys() and row["title"] for row in rows)
    if titled:
        taken = option("field", "text")
        logger.info("%s: each title stands before its text, as in BEIR; %s takes the texts alone", path, taken)
    return titled


def _text_column(path: Path) -> str:
    """Where the texts of a table are; `text` if nothing in it looks like them."""
    if not (rows := _first_rows(path)):
        return _TEXT[0]
    lengths = {name: sum(len(str(row.get(name) or "")) for row in rows) for name in rows[0]}
    words = [name for name in lengths if any(isinstance(row.get(name), str) and " " in row[name] for row in rows)]
    usual = _usual_name(rows)
    found = usual or max(words, key=lambda name: lengths[name], default=_TEXT[0])
    if usual is None and format_of(path) in ("csv", "tsv") and _is_row(list(rows[0]), found):
        names = ", ".join(rows[0])
        raise ValueError(
            f"{path}: its first line looks like a row ({names:.60}) and is none of the texts; name the columns "
            f"there, or say that it does, {option('field', f'{found!r:.40}')}"
        )
    if found != _TEXT[0] and found in lengths:
        logger.info("%s: its column %r is the text; %s names another", path, found, option("field", "COLUMN"))
    return found


def _is_row(names: list[str], text: str) -> bool:
    """Tell a first line that is a row: a comment, numbers beside words, or a sentence for the name of the texts."""
    numbers = sum(name.strip().lstrip("-").replace(".", "", 1).isdecimal() for name in names)
    sentence = text.count(" ") > 2 or text.rstrip()[-1:] in tuple(".!?。？！।")
    return names[0].startswith("#") or 0 < numbers < len(names) or sentence or (len(names) == 1 and " " in text)


def file_text(path: str | Path) -> str:
    """Read a text file as `read_documents` does: UTF-8, every character as it stands."""
    with open_text(Path(path)) as file:
        return file.read().decode("utf-8")


def _read(files: list[Path], field: str | None, on_bad: str) -> Iterator[Document]:
    for path in files:
        name, read = path.as_posix(), 0
        try:
            if format_of(path) in (None, "text", "conll"):
                yield Document(name, file_text(path), str(path.absolute()))
                continue
            for document in _rows(path, name, field or _text_column(path), on_bad, not field and _has_title(path)):
                read += 1
                yield document
        except (*BROKEN, TableError, UnicodeDecodeError) as broken:
            if on_bad == "raise":
                reason = f"cannot be read ({getattr(broken, 'strerror', None) or broken}); leave it out"
                if isinstance(broken, UnicodeDecodeError):
                    reason = f"not UTF-8 ({broken.reason}); convert the file first"
                elif isinstance(broken, TableError):
                    reason = str(broken)
                raise ValueError(f"{path}: {reason}, or skip it") from broken
            yield Document(f"{name}:{read + 1}" if read else name, None)  # type: ignore[arg-type] # counted as no text


def _rows(path: Path, name: str, field: str, on_bad: str, titled: bool) -> Iterator[Document]:
    for number, values, problem, detail in records(path):
        text, own, reason = None, None, problem and f"{problem} ({detail})"
        if values is not None:
            text, own = pick(values, field), values.get("id", values.get("_id"))  # BEIR has _id
            if text is MISSING:
                there = ", ".join(map(str, values)) or "nothing"
                reason = f"no {field!r} among {there}; name the right one, {option('field', 'COLUMN')}"
            elif not isinstance(text, str):
                reason = f"no text in {field!r}; name the right column, {option('field', 'COLUMN')}"
        if reason and on_bad == "raise":
            raise ValueError(f"{path}, row {number}: {reason}")
        text = None if text is MISSING else text
        if titled and values is not None and isinstance(text, str):
            text = f"{values.get('title') or ''} {text}".strip()
        columns = {key: value for key, value in (values or {}).items() if key not in (field, "id", "_id")}
        yield Document(f"{name}:{number}" if own is None else str(own), text, columns=columns)  # type: ignore[arg-type]

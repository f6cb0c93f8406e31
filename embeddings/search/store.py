"""An index on disk: one SQLite file, index.db, and memory-mapped vectors beside it.

    index.db            settings, documents, their columns, passages, FTS5's words, the parts that count, commits
    vectors-0001.npy    (passages, dimensions) float, of length 1, of one commit; vectors-0001.json says how it was made
    graph-0001.usearch  if one was asked for

The sizes and SHA-256 of the vectors and graphs are in index.db, and compared when they are opened, the bytes once per
process (a gigabyte takes about a second; MMBERT_VERIFY=0 leaves the bytes out).

One transaction adds or removes; SQLite's write-ahead log lets others read meanwhile, and a kill leaves the last commit.
A passage has one number for ever, which is its row in `passages` and in `words`; a part says which numbers its vectors
belong to. Trade-off: vectors of what was removed stay until `compact`; they are hidden, and cost time and space.
"""

import difflib
import json
import logging
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from ...common.files import known_sha256, read_json, replacing, sync_to_disk
from ...common.messages import did_you_mean
from ...languages.tags import choose_tags, same_language, tags_in_use
from .diff import Known, columns_as_json, digest
from .documents import LANGUAGE_COLUMNS, Document, file_text
from .model import IndexModel
from .nearest import Floats, Found, Ids, Mask, Part, best_of, build_graph, open_graph
from .passages import Passage
from .where import Filter
from .words import TOKENIZER, searchable

logger = logging.getLogger(__name__)

FILE = "index.db"
FORMAT = 2
_APPLICATION = 0x6D6D4254  # application_id of the file: mmBT
_COMPARED = 10_000  # names that a misspelt one is compared with
_MOST_TAGS = 5_000  # a column of more values is none of languages
_ANEW = "make the index again"
_SCHEMA = f"""
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE commits (number INTEGER PRIMARY KEY, time TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, about TEXT NOT NULL);
CREATE TABLE files (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE parts (number INTEGER PRIMARY KEY, first INTEGER NOT NULL, rows INTEGER NOT NULL, ids BLOB);
CREATE TABLE documents (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, file TEXT,
    columns TEXT NOT NULL, first INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE metadata (name TEXT NOT NULL, value NOT NULL, document INTEGER NOT NULL,
    PRIMARY KEY (name, value, document)) WITHOUT ROWID;
CREATE INDEX metadata_of_document ON metadata (document);
CREATE TABLE passages (id INTEGER PRIMARY KEY, document INTEGER NOT NULL, start INTEGER NOT NULL,
    "end" INTEGER NOT NULL, line INTEGER NOT NULL, text TEXT);
CREATE VIRTUAL TABLE words USING fts5(text, folded, content = '', tokenize = "{TOKENIZER}");
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, row);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {FORMAT}
"""
_REMOVE = (  # a document's passages have numbers of their own, one after the other
    "DELETE FROM passages WHERE id >= (SELECT first FROM documents WHERE name = ?1) "
    "AND id < (SELECT first + rows FROM documents WHERE name = ?1)",
    "DELETE FROM metadata WHERE document = (SELECT id FROM documents WHERE name = ?)",
    "DELETE FROM documents WHERE name = ?",
)


class IndexStore:
    """The files of an index: those that are there, or with `settings` those that the first transaction makes."""

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.folder, self.file = folder, folder / FILE
        self._lock, self._commit = threading.RLock(), -1
        self.parts: list[Part] = []
        self.rows = 0  # of all parts, hidden ones too
        self._mean: Any = None
        if settings is None and not self.file.is_file():
            if (folder / "index.json").is_file():
                raise ValueError(
                    f"{folder} is an index of an earlier version; convert it with `mmbert search compact {folder}`"
                )
            raise FileNotFoundError(
                f"{folder} holds no {FILE}; give an index, or make one with SearchIndex.build or `mmbert search index`"
            )
        folder.mkdir(parents=True, exist_ok=True)
        mode = "mode=rwc" if settings is not None else "mode=rw" if os.access(folder, os.W_OK) else "immutable=1"
        place = f"{self.file.absolute().as_uri()}?{mode}"
        with self._one_line():
            self._db = sqlite3.connect(place, uri=True, isolation_level=None, check_same_thread=False)
            self.is_new = not self._one("SELECT count(*) FROM sqlite_master")
            if settings is not None:
                self._one("PRAGMA journal_mode = WAL")
                self.settings = settings
            else:
                self.settings = self._checked_settings()
                self._load()

    def close(self) -> None:
        """Close the file; the write-ahead log is put into it where nobody else has it open."""
        self._db.close()

    def _checked_settings(self) -> dict[str, Any]:
        """The settings; a file that is no index of this version is refused."""
        if self.is_new:
            raise FileNotFoundError(f"{self.file} holds nothing yet: the call that makes the index has not ended")
        if self._one("PRAGMA application_id") != _APPLICATION:
            raise ValueError(f"{self.file} is a SQLite file of another program; name another folder")
        if (version := self._one("PRAGMA user_version")) != FORMAT:
            raise ValueError(f"{self.file} has format {version}, this version reads {FORMAT}; {_ANEW}")
        try:
            found = {name: json.loads(value) for name, value in self._all("SELECT * FROM settings")}
            IndexModel(**found["model"]).check_types()
            np.dtype(found["dtype"])
            found["cut"], found["graph"], found["keep_texts"]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"the settings in {self.file} are broken ({error}); {_ANEW}") from None
        return found

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise ValueError(f"{self.file} is being written by another program; wait until it is done") from None
            raise OSError(f"{self.file} cannot be used ({error}); see to the disk, or {_ANEW}") from None
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.file} is damaged or no index ({error}); {_ANEW}") from None

    # Reading

    def _all(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a question to the file."""
        with self._lock, self._one_line():
            try:
                return self._db.execute(sql, values).fetchall()
            except UnicodeDecodeError as error:  # of a message of SQLite's own, or of a text: bytes were changed
                raise sqlite3.DatabaseError(error) from None

    def _one(self, sql: str, *values: Any) -> Any:
        """The first value of the first row; None if there is no row."""
        return next((row[0] for row in self._all(sql, *values)), None)

    @contextmanager
    def _begun(self, how: str) -> Iterator[None]:
        """Let the block see one state of the file; what it does not commit is undone."""
        with self._lock, self._one_line():
            self._db.execute(f"BEGIN {how}")
            try:
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the index, the newest, whatever others write meanwhile."""
        with self._begun("DEFERRED"):
            self._load()
            yield

    def _load(self) -> None:
        """Open the vectors that count in the newest commit, if they are not open."""
        newest = self._one("SELECT coalesce(max(number), 0) FROM commits")
        if newest == self._commit:
            return
        spans, parts = self._spans(), []
        for number, first, rows, blob in self._all("SELECT * FROM parts ORDER BY number"):
            place, graph = self.vectors(number), self._graph(number)
            self._verify(place)
            try:
                vectors = np.load(place, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError, SyntaxError) as error:
                raise ValueError(f"{place} cannot be read ({' '.join(str(error).split())}); {_ANEW}") from None
            ids = np.arange(first, first + rows) if blob is None else np.frombuffer(blob, np.int64)
            parts.append(Part(ids, vectors, _within(ids, spans), open_graph(graph) if self._verify(graph) else None))
        self.parts, self.rows = parts, sum(len(part.ids) for part in parts)
        self._commit, self._mean = newest, None

    def _verify(self, path: Path) -> bool:
        """Compare a file with what was recorded of it: its size, and once per process its bytes."""
        recorded = self._all("SELECT bytes, sha256 FROM files WHERE name = ?", path.name)
        for size, digits in recorded:
            try:
                if (found := path.stat().st_size) != size:
                    raise ValueError(f"{path} has {found:,} bytes instead of {size:,}; restore it, or {_ANEW}")
                if os.environ.get("MMBERT_VERIFY") != "0" and known_sha256(path) != digits:
                    raise ValueError(f"{path}: its bytes are not those that were written; restore it, or {_ANEW}")
            except OSError as error:
                raise ValueError(f"{path} cannot be read ({error.strerror}); restore it, or {_ANEW}") from None
        return bool(recorded)

    def _spans(self, condition: str = "1", values: Sequence[Any] = ()) -> Ids:
        """First number and count of the passages of each document, ascending."""
        found = self._all(f"SELECT first, rows FROM documents WHERE {condition} ORDER BY first", *values)
        return np.asarray(found, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return int(self._one("SELECT coalesce(sum(rows), 0) FROM documents"))

    def ids(self) -> Ids:
        """Numbers of the passages that count, in the order of their vectors."""
        return np.concatenate([np.empty(0, np.int64), *(part.ids[part.alive] for part in self.parts)])

    def _alive(self) -> Iterator[Any]:
        """The vectors of `ids`, some thousand at a time."""
        for part in self.parts:
            for rows in np.array_split(np.flatnonzero(part.alive), len(part.ids) // 65_536 + 1):
                yield part.vectors[rows]

    def names(self) -> list[str]:
        """Names of all documents, in order."""
        return [name for (name,) in self._all("SELECT name FROM documents ORDER BY name")]

    def known(self, name: str) -> Known | None:
        """Digest and columns of a document; None if there is none of this name."""
        return next(iter(self._all("SELECT digest, columns FROM documents WHERE name = ?", name)), None)

    def columns(self) -> list[str]:
        """Names of the columns that some document has."""
        return [name for (name,) in self._all("SELECT DISTINCT name FROM metadata ORDER BY name")]

    def values(self, column: str, most: int = 1_000) -> list[tuple[Any, int]]:
        """The commonest values of a column, with the number of documents."""
        sql = "SELECT value, count(*) FROM metadata WHERE name = ? GROUP BY value ORDER BY 2 DESC, 1 LIMIT ?"
        return self._all(sql, column, most)

    def filter(self, text: str) -> Filter:
        """Read a filter; one on a column that no document has is refused."""
        where = Filter(text, self._tags_like)
        known = self.columns() if where.columns else []
        if (name := next((one for one in where.columns if one not in known), None)) is not None:
            raise ValueError(f"{self.folder} has no column {name!r} to filter on; {did_you_mean(name, known)}")
        return where

    def _tags_like(self, column: str, tag: str) -> list[str]:
        """The values of a language's column that mean one language, however it is written; the tag itself if none."""
        used = self._tags(column)
        found = [one for one, own in used.items() if one == tag or same_language(tag, own)]
        if read := sorted({used[one] for one in found} - {tag}):
            logger.warning(
                "the filter: language tags are read as mmBERT writes them: %s as %s.", tag, " and ".join(read)
            )
        if used and not found:
            try:
                choose_tags([tag], used, f"the filter: {self.folder}", f"has no {column} '{{}}'")
            except ValueError as error:
                logger.warning("%s", error)
        return found or [tag]

    def _tags(self, column: str, where: Path | None = None) -> dict[str, str]:
        """The values of a language's column and the tags in use; none where they are too many for languages."""
        sql = "SELECT DISTINCT value FROM metadata WHERE name = ? AND typeof(value) = 'text' LIMIT ?"
        there = [value for (value,) in self._all(sql, column, _MOST_TAGS + 1)]
        return tags_in_use(where, there, apart=False) if len(there) <= _MOST_TAGS else {}

    def nearest(self, query: Floats, count: int, where: Filter | None) -> Found:
        """The nearest passages that a filter lets through, with their scores."""
        spans = None if where is None else self._spans(where.sql, where.values)
        masks = (one.alive if spans is None else one.alive & _within(one.ids, spans) for one in self.parts)
        return best_of([part.nearest(query, count, mask) for part, mask in zip(self.parts, masks, strict=True)], count)

    def with_words(self, expression: str, count: int, where: Filter | None) -> list[int]:
        """Numbers of the passages that an expression of FTS5 finds, the best (BM25) first."""
        more, values = ("", []) if where is None else (f"AND {where.sql}", where.values)
        sql = (
            "SELECT words.rowid FROM words CROSS JOIN passages ON passages.id = words.rowid "
            f"CROSS JOIN documents ON documents.id = passages.document WHERE words MATCH ? {more} "
            "ORDER BY bm25(words, 1.0, 0.5), words.rowid LIMIT ?"
        )
        return [number for (number,) in self._all(sql, expression, *values, count)]

    def frequency(self, word: str) -> int:
        """In how many passages a word stands."""
        return int(self._one("SELECT doc FROM vocabulary WHERE term = ?", word) or 0)

    def mean(self) -> Floats:
        """The mean of the vectors that count, computed once per commit."""
        if self._mean is None:
            sums = (np.asarray(some, np.float32).sum(axis=0) for some in self._alive())
            total = sum(sums, np.zeros(self.settings["model"]["dimensions"], np.float32))
            self._mean = total / max(1, len(self.ids()))
        mean: Floats = self._mean
        return mean

    def vectors_of(self, ids: Sequence[int]) -> Floats:
        """The vectors of some passages."""
        found = np.zeros((len(ids), self.settings["model"]["dimensions"]), np.float32)
        for part in self.parts:
            rows = np.minimum(np.searchsorted(part.ids, ids), len(part.ids) - 1)
            own = part.ids[rows] == ids
            found[own] = part.vectors[rows[own]]
        return found

    def passages(self, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
        """What a hit shows of passages, by their numbers."""
        names = ("document", "file", "columns", "line", "start", "end", "text")
        sql = (
            'SELECT passages.document, digest, name, file, columns, line, start, "end", text FROM passages '
            "JOIN documents ON documents.id = passages.document WHERE passages.id = ?"
        )
        tags = f"SELECT name, value FROM metadata WHERE document = ? AND name IN {LANGUAGE_COLUMNS}"
        found = {}
        for number in ids:
            if not (rows := self._all(sql, number)):
                raise ValueError(f"{self.file} is damaged: passage {number} has a vector and no row; {_ANEW}")
            document, text_digest, *values = rows[0]
            passage = dict(zip(names, values, strict=True))
            passage["columns"] = json.loads(passage["columns"]) | dict(self._all(tags, document))
            if passage["text"] is None:
                passage["text"] = _looked_up(passage, text_digest)
            found[number] = passage
        return found

    # Writing

    @contextmanager
    def transaction(self, about: dict[str, Any]) -> Iterator[int]:
        """Change the index, whole or not at all; yields the number of the next part."""
        with self._begun("IMMEDIATE"):
            if self.is_new:
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                settings = [(name, json.dumps(value)) for name, value in self.settings.items()]
                self._db.executemany("INSERT INTO settings VALUES (?, ?)", settings)
            before = self._db.total_changes
            yield self._one("SELECT coalesce(max(number), 0) + 1 FROM parts")
            if self._db.total_changes != before:
                self._db.execute("INSERT INTO commits (about) VALUES (?)", [json.dumps(about)])
                self._db.execute("COMMIT")
                self.is_new = False
                self._load()

    def next_id(self) -> int:
        """Number of the next passage; those of removed ones do not come again."""
        return int(self._one("SELECT coalesce(max(first + rows), 1) FROM parts"))

    def put(self, document: Document, text_digest: str, first: int, passages: Sequence[Passage]) -> None:
        """Write a document, in the place of one of its name, with its passages and their words."""
        self.remove([document.name])
        row = (None, document.name, text_digest, document.file, columns_as_json(document), first, len(passages))
        number = self._db.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)", row).lastrowid
        columns = [(str(name), _plain(value), number) for name, value in document.columns.items() if value is not None]
        self._db.executemany("INSERT OR IGNORE INTO metadata VALUES (?, ?, ?)", columns)
        rows = [
            (place, number, one.start, one.end, one.line, one.text if self.settings["keep_texts"] else None)
            for place, one in enumerate(passages, start=first)
        ]
        self._db.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._index_words((place, one.text) for place, one in enumerate(passages, start=first))

    def read_tags(self) -> None:
        """Write languages as mmBERT does in what filters compare and hits show; `columns` stay as they came."""
        for column in LANGUAGE_COLUMNS:
            changed = [(own, column, one) for one, own in self._tags(column, self.folder).items() if one != own]
            self._db.executemany("UPDATE metadata SET value = ? WHERE name = ? AND value = ?", changed)

    def _index_words(self, texts: Iterable[tuple[int, str]]) -> None:
        rows = ((number, *searchable(text)) for number, text in texts)
        self._db.executemany("INSERT INTO words (rowid, text, folded) VALUES (?, ?, ?)", rows)

    def remove(self, names: Sequence[str]) -> None:
        """Let documents, where they are there, not be found any more."""
        for statement in _REMOVE:
            self._db.executemany(statement, [[name] for name in names])

    def refuse_unknown(self, names: Iterable[str]) -> None:
        """Refuse names of no document, with one that is like the first of them."""
        if (unknown := next((name for name in names if self.known(name) is None), None)) is not None:
            near = difflib.get_close_matches(unknown, self.names()[:_COMPARED], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"{self.folder} holds no document {unknown!r}{hint}; give names as hits show them")

    def add_part(self, number: int, first: int, rows: int, ids: Ids | None = None) -> None:
        """Let the vectors of a file count: of `rows` passages from `first` on, or of `ids`."""
        files = [self.vectors(number)]
        if self.settings["graph"]:
            files.append(self._graph(number))
            build_graph(np.load(files[0], mmap_mode="r"), files[1])
        recorded = [(path.name, path.stat().st_size, known_sha256(path)) for path in files]
        self._db.executemany("INSERT INTO files VALUES (?, ?, ?)", recorded)
        blob = None if ids is None else ids.tobytes()
        self._db.execute("INSERT INTO parts VALUES (?, ?, ?, ?)", [number, first, rows, blob])

    def vectors(self, number: int) -> Path:
        """File of the vectors of a part."""
        return self.folder / f"vectors-{number:04d}.npy"

    def _graph(self, number: int) -> Path:
        return self.folder / f"graph-{number:04d}.usearch"

    def compact(self) -> None:
        """Write anew what counts, in one part, and give back the space of what was removed."""
        with self.transaction({"compacted": True}) as newest:
            next_id, ids = self.next_id(), self.ids()
            self.read_tags()
            shape = (len(ids), self.settings["model"]["dimensions"])
            with replacing(self.vectors(newest)) as partial, partial.open("wb") as file:
                header = {"descr": np.dtype(self.settings["dtype"]).str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                file.writelines(np.ascontiguousarray(some).tobytes() for some in self._alive())
            self._db.execute("DELETE FROM parts")
            self._db.execute("DELETE FROM files")
            self.add_part(newest, next_id - len(ids), len(ids), ids)
            if self.settings["keep_texts"]:
                self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
                self._index_words(self._db.execute("SELECT id, text FROM passages ORDER BY id"))
        with self._one_line():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for path in self.folder.glob("*-[0-9][0-9][0-9][0-9].*"):
            kind, _, number = path.stem.partition("-")
            if kind in ("vectors", "graph") and int(number) < newest:
                with suppress(OSError):  # a reader has it open
                    path.unlink()


def convert(folder: Path) -> IndexStore:
    """Make an index of format 1 (index.json and folders of parts) one of this format, with the same vectors."""
    manifest = read_json(folder / "index.json")
    try:
        store = IndexStore(folder, {name: manifest[name] for name in ("model", "cut", "keep_texts", "dtype", "graph")})
        with store.transaction({"converted from format": manifest["format"]}):
            for number, entry in enumerate(manifest["parts"], start=1):
                place, first = folder / entry["name"], store.next_id()
                shutil.copyfile(place / "vectors.npy", store.vectors(number))
                sync_to_disk(store.vectors(number))
                lines = np.load(place / "lines.npy", allow_pickle=False)
                with (place / "passages.jsonl").open("rb") as file:
                    for name, (text_digest, begin, rows) in read_json(place / "documents.json").items():
                        file.seek(int(lines[begin]))
                        found = [json.loads(file.readline()) for _ in range(rows)]
                        texts = [row.get("text") or _looked_up(row, text_digest) or "" for row in found]
                        places = [(row["start"], row["end"], row["line"]) for row in found]
                        passages = [Passage(text, *place) for text, place in zip(texts, places, strict=True)]
                        store.put(Document(name, "", found[0]["file"]), text_digest, first + begin, passages)
                store.remove(entry.get("removed", []))
                store.add_part(number, first, len(lines) - 1)
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{folder} cannot be converted ({error}); make the index again") from None
    for entry in manifest["parts"]:
        shutil.rmtree(folder / entry["name"], ignore_errors=True)
    (folder / "index.json").unlink()
    return store


def _looked_up(passage: dict[str, Any], text_digest: str) -> str | None:
    """A passage that is not stored, from its file; None if that has changed."""
    try:
        text = file_text(passage["file"])
    except (OSError, UnicodeDecodeError, TypeError):
        return None
    return text[passage["start"] : passage["end"]] if digest(text) == text_digest else None


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False, default=str)


def _within(ids: Ids, spans: Ids) -> Mask:
    """Which numbers lie in spans of (first, count), ascending."""
    if not len(spans):
        return np.zeros(len(ids), np.bool_)
    near = np.searchsorted(spans[:, 0], ids, side="right") - 1
    inside: Mask = (near >= 0) & (ids < spans[near, 0] + spans[near, 1])
    return inside

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
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...common.files import known_sha256, read_json, replacing, sync_to_disk
from ...common.messages import did_you_mean
from ...languages.tags import choose_tags, same_language, tags_in_use
from .diff import Known, columns_as_json, digest
from .documents import LANGUAGE_COLUMNS, Document, file_text
from .model import IndexModel
from .nearest import Floats, build_graph, compare_all, merge, open_graph, walk_graph
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

Ids = npt.NDArray[np.int64]


@dataclass(slots=True)
class Part:
    """Vectors of one commit: `ids` of their passages, ascending, and which of them count."""

    ids: Ids
    vectors: Any
    alive: npt.NDArray[np.bool_]
    graph: Any

    def nearest(self, queries: Floats, count: int, allowed: npt.NDArray[np.bool_]) -> list[tuple[Ids, Floats]]:
        """The nearest of the vectors that are allowed, as (ids, scores) per query."""
        chosen = int(allowed.sum())
        if chosen < len(allowed) // 4:
            rows = np.flatnonzero(allowed)
            return [(self.ids[rows[near]], scores) for near, scores in compare_all(self.vectors[rows], queries, count)]
        hidden = None if chosen == len(allowed) else ~allowed
        if self.graph is not None:
            found = walk_graph(self.graph, self.vectors, queries, count, hidden)
        else:
            found = compare_all(self.vectors, queries, count, hidden)
        return [(self.ids[near], scores) for near, scores in found]


class IndexStore:
    """The files of an index.

    Args:
        folder: Where they lie.
        settings: Of an index that is to be made by the first transaction; None: open the one that is there.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged, foreign, or of another version.
    """

    def __init__(self, folder: Path, settings: dict[str, Any] | None = None) -> None:
        self.folder, self.file = folder, folder / FILE
        self._lock, self._commit = threading.RLock(), 0
        self.parts: list[Part] = []
        self._mean: tuple[int, Floats] = -1, np.empty(0, np.float32)
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
        with self._one_line():
            self._db = sqlite3.connect(
                f"{self.file.absolute().as_uri()}?{mode}", uri=True, isolation_level=None, check_same_thread=False
            )
            self.is_new = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if settings is not None:
                self._db.execute("PRAGMA journal_mode = WAL")
                self.settings = settings
                return
            self._check()
            self.settings = self._settings()
            self._load()

    def close(self) -> None:
        """Close the file; the write-ahead log is put into it where nobody else has it open."""
        self._db.close()

    def _check(self) -> None:
        if self.is_new:
            raise FileNotFoundError(f"{self.file} holds nothing yet: the call that makes the index has not ended")
        kind, version = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if kind != _APPLICATION:
            raise ValueError(f"{self.file} is a SQLite file of another program; name another folder")
        if version != FORMAT:
            raise ValueError(f"{self.file} has format {version}, this version reads {FORMAT}; make the index again")

    def _settings(self) -> dict[str, Any]:
        try:
            found = {name: json.loads(value) for name, value in self._db.execute("SELECT * FROM settings")}
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
            raise OSError(f"{self.file} cannot be used ({error}); see to the disk, or make the index again") from None
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.file} is damaged or no index ({error}); make the index again") from None

    # Reading

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the index, the newest, whatever others write meanwhile."""
        with self._lock, self._one_line():
            self._db.execute("BEGIN")
            try:
                newest = self._db.execute("SELECT max(number) FROM commits").fetchone()[0]
                if newest != self._commit:
                    self._load()
                yield
            finally:
                self._db.execute("ROLLBACK")

    def _load(self) -> None:
        """Open the vectors of the parts that count."""
        self._commit = self._db.execute("SELECT max(number) FROM commits").fetchone()[0] or 0
        spans = self._spans("")
        self.parts = []
        for number, first, rows, blob in self._db.execute("SELECT * FROM parts ORDER BY number").fetchall():
            place, graph = self.vectors(number), self._graph(number)
            self._verify(place)
            try:
                vectors = np.load(place, mmap_mode="r", allow_pickle=False)
            except (ValueError, EOFError, SyntaxError) as error:
                raise ValueError(f"{place} cannot be read ({' '.join(str(error).split())}); {_ANEW}") from None
            ids = np.arange(first, first + rows) if blob is None else np.frombuffer(blob, np.int64)
            has_graph = self._verify(graph)
            self.parts.append(Part(ids, vectors, _within(ids, spans), open_graph(graph) if has_graph else None))

    def _verify(self, path: Path) -> bool:
        """Compare a file with what was recorded of it: its size, and once per process its bytes."""
        recorded = self._db.execute("SELECT bytes, sha256 FROM files WHERE name = ?", [path.name]).fetchone()
        if recorded is None:
            return False
        try:
            size = path.stat().st_size
            if size != recorded[0]:
                raise ValueError(f"{path} has {size:,} bytes instead of {recorded[0]:,}; restore it, or {_ANEW}")
            if os.environ.get("MMBERT_VERIFY") != "0" and known_sha256(path) != recorded[1]:
                raise ValueError(f"{path}: its bytes are not those that were written; restore it, or {_ANEW}")
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}); restore it, or {_ANEW}") from None
        return True

    def _spans(self, condition: str, values: Sequence[Any] = ()) -> Ids:
        """First number and count of the passages of each document, ascending."""
        found = self._db.execute(f"SELECT first, rows FROM documents {condition} ORDER BY first", values).fetchall()
        return np.asarray(found, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        with self._one_line():
            return int(self._db.execute("SELECT coalesce(sum(rows), 0) FROM documents").fetchone()[0])

    def names(self) -> list[str]:
        """Names of all documents, in order."""
        with self._one_line():
            return sorted(name for (name,) in self._db.execute("SELECT name FROM documents"))

    def known(self, name: str) -> Known | None:
        """Digest and columns of a document; None if there is none of this name."""
        found: Known | None = self._db.execute(
            "SELECT digest, columns FROM documents WHERE name = ?", [name]
        ).fetchone()
        return found

    def columns(self) -> list[str]:
        """Names of the columns that some document has."""
        with self._one_line():
            return [name for (name,) in self._db.execute("SELECT DISTINCT name FROM metadata ORDER BY name")]

    def values(self, column: str, most: int = 1_000) -> list[tuple[Any, int]]:
        """The commonest values of a column, with the number of documents."""
        with self._lock, self._one_line():
            return self._db.execute(
                "SELECT value, count(*) FROM metadata WHERE name = ? GROUP BY value ORDER BY 2 DESC, 1 LIMIT ?",
                [column, most],
            ).fetchall()

    def check_filter(self, where: Filter) -> None:
        """Refuse a filter on a column that no document has."""
        known = self.columns() if where.columns else []
        for name in where.columns:
            if name not in known:
                raise ValueError(f"{self.folder} has no column {name!r} to filter on; {did_you_mean(name, known)}")

    def tags_like(self, column: str, tag: str) -> list[str]:
        """The values of a language's column that mean one language, however it is written; the tag itself if none."""
        with self._lock, self._one_line():
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
        there = [value for (value,) in self._db.execute(sql, [column, _MOST_TAGS + 1])]
        return tags_in_use(where, there, apart=False) if len(there) <= _MOST_TAGS else {}

    def nearest(self, queries: Floats, count: int, where: Filter | None) -> list[tuple[Ids, Floats]]:
        """The nearest passages of all parts that a filter lets through: (ids, cosines) per query."""
        spans = None if where is None else self._spans(f"WHERE {where.sql}", where.values)
        found: list[list[tuple[Ids, Floats]]] = [[(np.empty(0, np.int64), np.empty(0, np.float32))] for _ in queries]
        for part in self.parts:
            allowed = part.alive if spans is None else part.alive & _within(part.ids, spans)
            for own, one in zip(found, part.nearest(queries, count, allowed), strict=True):
                own.append(one)
        return [merge(own, count) for own in found]

    def with_words(self, expression: str, count: int, where: Filter | None) -> list[int]:
        """Numbers of the passages that an expression of FTS5 finds, the best (BM25) first."""
        more, values = ("", []) if where is None else (f"AND {where.sql}", where.values)
        rows = self._db.execute(
            "SELECT words.rowid FROM words CROSS JOIN passages ON passages.id = words.rowid "
            f"CROSS JOIN documents ON documents.id = passages.document WHERE words MATCH ? {more} "
            "ORDER BY bm25(words, 1.0, 0.5), words.rowid LIMIT ?",
            [expression, *values, count],
        )
        return [number for (number,) in rows]

    def frequency(self, word: str) -> int:
        """In how many passages a word stands."""
        found = self._db.execute("SELECT doc FROM vocabulary WHERE term = ?", [word]).fetchone()
        return int(found[0]) if found else 0

    def mean(self) -> Floats:
        """The mean of the vectors that count, computed once per commit."""
        if self._mean[0] != self._commit:
            total = np.zeros(self.settings["model"]["dimensions"], np.float32)
            for part in self.parts:
                for rows in np.array_split(np.flatnonzero(part.alive), len(part.ids) // 65_536 + 1):
                    total += np.asarray(part.vectors[rows], np.float32).sum(axis=0)
            total /= max(1, sum(int(part.alive.sum()) for part in self.parts))
            self._mean = self._commit, total
        return self._mean[1]

    def vectors_of(self, ids: Sequence[int]) -> Floats:
        """The vectors of some passages."""
        found = np.zeros((len(ids), self.settings["model"]["dimensions"]), np.float32)
        for part in self.parts:
            rows = np.minimum(np.searchsorted(part.ids, ids), len(part.ids) - 1)
            own = part.ids[rows] == ids
            found[own] = part.vectors[rows[own]]
        return found

    def passages(self, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """What a hit shows of passages, by their numbers."""
        names = ("document", "file", "columns", "line", "start", "end", "text")
        sql = (
            'SELECT passages.document, digest, name, file, columns, line, start, "end", text FROM passages '
            "JOIN documents ON documents.id = passages.document WHERE passages.id = ?"
        )
        found = {}
        for number in map(int, ids):
            row = self._db.execute(sql, [number]).fetchone()
            if row is None:
                raise ValueError(f"{self.file} is damaged: passage {number} has a vector and no row; {_ANEW}")
            passage = dict(zip(names, row[2:], strict=True))
            passage["columns"] = json.loads(passage["columns"])
            passage["columns"] |= self._db.execute(
                f"SELECT name, value FROM metadata WHERE document = ? AND name IN {LANGUAGE_COLUMNS}", [row[0]]
            ).fetchall()
            if passage["text"] is None:
                passage["text"] = _looked_up(passage, row[1])
            found[number] = passage
        return found

    # Writing

    @contextmanager
    def transaction(self, about: dict[str, Any]) -> Iterator[int]:
        """Change the index, whole or not at all."""
        with self._lock, self._one_line():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                if self.is_new:
                    for statement in _SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    settings = [(name, json.dumps(value)) for name, value in self.settings.items()]
                    self._db.executemany("INSERT INTO settings VALUES (?, ?)", settings)
                number = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM parts").fetchone()[0]
                changed = self._db.total_changes
                yield number
                if self._db.total_changes == changed:
                    self._db.execute("ROLLBACK")
                    return
                self._db.execute("INSERT INTO commits (about) VALUES (?)", [json.dumps(about)])
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            self.is_new = False
            self._load()

    def next_id(self) -> int:
        """Number of the next passage; those of removed ones do not come again."""
        return int(self._db.execute("SELECT coalesce(max(first + rows), 1) FROM parts").fetchone()[0])

    def put(
        self, document: Document, text_digest: str, first: int, passages: Sequence[Passage], *, keep_text: bool
    ) -> None:
        """Write a document, in the place of one of its name, with its passages and their words."""
        self.remove([document.name])
        row = [document.name, text_digest, document.file, columns_as_json(document), first, len(passages)]
        number = self._db.execute(
            "INSERT INTO documents (name, digest, file, columns, first, rows) VALUES (?, ?, ?, ?, ?, ?)", row
        ).lastrowid
        columns = [(str(name), _plain(value), number) for name, value in document.columns.items() if value is not None]
        self._db.executemany("INSERT OR IGNORE INTO metadata VALUES (?, ?, ?)", columns)
        rows = [
            (first + place, number, one.start, one.end, one.line, one.text if keep_text else None)
            for place, one in enumerate(passages)
        ]
        self._db.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._index_words((first + place, one.text) for place, one in enumerate(passages))

    def read_tags(self) -> None:
        """Write languages as mmBERT does in what filters compare and hits show; `columns` stay as they came."""
        for column in LANGUAGE_COLUMNS:
            changed = [(own, column, one) for one, own in self._tags(column, self.folder).items() if one != own]
            self._db.executemany("UPDATE metadata SET value = ? WHERE name = ? AND value = ?", changed)

    def _index_words(self, texts: Iterable[tuple[int, str]]) -> None:
        rows = ((number, *searchable(text)) for number, text in texts)
        self._db.executemany("INSERT INTO words (rowid, text, folded) VALUES (?, ?, ?)", rows)

    def remove(self, names: Iterable[str]) -> None:
        """Let documents, where they are there, not be found any more."""
        for name in names:
            found = self._db.execute("SELECT id, first, rows FROM documents WHERE name = ?", [name]).fetchone()
            if found is not None:
                self._db.execute("DELETE FROM passages WHERE id BETWEEN ? AND ?", [found[1], found[1] + found[2] - 1])
                self._db.execute("DELETE FROM metadata WHERE document = ?", [found[0]])
                self._db.execute("DELETE FROM documents WHERE id = ?", [found[0]])

    def refuse_unknown(self, names: Collection[str]) -> None:
        """Refuse names of no document, with one that is like the first of them."""
        if (unknown := next((name for name in names if self.known(name) is None), None)) is not None:
            near = difflib.get_close_matches(unknown, self.names()[:_COMPARED], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"{self.folder} holds no document {unknown!r}{hint}; give names as hits show them")

    def add_part(self, number: int, first: int, rows: int, ids: Ids | None = None) -> None:
        """Let the vectors of a file count."""
        if self.settings["graph"]:
            build_graph(np.load(self.vectors(number), mmap_mode="r"), self._graph(number))
        for path in [self.vectors(number), *([self._graph(number)] if self.settings["graph"] else [])]:
            recorded = [path.name, path.stat().st_size, known_sha256(path)]
            self._db.execute("INSERT INTO files VALUES (?, ?, ?)", recorded)
        blob = None if ids is None else ids.astype(np.int64).tobytes()
        self._db.execute("INSERT INTO parts VALUES (?, ?, ?, ?)", [number, first, rows, blob])

    def vectors(self, number: int) -> Path:
        """File of the vectors of a part."""
        return self.folder / f"vectors-{number:04d}.npy"

    def _graph(self, number: int) -> Path:
        return self.folder / f"graph-{number:04d}.usearch"

    def compact(self) -> None:
        """Write anew what counts, in one part, and give back the space of what was removed."""
        next_id = 0
        with self.transaction({"compacted": True}) as number:
            next_id = self.next_id()
            self.read_tags()
            ids = np.concatenate([part.ids[part.alive] for part in self.parts] or [np.empty(0, np.int64)])
            shape = (len(ids), self.settings["model"]["dimensions"])
            with replacing(self.vectors(number)) as partial, partial.open("wb") as file:
                header = {"descr": np.dtype(self.settings["dtype"]).str, "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, header)
                for part in self.parts:
                    for rows in np.array_split(np.flatnonzero(part.alive), len(part.ids) // 65_536 + 1):
                        file.write(np.ascontiguousarray(part.vectors[rows]).tobytes())
            self._db.execute("DELETE FROM parts")
            self._db.execute("DELETE FROM files")
            self.add_part(number, next_id - len(ids), len(ids), ids)
            if self.settings["keep_texts"]:
                self._db.execute("INSERT INTO words (words) VALUES ('delete-all')")
                with closing(self._db.cursor()) as cursor:
                    self._index_words(cursor.execute("SELECT id, text FROM passages ORDER BY id"))
        with self._one_line():
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove vectors and graphs of parts that do not count any more."""
        count = {number for (number,) in self._db.execute("SELECT number FROM parts")}
        for path in self.folder.glob("*-[0-9][0-9][0-9][0-9].*"):
            kind, _, number = path.stem.partition("-")
            if kind in ("vectors", "graph") and int(number) not in count and int(number) < max(count, default=0):
                with suppress(OSError):  # a reader has it open
                    path.unlink()


def convert(folder: Path) -> IndexStore:
    """Make an index of format 1 (index.json and folders of parts) one of this format, with the same vectors.

    Args:
        folder: Of the index.

    Returns:
        The store, open; the old files are gone.

    Raises:
        ValueError: If the old index is broken.
    """
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
                        passages = [
                            Passage(
                                row.get("text") or _looked_up(row, text_digest) or "",
                                row["start"],
                                row["end"],
                                row["line"],
                            )
                            for row in found
                        ]
                        document = Document(name, "", found[0]["file"])
                        store.put(document, text_digest, first + begin, passages, keep_text=manifest["keep_texts"])
                store.remove(entry.get("removed", ()))
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


def _within(ids: Ids, spans: Ids) -> npt.NDArray[np.bool_]:
    """Which numbers lie in spans of (first, count), ascending."""
    if not len(spans):
        return np.zeros(len(ids), np.bool_)
    near = np.searchsorted(spans[:, 0], ids, side="right") - 1
    inside: npt.NDArray[np.bool_] = (near >= 0) & (ids < spans[near, 0] + spans[near, 1])
    return inside

"""An index on disk: documents go in, questions find their passages; it grows, and belongs to one model.

    documents -> passages -> vectors (resumable) and words -> one commit
    question  -> its vector and its words -> nearest vectors, best words, or both by reciprocal rank -> reranker -> hits

All that a call adds counts at once, when its last vector is on disk. A kill leaves the index that was, and the same
call goes on with the vectors that it had. A document that is given again is skipped if its text is the same, and
replaced if it changed. One run at a time writes an index; others may ask it meanwhile.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np

from ...common.locks import only_writer
from ...common.messages import require_known
from .diff import Added, IndexDiff, digest
from .documents import Document
from .hits import SearchHit, check_questions, rerank
from .model import IndexModel, loaded_from
from .nearest import Floats
from .passages import Passage, cut_passages
from .store import FILE, IndexStore, convert
from .where import Filter
from .words import all_of, any_of, highlights

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Mode = Literal["vectors", "words", "hybrid"]
Hubness = Literal["none", "centre"]
_MODES, _HUBNESS = ("vectors", "words", "hybrid"), ("none", "centre")
_RANK = 60  # of reciprocal rank fusion (Cormack, Clarke and Buettcher, SIGIR 2009)
_FUSED = 100  # passages of each ranking that are fused, at least
_COMMON = 0.1  # a word in more than this share of the passages tells little


class SearchIndex:
    """Documents of one model that answer queries; made by `build` or `open`, never directly.

    Attributes:
        folder: Where it lies.
        model: What it remembers of its embedder.
        last_added: What the last `add` did.

    Args:
        store: The SQLite file and the vectors beside it.
        embedder: The loaded embedder, or where it is now; None: where it was.
        device: For one that is loaded here.
    """

    last_added: Added

    def __init__(self, store: IndexStore, embedder: Any = None, device: str | None = None) -> None:
        self.folder, self.model, self.store = store.folder, IndexModel(**store.settings["model"]), store
        self._given, self._device = embedder, device

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        embedder: Any = None,
        *,
        device: str | None = None,
        load_model: bool = True,
    ) -> Self:
        """Open an index.

        Args:
            folder: What `build` wrote.
            embedder: The model that made it, loaded, or its folder or Hub id, which is loaded with the index's own
                prompts and limits; None: load it from where it was.
            device: For a model that is loaded here, such as `cpu` or `cuda:1`; None: the best one there is.
            load_model: False: load the model only when a document needs it; words need none, and vectors of questions
                come from a running `mmbert search serve` of this index or from NumPy, where either can give them.

        Returns:
            The index.

        Raises:
            FileNotFoundError: If there is none, or its model is not where it was.
            ValueError: If the embedder is another model or cut to other dimensions, or the index is broken.
        """
        index = cls(IndexStore(Path(folder)), embedder, device)
        if load_model:
            _ = index.embedder
        return index

    @cached_property
    def embedder(self) -> Any:
        """The model, loaded when it is first needed."""
        loaded = self.model.load(self._given, self._device) if _is_place(self._given) else self._given
        self.model.refuse_other(IndexModel.of(loaded, self.model.source), self.folder)
        return loaded

    @cached_property
    def _questioned(self) -> Any:
        """What computes the vectors of questions: a server or NumPy, if they can and the model is not loaded."""
        if "embedder" in self.__dict__ or self._device is not None or not _is_place(self._given):
            return self.embedder
        return self.model.query_encoder(self.folder, self._given) or self.embedder

    @classmethod
    def build(
        cls,
        folder: str | os.PathLike[str],
        documents: Iterable[Any],
        embedder: "SentenceTransformer | str | os.PathLike[str]",
        *,
        passage_tokens: int | None = 256,
        overlap: int = 0,
        keep_texts: bool = True,
        dtype: Literal["float32", "float16"] = "float32",
        graph: bool = False,
        source: dict[str, Any] | None = None,
        **options: Any,
    ) -> "SearchIndex":
        """Make an index; called again after a kill with the same documents, it goes on where it was.

        Args:
            folder: Where; absent or empty, or what a killed call left.
            documents: What `read_documents` gives, or texts, or (name, text) or (name, text, columns); read once. Tags
                in a column `lang` or `language` are read in any spelling; hits show and filters find those in use.
            embedder: What `load_embedder` gives, or the folder or Hub id of one.
            passage_tokens: Cut documents into passages of at most so many tokens; None: one vector per document.
            overlap: Tokens of a passage that the next one repeats.
            keep_texts: Store the passages. Otherwise they are looked up in the documents' files; which words stand in
                them is stored nevertheless.
            dtype: Of the stored vectors; float16 takes half the disk and more time per question.
            graph: Build a graph of usearch for each part, for millions of passages.
            source: Options of `load_embedder` that load the embedder again, for `open` without one.
            **options: As for `add`.

        Returns:
            The index, open; `last_added` says what went in.

        Raises:
            ValueError: If the folder is in use, an option is out of range, or there is nothing to index.
        """
        path = Path(folder)
        there = [one.name for one in path.iterdir()] if path.is_dir() else []
        ours = all(name.startswith((FILE, "vectors-0001", ".vectors-0001")) for name in there)
        if path.exists() and not (path.is_dir() and ours) and not (path / FILE).is_file():
            raise ValueError(f"{path} exists and is no index; choose another place")
        embedder, source = loaded_from(embedder, source)
        model = IndexModel.of(embedder, source).proven(embedder)
        cut = None if passage_tokens is None else {"tokens": passage_tokens, "overlap": overlap}
        model.check_cut(cut, embedder)
        settings = {"model": model.to_dict(), "cut": cut, "keep_texts": keep_texts, "dtype": dtype, "graph": graph}
        store = IndexStore(path, settings)
        try:
            if not store.is_new:
                raise ValueError(f"{path} is an index already; open it and add to it, or remove it first")
            index = cls(store)
            index.embedder = embedder
            added = index.add(documents, **options)
            if not added.passages:
                reasons = ", ".join(f"{number:,} {reason}" for reason, number in added.skipped.items())
                raise ValueError(f"there was no document to index{f' ({reasons})' if reasons else ''}; give some text")
        except BaseException:
            store.close()
            raise
        return index

    def add(
        self,
        documents: Iterable[Any],
        *,
        on_bad: Literal["raise", "skip"] = "raise",
        mirror: bool = False,
        restart: bool = False,
        show_progress: bool = False,
        pool: dict[str, Any] | None = None,
    ) -> Added:
        """Add documents; those that are there with the same text are left alone, changed ones are replaced.

        One that is there and comes blank is removed.

        Args:
            documents: As for `build`.
            on_bad: `raise` at what is no text, holds half a surrogate pair, or has a name that came before; or `skip`
                and count it. Blank documents are always skipped and counted.
            mirror: Remove what is there and does not come now. What comes and cannot be read stays as it was.
            restart: Begin anew instead of going on after a kill.
            show_progress: Whether to draw a bar.
            pool: Processes of `embedder.start_multi_process_pool` to share the work.

        Returns:
            What was added.

        Raises:
            ValueError: If a document is bad, or a text without a name would replace another; if the embedder is not the
                one of the index, a killed call had other documents, or another run is writing.
        """
        from ..encoding.to_file import encode_to_file

        self.model.refuse_other(IndexModel.of(self.embedder, self.model.source), self.folder, adding=True)
        added, about = Added(), dict[str, Any]()
        diff = IndexDiff(documents, self.store.known, added, on_bad, mirror)
        with only_writer(self.folder), self.store.transaction(about) as number:
            first, held = self.store.next_id(), self.store.names()
            output = self.store.vectors(number)
            _take_up(output)
            done = encode_to_file(
                self.embedder,
                self._store_passages(diff, first, added),
                output,
                prompt=self.model.document_prompt,
                dtype=self.store.settings["dtype"],
                restart=restart,
                show_progress=show_progress,
                pool=pool,
            )
            gone = diff.gone(held)
            self.store.remove(gone)
            self.store.read_tags()
            if done.rows:
                self.store.add_part(number, first, done.rows)
                added.cut = done.cut
            else:
                output.unlink()
                output.with_suffix(".json").unlink()
            added.resumed, added.removed = done.resumed, len(gone)
            about |= asdict(added)
        self.last_added = added
        return added

    def _store_passages(self, documents: Iterable[Document], first: int, added: Added) -> Iterator[str]:
        """Store documents with their passages, and yield the texts to embed."""
        cut, keep_texts = self.store.settings["cut"], self.store.settings["keep_texts"]
        for document in documents:
            if not keep_texts and document.file is None:
                raise ValueError(f"{document.name!r} is no file of its own to look passages up in; keep the texts")
            text = document.text
            passages = [Passage(text, 0, len(text), 1)]
            if cut is not None:
                passages = list(cut_passages(text, self.embedder.tokenizer, cut["tokens"], cut["overlap"]))
            self.store.put(document, digest(text), first + added.passages, passages)
            added.documents += 1
            added.passages += len(passages)
            yield from (one.text for one in passages)

    def remove(self, names: str | Iterable[str]) -> int:
        """Let documents not be found any more; their vectors stay on disk until `compact`.

        Args:
            names: Of one or several documents, as hits show them.

        Returns:
            How many were removed.

        Raises:
            ValueError: If one is not there, and then none is removed; if another run is writing.
        """
        gone = sorted({names} if isinstance(names, str) else set(names))
        with only_writer(self.folder), self.store.transaction({"removed": len(gone)}):
            self.store.refuse_unknown(gone)
            self.store.remove(gone)
        return len(gone)

    @classmethod
    def compact(cls, folder: str | os.PathLike[str]) -> "SearchIndex":
        """Give back the space of what was replaced or removed; convert an index of an earlier version.

        Args:
            folder: Of the index; no model is needed.

        Returns:
            The index, whose model is loaded when it is needed.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is broken, or another run is writing it.
        """
        path = Path(folder)
        with only_writer(path):
            store = convert(path) if (path / "index.json").is_file() else IndexStore(path)
            store.compact()
            store.close()
        return cls.open(path, load_model=False)

    @overload
    def search(self, queries: str, top_k: int = ..., **options: Any) -> list[SearchHit]: ...
    @overload
    def search(self, queries: list[str], top_k: int = ..., **options: Any) -> list[list[SearchHit]]: ...
    def search(  # type: ignore[misc]  # options are named in the implementation only
        self,
        queries: Any,
        top_k: int = 10,
        *,
        mode: Mode = "vectors",
        where: str | None = None,
        reranker: Any = None,
        candidates: int = 50,
        one_per_document: bool = False,
        hubness: Hubness = "none",
    ) -> Any:
        """Find the passages that answer a question best.

        Args:
            queries: One question, or several. In `words` and `hybrid`, double quotes hold words together.
            top_k: Most hits of each.
            mode: `vectors`: by meaning; `words`: by the question's words, in any script, first those with all of them;
                `hybrid`: both rankings, fused by reciprocal rank.
            where: Search only documents that meet a condition on their columns, such as `lang = 'khm_Khmr'`; see
                `where.py` for all that can be said.
            reranker: What `load_reranker` gives, to put the best of them in order.
            candidates: So many passages the reranker reads.
            one_per_document: Find every document at most once, by its best passage.
            hubness: `centre` takes the mean of all vectors from the query's, so that passages that are near to every
                query, and languages whose vectors lie so, come up less; a score is then no cosine.

        Returns:
            Hits, the best first; for several questions a list of those.

        Raises:
            ValueError: If a question is blank, no text, or (mode `words`) without a letter or digit; if a number, the
                mode or the condition is out of range.
        """
        if top_k < 1 or candidates < 1:
            raise ValueError(f"top_k and candidates must be at least 1, got {top_k} and {candidates}")
        for name, value, kinds in (("mode", mode, _MODES), ("hubness", hubness, _HUBNESS)):
            require_known(name, value, kinds)
        questions = check_questions(queries)
        if not questions:
            return []
        if mode == "words" and (mute := next((one for one in questions if not all_of(one)), None)) is not None:
            raise ValueError(
                f"the query {mute!r:.60} has no letter or digit to look for; use mode vectors, or write words"
            )
        condition = None if where is None else self.store.filter(where)
        vectors = [None] * len(questions) if mode == "words" else self._embed(questions)
        count = top_k if reranker is None else max(top_k, candidates)
        with self.store.snapshot():
            shift = self.store.mean() if mode != "words" and hubness == "centre" else 0
            found = [
                self._hits(question, vector, shift, count, mode, condition, one_per_document)
                for question, vector in zip(questions, vectors, strict=True)
            ]
        if reranker is not None:
            found = rerank(questions, found, reranker, top_k)
        return found[0] if isinstance(queries, str) else found

    def _embed(self, questions: list[str]) -> Floats:
        found = self._questioned.encode(questions, prompt=self.model.query_prompt, show_progress_bar=False)
        vectors = np.asarray(found, np.float32)
        if not np.isfinite(vectors).all():
            raise ValueError("the vector of a query is not finite; embed in float32")
        return vectors

    def _hits(
        self, question: str, vector: Any, shift: Any, count: int, mode: Mode, where: Filter | None, single: bool
    ) -> list[SearchHit]:
        """Hits of one question, whose vector is searched less `shift`; of a document at most one if `single`."""
        asked, wanted = None if vector is None else vector - shift, count
        while True:
            scores = self._ranked(question, asked, min(wanted, self.store.rows), mode, where)
            passages = self.store.passages(list(scores)[:wanted])
            best: dict[Any, int] = {}
            for number, passage in passages.items():
                best.setdefault(passage["document"] if single else number, number)
            if not single or len(best) >= count or wanted >= self.store.rows:
                break
            wanted *= 4
        chosen = list(best.values())[:count]
        cosines = [None] * len(chosen) if vector is None else (self.store.vectors_of(chosen) @ vector).tolist()
        return [
            SearchHit(
                scores[one],
                cosine=cosine,
                highlights=highlights(passages[one]["text"] or "", question),
                **passages[one],
            )
            for one, cosine in zip(chosen, cosines, strict=True)
        ]

    def _ranked(self, question: str, vector: Any, count: int, mode: Mode, where: Filter | None) -> dict[int, float]:
        """Numbers of passages and their scores, the best first."""
        if mode == "vectors":
            ids, found = self.store.nearest(vector, count, where)
            return dict(zip(ids.tolist(), found.tolist(), strict=True))
        deep = max(count, _FUSED) if mode == "hybrid" else count
        rankings = [self._by_words(question, deep, where)]
        if mode == "hybrid":
            rankings.append(self.store.nearest(vector, deep, where)[0].tolist())
        scores: dict[int, float] = {}
        for ranking in rankings:
            for rank, number in enumerate(ranking, start=1):
                scores[number] = scores.get(number, 0.0) + 1 / (_RANK + rank)
        return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0])))

    def _by_words(self, question: str, count: int, where: Filter | None) -> list[int]:
        """Passages with all words of a question, then those with some, without words that stand in many."""
        expression = all_of(question)
        found = self.store.with_words(expression, count, where) if expression else []
        if len(found) < count and expression:
            most = max(50, _COMMON * self.store.rows)
            terms = any_of(question)
            some = [one for one, word in terms if not word or self.store.frequency(word) <= most]
            some = some or [one for one, _ in terms]
            found = list(dict.fromkeys([*found, *self.store.with_words(" OR ".join(some), count, where)]))
        return found[:count]

    def __len__(self) -> int:
        return len(self.store)

    @property
    def documents(self) -> list[str]:
        """Names of the documents that can be found."""
        return self.store.names()


def _is_place(embedder: Any) -> bool:
    """Whether a model has to be loaded: from a folder or Hub id, or (None) from where it was."""
    return embedder is None or isinstance(embedder, str | os.PathLike)


def _take_up(output: Path) -> None:
    """Let `encode_to_file` go on with vectors that were all there when a kill came before the commit."""
    ended, state = output.with_suffix(".json"), output.with_name(f".{output.stem}.json.partial")
    if output.is_file() and ended.is_file() and not state.is_file():
        state.write_bytes(ended.read_bytes())

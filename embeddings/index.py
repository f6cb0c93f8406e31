"""An index on disk: documents go in, questions find their passages; it grows, and belongs to one model.

    documents -> passages -> vectors (resumable) -> a part of the index          index.json names the parts that count
    question  -> vector   -> nearest of all parts -> (reranker) -> hits

A part is written under a hidden name; it counts when index.json names it, and that file is replaced in one step. So a
kill leaves the index that was, and the same call goes on where it was. A document that is given again is skipped if its
text is the same; if it changed, its new passages are added and the old ones are not found any more.

Trade-off: what was replaced stays on disk until the index is made anew. All vectors are compared with a question unless
a graph was asked for: exact, and fast enough up to some 500,000 passages (see `nearest`).
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from .documents import Checked, Document
from .index_manifest import FORMAT, MANIFEST, Added, check_cut, loaded_from, read_manifest, replace_manifest
from .index_model import IndexModel
from .index_part import Part, PartWriter, digest
from .index_search import SearchHit, check_questions, find, rerank

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SearchIndex:
    """Documents of one model, ready to be asked; made by `build` or `open`.

    Args:
        folder: Where it lies.
        manifest: What index.json says.
        embedder: The model, loaded.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], embedder: Any) -> None:
        self.folder, self.manifest, self.embedder = folder, manifest, embedder
        self.model = IndexModel(**manifest["model"])
        self.parts: list[Part] = []
        for entry in manifest["parts"]:
            self._append(entry)

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
            documents: What `read_documents` gives, or texts, or (name, text) pairs; read once.
            embedder: What `load_embedder` gives, or the folder or Hub id of one.
            passage_tokens: Cut documents into passages of at most so many tokens; None: one vector a document.
            overlap: Tokens of a passage that the next one repeats.
            keep_texts: Store the passages. Otherwise they are looked up in the documents' files.
            dtype: Of the stored vectors; float16 takes half the disk and more time a question.
            graph: Build a graph of usearch for each part: for more than some 500,000 passages.
            source: Options of `load_embedder` that load the embedder again, for `open` without one.
            **options: As for `add`.

        Returns:
            The index, open; `last_added` says what went in.

        Raises:
            ValueError: If the folder is in use, an option is out of range, or there is nothing to index.
        """
        path = Path(folder)
        if (path / MANIFEST).exists():
            raise ValueError(f"{path} is an index already; open it and add to it, or remove it first")
        if path.exists() and not (path.is_dir() and all("part-0001" in one.name for one in path.iterdir())):
            raise ValueError(f"{path} exists and is no index; choose another place")
        embedder, source = loaded_from(embedder, source)
        model = IndexModel.of(embedder, source)
        cut = None if passage_tokens is None else {"tokens": passage_tokens, "overlap": overlap}
        check_cut(cut, model, embedder)
        manifest = {"format": FORMAT, "model": model.to_dict(), "cut": cut, "keep_texts": keep_texts, "dtype": dtype}
        index = cls(path, {**manifest, "graph": graph, "parts": []}, embedder)
        added = index.add(documents, **options)
        if not added.passages:
            raise ValueError(f"there was no document to index{_words(added.skipped)}; give some text")
        return index

    @classmethod
    def open(cls, folder: str | os.PathLike[str], embedder: Any = None) -> "SearchIndex":
        """Open an index.

        Args:
            folder: What `build` wrote.
            embedder: The model that made it, loaded, or its folder or Hub id; None: load it from where it was.

        Returns:
            The index.

        Raises:
            FileNotFoundError: If there is none, or its model is not where it was.
            ValueError: If the embedder is another model or cut to other dimensions, or the index is broken.
        """
        path = Path(folder)
        manifest = read_manifest(path)
        model = IndexModel(**manifest["model"])
        if isinstance(embedder, str | os.PathLike):
            from .loader import load_embedder

            exported = (model.source or {}).get("backend", "torch") != "torch"
            dtype: Any = {} if exported else {"dtype": model.dtype}
            embedder = load_embedder(embedder, dims=model.dimensions, **dtype)
        embedder = model.load() if embedder is None else embedder
        model.refuse_other(IndexModel.of(embedder, model.source), path)
        return cls(path, manifest, embedder)

    def add(
        self,
        documents: Iterable[Any],
        *,
        on_bad: Literal["raise", "skip"] = "raise",
        restart: bool = False,
        show_progress: bool = False,
        pool: dict[str, Any] | None = None,
    ) -> Added:
        """Add documents; those that are there with the same text are left alone, changed ones are replaced.

        Args:
            documents: As for `build`.
            on_bad: `raise` at what is no text, holds half a surrogate pair, or has a name that came before; or `skip`
                and count it. Blank documents are always skipped and counted.
            restart: Begin anew instead of going on after a kill.
            show_progress: Whether to draw a bar.
            pool: Processes of `embedder.start_multi_process_pool` to share the work.

        Returns:
            What was added.

        Raises:
            ValueError: If a document is bad, the embedder is not the one of the index, or a killed call had other
                documents.
        """
        self.model.refuse_other(IndexModel.of(self.embedder, self.model.source), self.folder, adding=True)
        known = {name: entry[0] for part in self.parts for name, entry in part.documents.items()}
        checked, tally = Checked(documents, on_bad), {"unchanged": 0, "replaced": 0}
        manifest = self.manifest
        writer = PartWriter(
            self.folder, f"part-{len(self.parts) + 1:04d}", manifest["cut"], keep_texts=manifest["keep_texts"]
        )
        encoding = {"prompt": self.model.document_prompt, "dtype": manifest["dtype"], "pool": pool}
        encoding |= {"restart": restart, "show_progress": show_progress}
        done = writer.write(_news(checked, known, tally), self.embedder, manifest["graph"], **encoding)
        if done is not None:
            entry = {"name": writer.place.name, "documents": len(writer.documents), "passages": done.rows}
            entry |= {"tokens": done.tokens, "cut": done.cut, "skipped": checked.skipped}
            self.manifest = {**manifest, "parts": [*manifest["parts"], entry]}
            replace_manifest(self.folder, self.manifest)
            self._append(entry)
        rows = 0 if done is None else done.rows
        self.last_added = Added(
            documents=len(writer.documents),
            passages=rows,
            skipped=checked.skipped,
            cut=None if done is None else done.cut,
            resumed=0 if done is None else done.resumed,
            **tally,
        )
        return self.last_added

    @overload
    def search(
        self,
        queries: str,
        top_k: int = ...,
        *,
        reranker: Any = ...,
        candidates: int = ...,
        one_per_document: bool = ...,
    ) -> list[SearchHit]: ...
    @overload
    def search(
        self,
        queries: list[str],
        top_k: int = ...,
        *,
        reranker: Any = ...,
        candidates: int = ...,
        one_per_document: bool = ...,
    ) -> list[list[SearchHit]]: ...
    def search(
        self,
        queries: Any,
        top_k: int = 10,
        *,
        reranker: Any = None,
        candidates: int = 50,
        one_per_document: bool = False,
    ) -> Any:
        """Find the passages that are nearest to a question.

        Args:
            queries: One question, or several.
            top_k: Most hits of each.
            reranker: What `load_reranker` gives, to put the best of them in order.
            candidates: So many passages the reranker reads.
            one_per_document: Find every document at most once, by its best passage.

        Returns:
            Hits, the best first; for several questions a list of those.

        Raises:
            ValueError: If a question is blank or no text, or a number is out of range.
        """
        if top_k < 1 or candidates < 1:
            raise ValueError(f"top_k and candidates must be at least 1, got {top_k} and {candidates}")
        questions = check_questions(queries)
        if not questions:
            return []
        prompt = self.model.query_prompt
        vectors = np.asarray(self.embedder.encode(questions, prompt=prompt, show_progress_bar=False), np.float32)
        if not np.isfinite(vectors).all():
            raise ValueError("the vector of a query is not finite; embed in float32")
        count = top_k if reranker is None else max(top_k, candidates)
        found = find(self.parts, vectors, count, one_per_document=one_per_document)
        if reranker is not None:
            found = rerank(questions, found, reranker, top_k)
        return found[0] if isinstance(queries, str) else found

    def __len__(self) -> int:
        hidden = sum(int(part.hidden.sum()) for part in self.parts if part.hidden is not None)
        return sum(map(len, self.parts)) - hidden

    @property
    def documents(self) -> list[str]:
        """Names of the documents that can be found."""
        return sorted({name for part in self.parts for name in part.documents})

    def _append(self, entry: dict[str, Any]) -> None:
        """Open a part; what it holds anew is hidden in those before."""
        part = Part(self.folder / entry["name"], self.model.dimensions)
        for earlier in self.parts:
            for name in earlier.documents.keys() & part.documents.keys():
                earlier.hide(name)
        self.parts.append(part)


def _news(documents: Iterable[Document], known: dict[str, str], tally: dict[str, int]) -> Iterator[Document]:
    """Yield the documents that are new or changed, and count."""
    for document in documents:
        if document.name in known:
            same = known[document.name] == digest(document.text)
            tally["unchanged" if same else "replaced"] += 1
            if same:
                continue
        yield document


def _words(skipped: dict[str, int]) -> str:
    return f" ({', '.join(f'{number:,} {reason}' for reason, number in skipped.items())})" if skipped else ""

"""An index on disk: documents go in, questions find their passages; it grows, and belongs to one model.

    documents -> passages -> vectors (resumable) -> a part of the index          index.json names the parts that count
    question  -> vector   -> nearest of all parts -> (reranker) -> hits

A part is written under a hidden name; it counts when index.json names it, and that file is replaced in one step. So a
kill leaves the index that was, and the same call goes on where it was. A document that is given again is skipped if its
text is the same; if it changed, its new passages are added and the old ones are not found any more. One run at a time
writes an index; others may read it.

Trade-off: what was replaced or removed stays on disk until the index is made anew.
"""

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ...common.locks import only_writer
from .diff import News
from .manifest import FORMAT, MANIFEST, Added, check_cut, loaded_from, refuse_changed, replace_manifest
from .model import IndexModel
from .part import PartWriter
from .reading import ReadableIndex

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class SearchIndex(ReadableIndex):
    """Documents of one model, ready to be asked; made by `build` or `open`."""

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
                one of the index, a killed call had other documents, another run is writing, or wrote since this was
                opened.
        """
        self.model.refuse_other(IndexModel.of(self.embedder, self.model.source), self.folder, adding=True)
        manifest = self.manifest
        encoding = {"prompt": self.model.document_prompt, "dtype": manifest["dtype"], "pool": pool}
        encoding |= {"restart": restart, "show_progress": show_progress}
        self.folder.mkdir(parents=True, exist_ok=True)
        with only_writer(self.folder):
            refuse_changed(self.folder, manifest)
            news = News(documents, self.content.digests(), on_bad, mirror=mirror)
            name = f"part-{len(self.content.parts) + 1:04d}"
            writer = PartWriter(self.folder, name, manifest["cut"], keep_texts=manifest["keep_texts"])
            done = writer.write(news, self.embedder, manifest["graph"], **encoding)
            gone = news.gone()
            entry: dict[str, Any] | None = None
            if done is not None:
                entry = {"name": name, "documents": len(writer.documents), "passages": done.rows}
                entry |= {"tokens": done.tokens, "cut": done.cut, "skipped": news.skipped}
            self._let_count(entry, gone)
        self.last_added = Added(
            documents=len(writer.documents),
            passages=0 if done is None else done.rows,
            unchanged=news.unchanged,
            replaced=news.replaced,
            skipped=news.skipped,
            cut=None if done is None else done.cut,
            resumed=0 if done is None else done.resumed,
            removed=len(gone),
        )
        return self.last_added

    def remove(self, names: str | Iterable[str]) -> int:
        """Let documents not be found any more; their vectors stay on disk until the index is made anew.

        Args:
            names: Of one or several documents, as hits show them.

        Returns:
            How many were removed.

        Raises:
            ValueError: If one is not there, and then none is removed; if another run is writing, or wrote since this
                was opened.
        """
        gone = {names} if isinstance(names, str) else set(names)
        with only_writer(self.folder):
            refuse_changed(self.folder, self.manifest)
            self.content.refuse_unknown(sorted(gone))
            self._let_count(None, gone)
        return len(gone)

    def _let_count(self, entry: dict[str, Any] | None, gone: Collection[str]) -> None:
        """Let a new part count and documents not any more, in one step."""
        parts = self.content.entries_without(self.manifest["parts"], gone)
        parts += [] if entry is None else [entry]
        if parts == self.manifest["parts"]:
            return
        self.manifest = {**self.manifest, "parts": parts}
        replace_manifest(self.folder, self.manifest)
        self.content.hide(gone)
        if entry is not None:
            self.content.append(entry)


def _words(skipped: dict[str, int]) -> str:
    return f" ({', '.join(f'{number:,} {reason}' for reason, number in skipped.items())})" if skipped else ""

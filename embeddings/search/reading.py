"""An index that answers: opened from its folder, asked, and never changed; `SearchIndex` lets it grow.

Trade-off: all vectors are compared with a question unless a graph was asked for: exact, and fast enough up to some
500,000 passages (see `nearest`).
"""

import os
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from .content import IndexContent
from .manifest import read_manifest
from .model import IndexModel
from .query import SearchHit, check_questions, find, rerank


class ReadableIndex:
    """Documents of one model, ready to be asked.

    Args:
        folder: Where it lies.
        manifest: What index.json says.
        embedder: The model, loaded; None where nobody will ask or add.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any], embedder: Any) -> None:
        self.folder, self.manifest, self.embedder = folder, manifest, embedder
        self.model = IndexModel(**manifest["model"])
        self.content = IndexContent(folder, self.model.dimensions, manifest["parts"])

    @classmethod
    def open(cls, folder: str | os.PathLike[str], embedder: Any = None, *, device: str | None = None) -> Self:
        """Open an index.

        Args:
            folder: What `build` wrote.
            embedder: The model that made it, loaded, or its folder or Hub id, which is loaded with the index's own
                prompts and limits; None: load it from where it was.
            device: For a model that is loaded here, such as `cpu` or `cuda:1`; None: the best one there is.

        Returns:
            The index.

        Raises:
            FileNotFoundError: If there is none, or its model is not where it was.
            ValueError: If the embedder is another model or cut to other dimensions, or the index is broken.
        """
        path = Path(folder)
        manifest = read_manifest(path)
        model = IndexModel(**manifest["model"])
        if embedder is None or isinstance(embedder, str | os.PathLike):
            embedder = model.load(embedder, device)
        model.refuse_other(IndexModel.of(embedder, model.source), path)
        return cls(path, manifest, embedder)

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
        found = find(self.content.parts, vectors, count, one_per_document=one_per_document)
        if reranker is not None:
            found = rerank(questions, found, reranker, top_k)
        return found[0] if isinstance(queries, str) else found

    def __len__(self) -> int:
        return len(self.content)

    @property
    def documents(self) -> list[str]:
        """Names of the documents that can be found."""
        return sorted(self.content.digests())

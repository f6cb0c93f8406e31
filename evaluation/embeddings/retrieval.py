"""Retrieval: do queries find their documents among all others? MRR@10, nDCG@10 and recall, exactly, by cosine.

Trade-off: all documents are compared with all queries, in bands, so the numbers have no error of an approximate index;
a corpus of a million documents takes minutes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...tasks.metrics.ranking import query_scores, ranked_gains
from .vectors import Floats, embed

CUTOFFS = (1, 10, 100)
_BAND = 64_000_000  # similarities that are held at a time: 256 MB


def retrieval_scores(
    encoder: Any,
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    relevant: Mapping[str, Mapping[str, float]],
    *,
    cutoffs: Sequence[int] = CUTOFFS,
    batch_size: int | None = None,
) -> dict[str, float]:
    """Score an encoder on one set of queries and documents.

    Args:
        encoder: What turns texts into vectors, for example what `load_embedder` gives back.
        queries: Texts by name.
        documents: Texts by name.
        relevant: For each query, the documents that answer it, with a gain above 0 (1 where all are alike).
        cutoffs: Depths for recall.
        batch_size: Texts in one forward pass; None: what the encoder chooses.

    Returns:
        `ndcg@10`, `mrr@10`, `recall@k`, and `queries`, `documents`: how many there were.

    Raises:
        ValueError: If there is nothing to score, or a query has no document, or one that is not there.
    """
    asked = embed(encoder, queries.values(), "query", batch_size)
    there = embed(encoder, documents.values(), "document", batch_size)
    found = scores_of_vectors(
        {name: asked[text] for name, text in queries.items()},
        {name: there[text] for name, text in documents.items()},
        relevant,
        cutoffs,
    )
    means = {name: float(values.mean()) for name, values in found.items()}
    return {**means, "queries": len(queries), "documents": len(documents)}


def scores_of_vectors(
    queries: Mapping[str, Floats],
    documents: Mapping[str, Floats],
    relevant: Mapping[str, Mapping[str, float]],
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[str, npt.NDArray[np.float64]]:
    """Score vectors that are there already, each query for itself; see `retrieval_scores`."""
    if not queries or not documents:
        raise ValueError(
            f"got {len(queries)} queries and {len(documents)} documents; evaluation needs at least 1 of each"
        )
    place = {name: number for number, name in enumerate(documents)}
    for name in queries:
        if missing := next((one for one in relevant.get(name, {}) if one not in place), None):
            raise ValueError(f"query {name!r} is answered by {missing!r}, which is none of the documents; add it")
    corpus = np.stack(list(documents.values()))
    names, depth = list(queries), max(10, *cutoffs)
    ranked = []
    band = max(1, _BAND // len(corpus))
    for start in range(0, len(names), band):
        some = names[start : start + band]
        gains = np.zeros((len(some), len(corpus)))
        for row, name in enumerate(some):
            for document, gain in relevant.get(name, {}).items():
                gains[row, place[document]] = gain
        ranked.append(ranked_gains(np.stack([queries[name] for name in some]) @ corpus.T, gains, depth))
    ideal = [list(relevant.get(name, {}).values()) for name in names]
    return query_scores(np.concatenate(ranked), ideal, cutoffs)

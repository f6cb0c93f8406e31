"""Numbers for rankings: MRR, nDCG and recall at a depth, from the gains of what was ranked.

nDCG has linear gains and log2 discounts, as trec_eval, MTEB and scikit-learn's `ndcg_score`. Recall is the share of a
query's relevant documents that is found. Each query counts alike.

Documents that lie equally near (closer than float32 rounds) have no order; those that are wrong are put first. So an
encoder that maps everything to one point scores nearly 0, and no number depends on the order of a file.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_TIE = 1e-6  # cosines of float32 unit vectors are exact to about 1e-7 a term; `bitext` draws the same line


def ranked_gains(similarity: npt.NDArray[np.float32], gains: Floats, depth: int) -> Floats:
    """Gains (queries, documents) in the order of similarity, of the same shape, cut to (queries, at most depth)."""
    steps = np.round(similarity / _TIE)
    found = [row_gains[np.lexsort((row_gains, -row))[:depth]] for row, row_gains in zip(steps, gains, strict=True)]
    return np.stack(found)


def query_scores(ranked: Floats, ideal: Sequence[Sequence[float]], cutoffs: Sequence[int]) -> dict[str, Floats]:
    """nDCG@10, MRR@10 and recall@k in [0, 1] of each query, of (queries, depth) gains in the order found."""
    without = next((number for number, gains in enumerate(ideal) if not any(gain > 0 for gain in gains)), None)
    if without is not None:
        raise ValueError(f"query {without} has 0 relevant documents, and needs at least 1; leave it out")
    top = ranked[:, :10]
    discounts = 1 / np.log2(np.arange(2, 12))
    best = [float(np.sort(np.asarray(gains))[::-1][:10] @ discounts[: min(10, len(gains))]) for gains in ideal]
    hits = top > 0
    first = np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0)
    scores: dict[str, Floats] = {"ndcg@10": (top @ discounts[: top.shape[1]]) / best, "mrr@10": first}
    relevant = np.asarray([sum(gain > 0 for gain in gains) for gains in ideal])
    for depth in cutoffs:
        scores[f"recall@{depth}"] = (ranked[:, :depth] > 0).sum(axis=1) / relevant
    return scores


def chance_scores(documents: int, cutoffs: Sequence[int]) -> dict[str, float]:
    """Expected `query_scores` of a random order with one relevant document per query."""
    ranks = np.arange(1, min(10, documents) + 1)
    return {
        "ndcg@10": float((1 / np.log2(ranks + 1)).sum() / documents),
        "mrr@10": float((1 / ranks).sum() / documents),
        **{f"recall@{depth}": min(1.0, depth / documents) for depth in cutoffs},
    }

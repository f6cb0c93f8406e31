"""Semantic similarity: does the cosine of two sentences go with what people say of their meaning? Spearman's rho."""

from collections.abc import Sequence
from typing import Any

from ...tasks.metrics.classification import similarity_scores
from ...tasks.metrics.intervals import similarity_intervals
from .vectors import embed


def sts_scores(encoder: Any, pairs: Sequence[tuple[str, str, float]], batch_size: int | None = None) -> dict[str, Any]:
    """Correlate cosines with human scores.

    Args:
        encoder: What turns texts into vectors.
        pairs: Two sentences and their score, any scale.
        batch_size: Texts in one forward pass; None: what the encoder chooses.

    Returns:
        `spearman`, `pearson` (both 0 where all cosines are equal), `pairs` and `intervals`, of 95 % over pairs.

    Raises:
        ValueError: If there are fewer than two pairs, or all their scores are equal or one is not finite.
    """
    if len(pairs) < 2:
        raise ValueError(f"a correlation needs at least 2 pairs, got {len(pairs)}")
    vectors = embed(encoder, (side for pair in pairs for side in pair[:2]), batch_size=batch_size)
    cosines = [float(vectors[first] @ vectors[second]) for first, second, _ in pairs]
    gold = [float(score) for _, _, score in pairs]
    return {**similarity_scores(cosines, gold), "pairs": len(pairs), "intervals": similarity_intervals(cosines, gold)}

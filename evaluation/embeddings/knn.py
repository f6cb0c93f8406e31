"""Classification without training: a text gets the label that most of its nearest labelled neighbours have.

It asks whether texts of one topic lie together, also across languages, and needs no optimiser, so two encoders differ
by nothing but their vectors.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...common.deprecation import renamed_keywords
from ...tasks.metrics.classification import label_scores
from .vectors import Floats, embed

_BAND = 4_096


def neighbour_labels(queries: Floats, examples: Floats, labels: Sequence[str], neighbours: int = 5) -> list[str]:
    """Label queries (q, dims) by their nearest examples (n, dims), all of length 1; ties go to the nearer label."""
    if not 1 <= neighbours <= len(examples) or len(labels) != len(examples):
        raise ValueError(
            f"{neighbours} neighbours need at least as many examples with a label each, got {len(examples)} examples "
            f"and {len(labels)} labels"
        )
    found = []
    for start in range(0, len(queries), _BAND):
        similarity = queries[start : start + _BAND] @ examples.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
        for row in nearest:
            votes = Counter(labels[place] for place in row)  # in the order of nearness, which most_common keeps
            found.append(votes.most_common(1)[0][0])
    return found


@renamed_keywords(judged="queries")
def neighbour_scores(
    encoder: Any,
    examples: Sequence[tuple[str, str]],
    queries: Sequence[tuple[str, str]],
    *,
    neighbours: int = 5,
    batch_size: int | None = None,
) -> dict[str, float]:
    """Score an encoder by the labels of nearest neighbours.

    Args:
        encoder: What turns texts into vectors.
        examples: (text, label) to look neighbours up in.
        queries: (text, label) to be labelled.
        neighbours: How many have a vote.
        batch_size: Texts in one forward pass; None: what the encoder chooses.

    Returns:
        `accuracy`, `macro_f1`, and `examples`: how many there were.

    Raises:
        ValueError: If there is nothing to label, or fewer examples than neighbours.
    """
    vectors = embed(encoder, (text for text, _ in (*examples, *queries)), batch_size=batch_size)
    if not queries or not examples:
        raise ValueError(f"got {len(examples)} examples and {len(queries)} texts to label; needs at least 1 of each")
    labels = neighbour_labels(
        np.stack([vectors[text] for text, _ in queries]),
        np.stack([vectors[text] for text, _ in examples]),
        [label for _, label in examples],
        neighbours,
    )
    scores = label_scores(labels, [label for _, label in queries])
    return {"accuracy": scores["accuracy"], "macro_f1": scores["macro_f1"], "examples": len(examples)}

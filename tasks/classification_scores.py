"""From logits to scores of a classifier, and what guessing would score.

A score is a share or a correlation. Where one is not defined (the correlation with a constant) it is 0: nothing was
told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .metrics.classification import Scores, label_scores, similarity_scores

if TYPE_CHECKING:
    from datasets import Dataset

_DRAWS = 20  # of random labels, whose scores are averaged


class ClassificationMetrics:
    """Scores logits; windows of one document are averaged first.

    Args:
        problem_type: As in the network's config.
    """

    def __init__(self, problem_type: str) -> None:
        self.problem_type = problem_type

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Return the scores of rows with their `labels`."""
        _, first, logits = pool_windows(predictions, rows)
        truth = np.asarray(rows["labels"][:])[first]
        return score(self.problem_type, truth, decide(self.problem_type, logits))


def score(problem_type: str, truth: np.ndarray, decided: np.ndarray) -> Scores:
    """Score decisions.

    Args:
        problem_type: As in the network's config.
        truth: (N,) classes or numbers, or (N, classes) of 0 and 1.
        decided: The same.

    Returns:
        Scores by name, the main one first: `accuracy`, for several classes a row `micro_f1`, for numbers `spearman`
        (with `rmse`, the root of the mean square error).
    """
    if problem_type == "regression":
        rmse = float(np.sqrt(np.mean((truth - decided) ** 2)))
        if len(truth) < 2 or np.ptp(truth) == 0:
            return {"spearman": 0.0, "pearson": 0.0, "rmse": rmse}
        return {**similarity_scores(decided.tolist(), truth.tolist()), "rmse": rmse}
    if problem_type == "multi_label_classification":
        sets = [[np.flatnonzero(row).tolist() for row in side] for side in (decided, truth)]
        if not any(sets[1]):  # no class is right anywhere: there is nothing to find
            exact = float(np.mean([not row for row in sets[0]]))
            return {"micro_f1": 0.0, "macro_f1": 0.0, "accuracy": exact}
        scores = label_scores(*sets)
        return {"micro_f1": scores.pop("micro_f1"), **scores}
    return label_scores(decided.tolist(), truth.tolist())


def decide(problem_type: str, logits: np.ndarray) -> np.ndarray:
    """Turn logits into decisions: the likeliest class, the classes likelier than not, or the number itself.

    Args:
        problem_type: As in the network's config.
        logits: (N, outputs).

    Returns:
        (N,), or (N, classes) of 0 and 1.
    """
    if problem_type == "regression":
        decided: np.ndarray = logits[:, 0]
    elif problem_type == "multi_label_classification":
        decided = (logits > 0).astype(int)
    else:
        decided = logits.argmax(-1)
    return decided


def pool_windows(predictions: Sequence[np.ndarray], rows: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Average the logits of the windows of each document.

    Args:
        predictions: (outputs,) a row.
        rows: With `row`, the document's number, if documents may have several.

    Returns:
        The documents' numbers in rising order, the place of the first window of each, and (documents, outputs).
    """
    logits = np.stack(list(predictions)).astype(np.float64)
    own = np.asarray(rows["row"][:]) if "row" in rows.column_names else np.arange(len(logits))
    documents, first, where, counts = np.unique(own, return_index=True, return_inverse=True, return_counts=True)
    sums = np.zeros((len(documents), logits.shape[1]))
    np.add.at(sums, where, logits)
    return documents, first, sums / counts[:, None]


def baseline_scores(problem_type: str, train: Sequence[Any], test: Sequence[Any]) -> dict[str, Scores]:
    """Score what needs no network: the most frequent label of training, and labels drawn as often as there.

    Args:
        problem_type: As in the network's config.
        train: Labels of the training rows, as numbers.
        test: Labels of the test rows.

    Returns:
        `majority` (for numbers: the mean) and `random` (mean of 20 draws), each scores by name.
    """
    known, truth = np.asarray(train), np.asarray(test)
    if problem_type == "regression":
        most: Any = known.mean()
    elif problem_type == "multi_label_classification":
        most = (known.mean(0) > 0.5).astype(int)
    else:
        most = np.bincount(known).argmax()
    majority = score(problem_type, truth, np.broadcast_to(most, truth.shape))
    random = np.random.default_rng(0)
    drawn = [score(problem_type, truth, known[random.integers(len(known), size=len(truth))]) for _ in range(_DRAWS)]
    return {"majority": majority, "random": {name: float(np.mean([one[name] for one in drawn])) for name in majority}}

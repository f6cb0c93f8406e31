"""Scores of classifiers, and what guessing would score: scikit-learn's and scipy's numbers under short names.

A score is a share or a correlation, so a table writes it times 100. Where one is not defined (the correlation with a
constant, precision of a class that nobody predicted) it is 0: nothing was told apart.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from datasets import Dataset

_DRAWS = 20  # of random labels, whose scores are averaged


def class_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score one class a row.

    Args:
        truth: (N,) classes.
        predicted: (N,) classes.

    Returns:
        `accuracy`, `f1` (mean over the classes that occur in either) and `matthews` (Matthews' correlation).
    """
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a language of one class is no news
        return {
            "accuracy": float(accuracy_score(truth, predicted)),
            "f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
            "matthews": float(matthews_corrcoef(truth, predicted)),
        }


def several_class_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score several classes a row.

    Args:
        truth: (N, classes) of 0 and 1.
        predicted: (N, classes) of 0 and 1.

    Returns:
        `f1_micro` (over all decisions), `f1_macro` (mean over classes) and `exact` (rows with every class right).
    """
    from sklearn.metrics import f1_score

    return {
        "f1_micro": float(f1_score(truth, predicted, average="micro", zero_division=0)),
        "f1_macro": float(f1_score(truth, predicted, average="macro", zero_division=0)),
        "exact": float((truth == predicted).all(1).mean()),
    }


def number_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Score numbers.

    Args:
        truth: (N,).
        predicted: (N,).

    Returns:
        `spearman` and `pearson` (correlations), `rmse` (root of the mean square error).
    """
    from scipy.stats import pearsonr, spearmanr

    constant = len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(predicted) == 0
    return {
        "spearman": 0.0 if constant else float(spearmanr(truth, predicted).statistic),
        "pearson": 0.0 if constant else float(pearsonr(truth, predicted).statistic),
        "rmse": float(np.sqrt(np.mean((truth - predicted) ** 2))),
    }


class ClassificationMetrics:
    """Scores logits; windows of one document are averaged first.

    Args:
        problem_type: As in the network's config.
    """

    def __init__(self, problem_type: str) -> None:
        self.problem_type = problem_type

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> dict[str, float]:
        """Return the scores of rows with their `labels`."""
        _, first, logits = pool_windows(predictions, rows)
        truth = np.asarray(rows["labels"][:])[first]
        return score(self.problem_type, truth, decide(self.problem_type, logits))


def score(problem_type: str, truth: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    """Score decisions; see the three functions above.

    Args:
        problem_type: As in the network's config.
        truth: (N,) classes or numbers, or (N, classes) of 0 and 1.
        decided: The same.

    Returns:
        Scores by name, the main one first.
    """
    if problem_type == "regression":
        return number_scores(truth, decided)
    return (several_class_scores if problem_type == "multi_label_classification" else class_scores)(truth, decided)


def decide(problem_type: str, logits: np.ndarray) -> np.ndarray:
    """Turn logits into decisions: the likeliest class, the classes likelier than not, or the number itself.

    Args:
        problem_type: As in the network's config.
        logits: (N, outputs).

    Returns:
        (N,), or (N, classes) of 0 and 1.
    """
    if problem_type == "regression":
        return logits[:, 0]
    if problem_type == "multi_label_classification":
        return (logits > 0).astype(int)
    decided: np.ndarray = logits.argmax(-1)
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


def baseline_scores(problem_type: str, train: Sequence[Any], test: Sequence[Any]) -> dict[str, dict[str, float]]:
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

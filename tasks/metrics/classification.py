"""The numbers that a task is judged by, from scikit-learn, scipy and seqeval; answers to questions have their own file.

Each family gives all its numbers at once, as fractions; a task names the one that counts. The libraries decide the
definitions, this file decides what they leave open: a constant prediction has correlation 0, not NaN; a label that only
the prediction has counts in the macro mean as an F1 of 0; nothing is judged on zero rows.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from .question_answering import answer_scores

Scores = dict[str, float]


def label_scores(predictions: Sequence[Any], references: Sequence[Any], positive: Any = None) -> Scores:
    """Judge one label a row, or a set of labels a row.

    Args:
        predictions: Labels, or one list of labels a row.
        references: The right ones, in the same order and form.
        positive: The label whose own F1 is wanted too (MRPC, QQP).

    Returns:
        `accuracy` (sets: the whole set is right), `macro_f1`, `micro_f1`; for one label a row `matthews`; with
        `positive` its `f1`.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If the two differ in length or are empty, or no row has a label.
    """
    learn = _learn()
    _check(predictions, references)
    if isinstance(references[0], (list, tuple, set, frozenset)):
        return _label_set_scores(learn, predictions, references)
    names = [str(label) for label in references]
    guesses = [str(label) for label in predictions]
    scores = {
        "accuracy": float(learn.accuracy_score(names, guesses)),
        "macro_f1": float(learn.f1_score(names, guesses, average="macro", zero_division=0)),
        "micro_f1": float(learn.f1_score(names, guesses, average="micro", zero_division=0)),
        "matthews": float(learn.matthews_corrcoef(names, guesses)) if len({*names, *guesses}) > 1 else 0.0,
    }
    if positive is not None:
        scores["f1"] = float(learn.f1_score(names, guesses, labels=[str(positive)], average="macro", zero_division=0))
    return scores


def similarity_scores(predictions: Sequence[float], references: Sequence[float]) -> Scores:
    """Judge numbers by correlation.

    Args:
        predictions: One number a row.
        references: The right numbers.

    Returns:
        `spearman` and `pearson`; both 0 where all predictions are equal.

    Raises:
        ImportError: If scipy, which comes with scikit-learn, is not installed.
        ValueError: If the two differ in length, a number is not finite, or all references are equal.
    """
    _learn()
    stats: Any = import_module("scipy.stats")  # scikit-learn brings it; it has no types
    _check(predictions, references)
    broken = [value for value in (*predictions, *references) if not math.isfinite(value)]
    if broken:
        raise ValueError(f"{broken[0]} is no number to correlate; did training diverge? Try a lower learning rate")
    if min(references) == max(references):
        raise ValueError(
            f"all {len(references)} gold scores are {references[0]:g}: a correlation needs two that differ"
        )
    if min(predictions) == max(predictions):
        return {"spearman": 0.0, "pearson": 0.0}
    return {
        "spearman": float(stats.spearmanr(predictions, references).statistic),
        "pearson": float(stats.pearsonr(predictions, references).statistic),
    }


def tag_scores(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Scores:
    """Judge one tag a word.

    `run_f1` is what XTREME's script calls F1 for part-of-speech tags: seqeval takes neighbours of one tag as one span.
    It is here so that the published numbers have something to stand beside; `accuracy` is the plain share of words.

    Args:
        predictions: One sequence of tags a sentence.
        references: The right tags.

    Returns:
        `accuracy`, `macro_f1` and `run_f1`.

    Raises:
        ImportError: If scikit-learn or seqeval is not installed.
        ValueError: If sentences differ in number or length, or there is no word.
    """
    guesses, tags = _words(predictions, references)
    labels = label_scores(guesses, tags)
    inside = [[[f"I-{tag}" for tag in sentence] for sentence in side] for side in (predictions, references)]
    return {
        "accuracy": labels["accuracy"],
        "macro_f1": labels["macro_f1"],
        "run_f1": span_scores(inside[0], inside[1])["f1"],
    }


def span_scores(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Scores:
    """Judge entities written as B-, I- and O tags, as conlleval does: an entity counts when place and type are right.

    Endings and single words may have tags of their own: E- and S-, or L- and U-, which seqeval would not see.

    Args:
        predictions: One sequence of tags a sentence.
        references: The right tags.

    Returns:
        `f1`, `precision` and `recall` over all entities, and `accuracy` of the tags.

    Raises:
        ImportError: If seqeval is not installed.
        ValueError: If sentences differ in number or length, or there is no word.
    """
    try:
        from seqeval import metrics
    except ImportError as missing:
        raise ImportError('entities are judged by seqeval: pip install "mmbert[finetune]"') from missing
    guesses, tags = _words(predictions, references)
    sides = [[[_bioes(tag) for tag in sentence] for sentence in side] for side in (references, predictions)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a side without entities: defined as 0 below
        values = {
            "f1": metrics.f1_score(*sides, zero_division=0),
            "precision": metrics.precision_score(*sides, zero_division=0),
            "recall": metrics.recall_score(*sides, zero_division=0),
        }
    accuracy = sum(guess == tag for guess, tag in zip(guesses, tags, strict=True)) / len(tags)
    return {name: float(value) for name, value in values.items()} | {"accuracy": accuracy}


def hub_scores(name: str, predictions: Sequence[Any], references: Sequence[Any], **options: Any) -> Scores:
    """Judge by a metric of the `evaluate` library: a name that the Hub knows, or the path of a metric script.

    Args:
        name: `accuracy`, `owner/metric` or a path; the library runs that metric's own Python code.
        predictions: What the metric takes as predictions.
        references: What it takes as references.
        **options: More for its `compute`.

    Returns:
        Its numbers.

    Raises:
        ImportError: If `evaluate` is not installed.
        ValueError: If the metric cannot be reached, or gives no number.
    """
    try:
        import evaluate
    except ImportError as missing:
        raise ImportError(f'metric {name!r} comes from evaluate: pip install "mmbert[finetune]"') from missing
    _check(predictions, references)
    try:
        metric = evaluate.load(name)
    except (OSError, ImportError, ValueError) as error:
        raise ValueError(
            f"evaluate has no metric {name!r} in reach ({str(error).splitlines()[0]}): use one of {', '.join(FAMILIES)}"
        ) from error
    result: Mapping[str, Any] = metric.compute(predictions=predictions, references=references, **options) or {}
    numbers = {key: float(value) for key, value in result.items() if isinstance(value, (int, float))}
    if not numbers:
        raise ValueError(f"metric {name!r} gives no plain number, only {sorted(result)}")
    return numbers


FAMILIES: dict[str, Callable[..., Scores]] = {
    "labels": label_scores,
    "similarity": similarity_scores,
    "tags": tag_scores,
    "spans": span_scores,
    "answers": answer_scores,
}


def _learn() -> Any:
    try:
        from sklearn import metrics
    except ImportError as missing:
        raise ImportError('scores come from scikit-learn: pip install "mmbert[finetune]"') from missing
    return metrics


def _label_set_scores(learn: Any, predictions: Sequence[Any], references: Sequence[Any]) -> Scores:
    from sklearn.preprocessing import MultiLabelBinarizer

    sides = [[sorted(map(str, row)) for row in side] for side in (predictions, references)]
    columns = MultiLabelBinarizer().fit([*sides[0], *sides[1]])
    if not len(columns.classes_):
        raise ValueError(f"none of the {len(references)} rows has a label: give at least one that has")
    guesses, truth = (columns.transform(side) for side in sides)
    by_label = [learn.f1_score(*pair, zero_division=0) for pair in zip(truth.T, guesses.T, strict=True)]
    return {
        "accuracy": float((truth == guesses).all(axis=1).mean()),
        "macro_f1": float(sum(by_label) / len(by_label)),
        "micro_f1": float(learn.f1_score(truth.ravel(), guesses.ravel(), zero_division=0)),
    }


def _check(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references: every row needs one")
    if not references:
        raise ValueError("there are 0 rows to judge: give at least one")


def _bioes(tag: str) -> str:
    return {"L-": "E-", "U-": "S-"}.get(tag[:2], tag[:2]) + tag[2:]


def _words(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Lay the sentences end to end, once it is sure that they are equally long."""
    _check(predictions, references)
    for number, (guess, truth) in enumerate(zip(predictions, references, strict=True)):
        if len(guess) != len(truth):
            raise ValueError(f"sentence {number}: {len(guess)} tags for {len(truth)} words: every word needs one")
    words = [tag for sentence in references for tag in sentence]
    if not words:
        raise ValueError("there are 0 words to judge: give at least one")
    return [tag for sentence in predictions for tag in sentence], words

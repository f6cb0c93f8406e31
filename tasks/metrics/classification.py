"""The scores of tasks, from scikit-learn, scipy and seqeval; answers to questions have their own file.

Each family gives all its numbers at once, as fractions; a task names the one that counts. The libraries decide the
definitions, this file decides what they leave open: a constant prediction has correlation 0, not NaN; a label that only
the prediction has counts in the macro mean as an F1 of 0; nothing is evaluated on zero rows.
"""

import math
import re
import warnings
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

Scores = dict[str, float]
_ENDS = {"L": "E", "U": "S", "W": "S", "M": "I"}  # BILOU, BMES and BMEWO as BIOES, which seqeval knows
_WORDS = "BEGIN|BEGINNING|BEG|INSIDE|INTERMEDIATE|IN|END|LAST|SINGLETON|SINGLE|UNIT|MIDDLE|MID|WHOLE"
_SCHEMES = {
    "prefix": re.compile(rf"(?P<mark>[BIESLUMW]|{_WORDS})[-_./:|](?P<kind>.+)", re.IGNORECASE | re.DOTALL),
    "suffix": re.compile(rf"(?P<kind>.+)[-_./:|](?P<mark>[BIESLUMW]|{_WORDS})", re.IGNORECASE | re.DOTALL),
    "bare": re.compile(rf"(?P<mark>[BIESLUMW]|{_WORDS})(?P<kind>)", re.IGNORECASE),
}
_OUTSIDE = ("O", "o", "OUTSIDE", "Outside", "outside", "OUT", "Out", "out")


def label_scores(predictions: Sequence[Any], references: Sequence[Any], positive: Any = None) -> Scores:
    """Accuracy, macro and micro F1 (one label per row: `matthews`; with `positive` its `f1`) of labels or sets."""
    learn = _learn()
    _check(predictions, references)
    if isinstance(references[0], (list, tuple, set, frozenset)):
        return _label_set_scores(learn, predictions, references)
    names = [str(label) for label in references]
    guesses = [str(label) for label in predictions]
    right = float(learn.accuracy_score(names, guesses))
    scores = {
        "accuracy": right,
        "macro_f1": float(learn.f1_score(names, guesses, average="macro", zero_division=0)),
        "micro_f1": right,  # the same, where every row has one label
        "matthews": float(learn.matthews_corrcoef(names, guesses)) if len({*names, *guesses}) > 1 else 0.0,
    }
    if positive is not None:
        scores["f1"] = float(learn.f1_score(names, guesses, labels=[str(positive)], average="macro", zero_division=0))
    return scores


def similarity_scores(predictions: Sequence[float], references: Sequence[float]) -> Scores:
    """Spearman and Pearson correlation of numbers; both 0 where all predictions are equal."""
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
    """Accuracy, macro F1 and `run_f1`: XTREME's F1, where seqeval takes neighbours of one tag as one span."""
    guesses, tags = _words(predictions, references)
    labels = label_scores(guesses, tags)
    inside = [[[f"I-{tag}" for tag in sentence] for sentence in side] for side in (predictions, references)]
    return {
        "accuracy": labels["accuracy"],
        "macro_f1": labels["macro_f1"],
        "run_f1": span_scores(inside[0], inside[1])["f1"],
    }


def entity_scheme(labels: Iterable[str]) -> str | None:
    """How labels mark entities: "prefix" (B-PER, B.PER, Begin-PER), "suffix" (PER-B), "bare" (B, I, O), "io", None."""
    labels = {str(label) for label in labels}
    for name, pattern in _SCHEMES.items():
        marks = [pattern.fullmatch(label) for label in labels - {*_OUTSIDE}]
        if all(marks) and any(mark and mark["mark"][0].upper() in "BSUW" for mark in marks):
            return name
    found = sorted(labels - {"O"})
    first, inner = ({label[:-2] for label in found if label[-2:] in (f"-{mark}", f"_{mark}")} for mark in "BI")
    behind = sorted(first & inner)
    odd = next((label for label in found if not _SCHEMES["suffix"].fullmatch(label)), None)
    if behind and odd:
        raise ValueError(
            f"the label {odd!r} has no position behind it and {behind[0]}-B has one; "
            "write all entities as B-TYPE and I-TYPE."
        )
    marked = [label for label in found if re.match(r"[BI]-.", label)]
    bare = [label for label in found if not _SCHEMES["prefix"].fullmatch(label)]
    if marked and bare:
        raise ValueError(
            f"the label {bare[0]!r} has no prefix and {marked[0]!r} has one; write all entities as B-TYPE and I-TYPE, "
            "or all without a prefix."
        )
    if marked:
        return "prefix"  # I- alone, as CoNLL-2003's own files have it
    return "io" if len(found) < len(labels) else None


def as_prefixed(tags: Sequence[str], scheme: str) -> list[str]:
    """Write the tags of a sentence with prefixes, as seqeval reads them."""
    outside = ("O",) if scheme == "io" else _OUTSIDE
    return ["O" if tag in outside else _prefixed(tag, scheme) for tag in tags]


def _prefixed(tag: str, scheme: str) -> str:
    if scheme == "io":
        return f"I-{tag}"
    if not (found := _SCHEMES[scheme].fullmatch(tag)):  # a label of a test that training has not
        return f"I-{tag}"
    mark = found["mark"][0].upper()
    return f"{_ENDS.get(mark, mark)}-{found['kind'] or 'entity'}"


def span_scores(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], scheme: str | None = None
) -> Scores:
    """F1, precision, recall of entities as conlleval counts them, BIOES and BILOU too, and accuracy of tags."""
    try:
        from seqeval import metrics
    except ImportError as missing:
        raise ImportError('entities are scored by seqeval: pip install "mmbert[finetune]"') from missing
    guesses, tags = _words(predictions, references)
    scheme = scheme or entity_scheme([*guesses, *tags]) or "io"
    sides = [[as_prefixed(sentence, scheme) for sentence in side] for side in (references, predictions)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a side without entities: defined as 0 below
        values = {
            "f1": metrics.f1_score(*sides, zero_division=0),
            "precision": metrics.precision_score(*sides, zero_division=0),
            "recall": metrics.recall_score(*sides, zero_division=0),
        }
    accuracy = sum(guess == tag for guess, tag in zip(guesses, tags, strict=True)) / len(tags)
    return {name: float(value) for name, value in values.items()} | {"accuracy": accuracy}


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
        raise ValueError("there are 0 rows to score: give at least one")


def _words(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> tuple[list[str], list[str]]:
    """Lay the sentences end to end, once it is sure that they are equally long."""
    _check(predictions, references)
    for number, (guess, truth) in enumerate(zip(predictions, references, strict=True)):
        if len(guess) != len(truth):
            raise ValueError(f"sentence {number}: {len(guess)} tags for {len(truth)} words: every word needs one")
    words = [tag for sentence in references for tag in sentence]
    if not words:
        raise ValueError("there are 0 words to score: give at least one")
    return [tag for sentence in predictions for tag in sentence], words

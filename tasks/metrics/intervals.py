"""95 % intervals of scores over rows: what other samples of as many rows might have shown.

A share of rows has Wilson's interval. Every other score has that of the percentile bootstrap (Efron and Tibshirani
1993): rows are drawn with replacement 1,000 times, with a fixed seed, and each draw is scored; a sentence is drawn with
all its words. Most scores are functions of sums over rows, which makes a draw one product of matrices. Where all draws
agree on 0 or 1 or there is one row, Wilson's interval stands in, because the bootstrap's would have no width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from .classification import as_prefixed, entity_scheme

Interval = list[float]  # both ends, as records hold them
Intervals = dict[str, Interval]
Floats = npt.NDArray[np.float64]
DRAWS = 1_000
_AT_ONCE = 1_000_000  # drawn rows that memory holds
_Z = 1.959964


def share_interval(share: float, rows: int) -> Interval:
    """Wilson's interval of a share of rows."""
    middle, scale = share + _Z * _Z / (2 * rows), 1 + _Z * _Z / rows
    half = _Z * float(np.sqrt(share * (1 - share) / rows + _Z * _Z / (4 * rows * rows)))
    return [max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)]


def bootstrap_interval(sums: npt.ArrayLike, score: Callable[[Floats], Floats]) -> Interval:
    """The percentile bootstrap's interval of a score between 0 and 1 that is a function of sums over rows.

    Args:
        sums: (rows, k), what each row adds to the sums.
        score: Turns (draws, k) sums into (draws,) scores.

    Returns:
        Both ends.
    """
    own = np.asarray(sums, dtype=np.float64)
    found = [score(_counts(drawn) @ own) for drawn in _draws(len(own))]
    low, high = _ends(found)
    return [low, high] if low < high else share_interval(low, len(own))


def mean_interval(values: Sequence[float]) -> Interval:
    """The interval of a mean over rows of values between 0 and 1, such as the F1 of answers."""
    rows = len(values)
    return bootstrap_interval(np.asarray(values, dtype=np.float64)[:, None], lambda sums: sums[:, 0] / rows)


def label_intervals(predictions: Sequence[Any], references: Sequence[Any], positive: Any = None) -> Intervals:
    """Intervals of what `label_scores` gives, of labels or of sets of labels per row."""
    sets = isinstance(references[0], (list, tuple, set, frozenset))
    guesses, truths = (
        [set(map(str, row)) if sets else {str(row)} for row in side] for side in (predictions, references)
    )
    names = sorted(set().union(*guesses, *truths))
    sums = _matches(guesses, truths, names)
    right = sum(guess == truth for guess, truth in zip(guesses, truths, strict=True)) / len(truths)
    found = {"accuracy": share_interval(right, len(sums)), "macro_f1": bootstrap_interval(sums, _macro)}
    found["micro_f1"] = bootstrap_interval(_in_three(sums).sum(2), _f1) if sets else found["accuracy"]
    if not sets:
        low, high = _ends([_matthews(_counts(drawn) @ sums) for drawn in _draws(len(sums))])
        found |= {"matthews": [low, high]} if low < high else {}
    if positive is not None:
        column = names.index(str(positive)) if str(positive) in names else None
        own = np.zeros((len(sums), 3)) if column is None else _in_three(sums)[:, :, column]
        found["f1"] = bootstrap_interval(own, _f1)
    return found


def similarity_intervals(predictions: Sequence[float], references: Sequence[float]) -> Intervals:
    """Intervals of what `similarity_scores` gives; none where they have no width."""
    stats: Any = import_module("scipy.stats")
    sides = [np.asarray(side, dtype=np.float64) for side in (predictions, references)]
    found: dict[str, list[Floats]] = {"spearman": [], "pearson": []}
    for drawn in _draws(len(sides[0])):
        pair = [side[drawn] for side in sides]
        found["pearson"].append(_correlations(*pair))
        found["spearman"].append(_correlations(*(stats.rankdata(side, axis=1) for side in pair)))
    ends = {name: _ends(values) for name, values in found.items()}
    return {name: [low, high] for name, (low, high) in ends.items() if low < high}


def tag_intervals(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> Intervals:
    """Intervals over sentences of what `tag_scores` gives."""
    names = sorted({tag for side in (predictions, references) for sentence in side for tag in sentence})
    place = {name: column for column, name in enumerate(names)}
    sums = np.zeros((len(references), 3, len(names)))
    for row, (guess, truth) in enumerate(zip(predictions, references, strict=True)):
        for one, right in zip(guess, truth, strict=True):
            sums[row, 0, place[one]] += one == right
            sums[row, 1, place[one]] += 1
            sums[row, 2, place[right]] += 1
    runs = ([[f"I-{tag}" for tag in sentence] for sentence in side] for side in (predictions, references))
    return {
        "accuracy": bootstrap_interval(sums[:, [0, 2]].sum(2), lambda totals: totals[:, 0] / totals[:, 1]),
        "macro_f1": bootstrap_interval(sums.reshape(len(sums), -1), _macro),
        "run_f1": bootstrap_interval(_entities(*runs), _f1),
    }


def span_intervals(
    predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], scheme: str | None = None
) -> Intervals:
    """Intervals over sentences of what `span_scores` gives."""
    scheme = scheme or entity_scheme(tag for side in (predictions, references) for row in side for tag in row) or "io"
    sums = _entities(*([as_prefixed(tags, scheme) for tags in side] for side in (predictions, references)))
    words = [
        (sum(one == right for one, right in zip(*pair, strict=True)), len(pair[1]))
        for pair in zip(predictions, references, strict=True)
    ]
    return {
        "f1": bootstrap_interval(sums, _f1),
        "precision": bootstrap_interval(sums, lambda totals: _ratio(totals[:, 0], totals[:, 1])),
        "recall": bootstrap_interval(sums, lambda totals: _ratio(totals[:, 0], totals[:, 2])),
        "accuracy": bootstrap_interval(words, lambda totals: totals[:, 0] / totals[:, 1]),
    }


def interval_over_seeds(ends: Iterable[Interval | None]) -> Interval | None:
    """The mean of both ends over seeds; None if a seed has none."""
    known = list(ends)
    return None if not known or None in known else [float(np.mean(side)) for side in zip(*known, strict=True)]


def _draws(rows: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield (draws, rows) numbers of rows, `DRAWS` draws in all."""
    random, left = np.random.default_rng(0), DRAWS
    while left:
        some = min(left, max(1, _AT_ONCE // rows))
        yield random.integers(0, rows, (some, rows))
        left -= some


def _counts(drawn: npt.NDArray[np.int64]) -> Floats:
    """How often each draw has each row: (draws, rows)."""
    draws, rows = drawn.shape
    flat = (drawn + np.arange(draws)[:, None] * rows).ravel()
    return np.bincount(flat, minlength=draws * rows).reshape(draws, rows).astype(np.float64)


def _ends(values: Sequence[Floats]) -> Interval:
    low, high = np.percentile(np.concatenate(values), (2.5, 97.5))
    return [float(low), float(high)]


def _matches(guesses: Sequence[set[str]], truths: Sequence[set[str]], names: Sequence[str]) -> Floats:
    """Of each row, which labels are matched, predicted and right: (rows, 3 x labels)."""
    predicted, right = (np.array([[name in row for name in names] for row in side]) for side in (guesses, truths))
    return np.concatenate([predicted & right, predicted, right], axis=1).astype(np.float64)


def _entities(guesses: Sequence[list[str]], truths: Sequence[list[str]]) -> npt.NDArray[np.int64]:
    """Entities of each sentence that are matched, predicted and right: (sentences, 3)."""
    entities: Any = import_module("seqeval.metrics.sequence_labeling").get_entities
    read = [(set(entities(guess)), set(entities(truth))) for guess, truth in zip(guesses, truths, strict=True)]
    return np.asarray([(len(guess & truth), len(guess), len(truth)) for guess, truth in read])


def _in_three(sums: Floats) -> Floats:
    return sums.reshape(len(sums), 3, -1)


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _f1(sums: Floats) -> Floats:
    return _ratio(2 * sums[:, 0], sums[:, 1] + sums[:, 2])


def _macro(sums: Floats) -> Floats:
    """Mean F1 of the labels that a draw has on either side."""
    matched, predicted, right = _in_three(sums).transpose(1, 0, 2)
    there = predicted + right
    return _ratio(_ratio(2 * matched, there).sum(1), (there > 0).sum(1).astype(np.float64))


def _matthews(sums: Floats) -> Floats:
    """Gorodkin's R of k classes, as scikit-learn's `matthews_corrcoef`."""
    matched, predicted, right = _in_three(sums).transpose(1, 0, 2)
    rows = right.sum(1)
    wide = [rows**2 - (side**2).sum(1) for side in (predicted, right)]
    return _ratio(matched.sum(1) * rows - (predicted * right).sum(1), np.sqrt(wide[0] * wide[1]))


def _correlations(one: Floats, other: Floats) -> Floats:
    """Pearson's correlation of every draw, 0 where a side is constant."""
    first, second = (side - side.mean(1, keepdims=True) for side in (one, other))
    return _ratio((first * second).sum(1), np.sqrt((first**2).sum(1) * (second**2).sum(1)))

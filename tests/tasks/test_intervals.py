"""Intervals over rows against scipy's bootstrap of the scores themselves, and scipy's Wilson interval."""

import time

import numpy as np
import pytest
from mmbert.tasks.metrics import intervals
from mmbert.tasks.metrics.classification import label_scores, similarity_scores, span_scores, tag_scores

stats = pytest.importorskip("scipy.stats")
DRAWS, ROWS = 30, 40


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(intervals, "DRAWS", DRAWS)


def by_scipy(score, predictions, references):
    """Ends of the percentile bootstrap for every number that `score` gives; rows are drawn as numpy draws them."""

    def values(numbers):
        found = score([predictions[one] for one in numbers], [references[one] for one in numbers])
        return np.array([found[name] for name in names])

    names = list(score(predictions, references))
    ends = stats.bootstrap(
        (np.arange(len(references)),),
        values,
        n_resamples=DRAWS,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {name: (low, high) for name, low, high in zip(names, ends.low, ends.high, strict=True)}


def agrees(found, expected, but=()):
    assert set(found) == set(expected) - set(but)
    for name in set(found) - {"accuracy"}:
        assert found[name] == pytest.approx(expected[name], abs=1e-9), name


def drawn(values, count, seed):
    return [values[one] for one in np.random.default_rng(seed).integers(0, len(values), count)]


def noisy(truth, values, seed):
    other, keep = drawn(values, len(truth), seed), np.random.default_rng(seed + 1).random(len(truth)) < 0.6
    return [one if kept else guess for one, guess, kept in zip(truth, other, keep, strict=True)]


def test_classes():
    truth = drawn(["a", "b", "c", "d"], ROWS, 0)
    guesses = noisy(truth, ["a", "b", "c", "x"], 1)
    found = intervals.label_intervals(guesses, truth, positive="b")
    expected = by_scipy(lambda *sides: label_scores(*sides, positive="b"), guesses, truth)
    right = sum(one == other for one, other in zip(guesses, truth, strict=True))
    wilson = stats.binomtest(right, ROWS).proportion_ci(method="wilson")
    assert found["accuracy"] == found["micro_f1"] == pytest.approx((wilson.low, wilson.high), abs=1e-6)
    agrees(found, {**expected, "micro_f1": found["micro_f1"]})


def test_sets_of_classes():
    sets = [["a"], ["a", "b"], [], ["c"], ["b", "c"]]
    truth = drawn(sets, ROWS, 2)
    agrees(
        intervals.label_intervals(noisy(truth, sets, 3), truth),
        by_scipy(label_scores, noisy(truth, sets, 3), truth),
    )


def test_numbers():
    truth = np.random.default_rng(4).integers(0, 6, ROWS).astype(float).tolist()
    guesses = (np.asarray(truth) + np.random.default_rng(5).normal(0, 2, ROWS)).tolist()
    agrees(intervals.similarity_intervals(guesses, truth), by_scipy(similarity_scores, guesses, truth))
    assert intervals.similarity_intervals([1.0] * ROWS, truth) == {}


@pytest.mark.parametrize(("score", "interval", "tags"), [
    (span_scores, intervals.span_intervals, ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC"]),
    (span_scores, intervals.span_intervals, ["O", "PER", "LOC", "O"]),
    (tag_scores, intervals.tag_intervals, ["NOUN", "VERB", "DET", "O"]),
])  # fmt: skip
def test_tags_are_drawn_by_sentence(score, interval, tags):
    truth = [drawn(tags, 3 + seed % 5, seed) for seed in range(ROWS)]
    guesses = [noisy(sentence, tags, 100 + seed) for seed, sentence in enumerate(truth)]
    found, expected = interval(guesses, truth), by_scipy(score, guesses, truth)
    agrees(found, expected)
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-9)  # of words, in sentences


def test_means_and_what_has_no_width():
    values = np.random.default_rng(6).random(ROWS).tolist()
    ends = stats.bootstrap(
        (values,), np.mean, n_resamples=DRAWS, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert intervals.mean_interval(values) == pytest.approx((ends.low, ends.high))
    assert intervals.mean_interval(values) == intervals.mean_interval(values)
    for rows in (1, 3, 200):
        assert intervals.mean_interval([1.0] * rows) == intervals.share_interval(1.0, rows)
    assert intervals.mean_interval([0.0] * 3)[1] > 0.5


def test_many_rows_are_drawn_in_pieces_that_fit_in_memory(monkeypatch):
    values = np.random.default_rng(7).random(500).tolist()
    whole = intervals.mean_interval(values)
    monkeypatch.setattr(intervals, "_AT_ONCE", 1_700)
    assert intervals.mean_interval(values) == pytest.approx(whole)
    monkeypatch.setattr(intervals, "_AT_ONCE", 1)
    assert intervals.mean_interval(values) == pytest.approx(whole)


def test_a_thousand_draws_of_a_thousand_rows_cost_little(monkeypatch):
    monkeypatch.setattr(intervals, "DRAWS", 1_000)
    began = time.process_time()
    intervals.mean_interval(np.random.default_rng(8).random(1_000).tolist())
    assert time.process_time() - began < 1

"""Bitext accuracy against scikit-learn's neighbours and against cases with a known answer."""

from dataclasses import dataclass

import numpy as np
import pytest
from mmbert.evaluation import bitext_accuracy
from sklearn.neighbors import NearestNeighbors


@dataclass
class Row:
    language: str
    english: str
    text: str


class Table:
    """An encoder that looks its vectors up, and remembers what it was asked."""

    def __init__(self, vectors):
        self.vectors, self.asked = vectors, []

    def encode(self, inputs, *, batch_size):
        self.asked.append(list(inputs))
        return np.stack([self.vectors[text] for text in inputs])


def noisy_pairs(language, count, noise, seed):
    rng = np.random.default_rng(seed)
    rows = [Row(language, f"{language} english {i}", f"{language} text {i}") for i in range(count)]
    vectors = {}
    for row in rows:
        center = rng.normal(size=16)
        vectors[row.english] = center * rng.uniform(0.1, 9)  # lengths must not matter
        vectors[row.text] = center + noise * rng.normal(size=16)
    return rows, vectors


def neighbour_accuracy(queries, candidates):
    finder = NearestNeighbors(n_neighbors=1, metric="cosine").fit(candidates)
    return float((finder.kneighbors(queries, return_distance=False)[:, 0] == np.arange(len(queries))).mean())


def test_agrees_with_scikit_learn_in_both_directions():
    rows, vectors = noisy_pairs("fra_Latn", 1500, 0.9, seed=1)  # more rows than one band of similarities
    scores = bitext_accuracy(Table(vectors), rows)["languages"]["fra_Latn"]
    english = np.stack([vectors[row.english] for row in rows])
    text = np.stack([vectors[row.text] for row in rows])
    assert 0.1 < scores["to_english"] < 0.9
    assert scores["to_english"] == pytest.approx(neighbour_accuracy(text, english))
    assert scores["from_english"] == pytest.approx(neighbour_accuracy(english, text))
    assert scores["accuracy"] == pytest.approx((scores["to_english"] + scores["from_english"]) / 2)
    assert scores["chance"] == 1 / 1500


def test_means_by_language_and_group():
    easy, first = noisy_pairs("fra_Latn", 30, 0.0, seed=1)
    hard, second = noisy_pairs("isl_Latn", 60, 3.0, seed=2)
    result = bitext_accuracy(
        Table(first | second), [*easy, *hard], groups={"fra_Latn": "high", "isl_Latn": "mid", "amh_Ethi": "low"}
    )
    accuracies = {tag: scores["accuracy"] for tag, scores in result["languages"].items()}
    assert accuracies["fra_Latn"] == 1.0
    assert result["macro"] == pytest.approx(np.mean(list(accuracies.values())))
    assert result["groups"] == {"high": 1.0, "mid": accuracies["isl_Latn"]}


def test_a_collapsed_encoder_scores_nothing():
    rows, vectors = noisy_pairs("fra_Latn", 40, 0.0, seed=1)
    same = np.random.default_rng(0).normal(size=16)
    result = bitext_accuracy(Table(dict.fromkeys(vectors, same)), rows)
    assert result["macro"] == 0.0


def test_what_is_left_out_is_counted():
    rows, vectors = noisy_pairs("fra_Latn", 12, 0.0, seed=1)
    few, more = noisy_pairs("isl_Latn", 5, 0.0, seed=2)
    extra = [
        Row("fra_Latn", rows[0].english, "autre"),  # English side twice
        Row("fra_Latn", "other", rows[0].text),  # text twice
        Row("fra_Latn", "Python", "Python"),  # never translated
        Row("fra_Latn", " ", "vide"),
        Row("eng_Latn", "one", "uno"),
    ]
    result = bitext_accuracy(Table(vectors | more), [*rows, *extra, *few], min_pairs=10, max_pairs=11)
    assert result["skipped"] == {"repeated": 2, "untranslated": 1, "empty": 1, "english": 1, "over max_pairs": 1}
    assert result["skipped_languages"] == {"isl_Latn": 5}
    assert result["languages"]["fra_Latn"]["pairs"] == 11


def test_each_text_is_embedded_once():
    rows, vectors = noisy_pairs("fra_Latn", 12, 0.0, seed=1)
    again = [Row("deu_Latn", row.english, row.text.replace("fra", "deu")) for row in rows]
    vectors |= {row.text: vectors[row.english] for row in again}
    encoder = Table(vectors)
    bitext_accuracy(encoder, [*rows, *again])
    (asked,) = encoder.asked
    assert len(asked) == len(set(asked)) == 36


@pytest.mark.parametrize(
    "rows, options, message",
    [
        ([], {}, "no language has 10 usable pairs"),  # nothing given
        ([Row("fra_Latn", "a", "b")], {}, "'fra_Latn': 1"),  # too few, and named
        ([Row("fra_Latn", "a", None)], {}, "pair 0 .*must be text"),  # not text
        ([], {"min_pairs": 1}, "min_pairs must be at least 2"),
        ([], {"max_pairs": 3}, "max_pairs must be at least min_pairs"),
    ],
)
def test_bad_input(rows, options, message):
    with pytest.raises(ValueError, match=message):
        bitext_accuracy(Table({}), rows, **options)


def test_a_vector_that_is_not_finite_is_named():
    rows, vectors = noisy_pairs("fra_Latn", 12, 0.0, seed=1)
    vectors[rows[3].text] = np.full(16, np.nan)
    with pytest.raises(ValueError, match=r"fra_Latn text 3.*not finite"):
        bitext_accuracy(Table(vectors), rows)

"""Cheap vectors against brute force over all pairs."""

import numpy as np
import pytest
from mmbert.embeddings import CompactVectors, compact
from mmbert.embeddings.encoding import vectors


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def corpus():
    """Clusters in a narrow cone, as encoders give them: the same sign in many dimensions."""
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(60, 100))
    rows = centres[draw.integers(0, 60, 2000)] + 0.5 * draw.normal(size=(2000, 100)) + 3 * draw.normal(size=100)
    return unit(rows).astype(np.float32)


@pytest.fixture(scope="module")
def queries(corpus):
    draw = np.random.default_rng(1)
    return unit(corpus[draw.choice(2000, 40, replace=False)] + 0.02 * draw.normal(size=(40, 100))).astype(np.float32)


def brute_force(queries, corpus, count):
    return np.argsort(-(queries @ corpus.T), axis=1, kind="stable")[:, :count]


def recall(found, expected):
    return np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(found, expected, strict=True)])


@pytest.mark.parametrize("dims", [None, 64, 30])
@pytest.mark.parametrize("keep", ["float32", "float16", "int8"])
def test_who_scores_everything_again_finds_what_brute_force_finds(corpus, queries, dims, keep):
    found, scores = compact(corpus, dims=dims, keep=keep).search(queries, 5, oversampling=400)
    cut_queries, cut = unit(queries[:, :dims]), unit(corpus[:, :dims])
    expected = brute_force(cut_queries, cut, 5)
    assert recall(found, expected) >= (1 if keep == "float32" else 0.9)
    exact = np.take_along_axis(cut_queries @ cut.T, found, axis=1)
    np.testing.assert_allclose(scores, exact, atol=1e-6 if keep == "float32" else 5e-3)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_bits_are_compared_by_hamming_distance_from_the_mean(corpus, queries, monkeypatch):
    monkeypatch.setattr(vectors, "_CHUNK", 300)  # several pieces
    small = compact(corpus, keep="float32")
    centre = corpus.mean(axis=0)
    above, asked = corpus > centre, queries > centre
    np.testing.assert_array_equal(np.unpackbits(small.bits, axis=1)[:, :100].astype(bool), above)
    distances = (above[None] != asked[:, None]).sum(axis=2)
    found, _ = small.search(queries, 10, oversampling=1)
    for query, rows in enumerate(found):
        assert sorted(distances[query, rows]) == sorted(distances[query])[:10]


def test_rescoring_finds_more_than_bits_and_bits_around_the_mean_more_than_signs(corpus, queries):
    expected = brute_force(queries, corpus, 10)
    by_bits = recall(compact(corpus, keep=None).search(queries, 10, oversampling=1)[0], expected)
    rescored = recall(compact(corpus).search(queries, 10, oversampling=8)[0], expected)
    signs = np.argsort(((corpus > 0)[None] != (queries > 0)[:, None]).sum(axis=2), axis=1, kind="stable")[:, :10]
    assert rescored > 0.9 > by_bits > recall(signs, expected)


def test_sizes_and_files(corpus, queries, tmp_path):
    small = compact(corpus, dims=64)
    assert small.bytes_per_vector == 8 + 64 and len(small) == 2000 and small.dims == 64
    assert compact(corpus, keep=None).bytes_per_vector == 16  # 100 bits in whole words
    opened = CompactVectors.load(small.save(tmp_path / "small"))
    assert isinstance(opened.fine, np.memmap) and opened.bytes_per_vector == small.bytes_per_vector
    for got, wanted in zip(opened.search(queries), small.search(queries), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_memory_mapped_corpus_gives_the_same(corpus, queries, tmp_path):
    np.save(tmp_path / "v.npy", corpus)
    mapped = compact(np.load(tmp_path / "v.npy", mmap_mode="r"))
    np.testing.assert_array_equal(mapped.search(queries)[0], compact(corpus).search(queries)[0])


def test_a_corpus_smaller_than_what_is_asked_for(corpus, queries):
    places, scores = compact(corpus[:3]).search(queries[0], 10)
    assert places.shape == scores.shape == (1, 3) and sorted(places[0]) == [0, 1, 2]


@pytest.mark.parametrize(
    "change, options, message",
    [
        (lambda rows: rows[:, :0], {}, "at least one"),
        (lambda rows: rows[0], {}, "at least one"),
        (lambda rows: rows, {"dims": 101}, "dims must lie between 1 and the vectors' 100 dimensions, got 101"),
        (lambda rows: rows, {"keep": "int4"}, "keep must be None, int8, float16, float32, got 'int4'"),
        (lambda rows: np.where(np.arange(2000)[:, None] == 7, np.nan, rows), {}, "vector 7 is not finite"),
    ],
)
def test_bad_vectors_are_refused(corpus, change, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        compact(change(corpus), **options)
    assert "\n" not in str(caught.value)


def test_bad_queries_are_refused(corpus, queries):
    small = compact(corpus)
    with pytest.raises(ValueError, match="a query has 64 dimensions, the corpus 100"):
        small.search(queries[:, :64])
    with pytest.raises(ValueError, match="query 0 is not finite"):
        small.search(np.full((1, 100), np.inf))
    with pytest.raises(ValueError, match="top_k and oversampling must be at least 1, got 0 and 4"):
        small.search(queries, 0)


def test_files_that_do_not_belong_together_are_refused(corpus, tmp_path):
    folder = compact(corpus).save(tmp_path / "small")
    np.save(folder / "fine.npy", np.zeros((3, 100), np.int8))
    with pytest.raises(ValueError, match="make the folder again"):
        CompactVectors.load(folder)
    with pytest.raises(FileNotFoundError, match="holds no compact"):
        CompactVectors.load(tmp_path)

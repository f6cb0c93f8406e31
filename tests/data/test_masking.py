"""Masking: the ratio, 80/10/10, never a special token, never nothing; and the stored-nowhere permutation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data.hashing import permute, scramble
from mmbert.data.pretraining.masking import IGNORED, Masker, row_noise

SPECIAL = np.zeros(1000, dtype=bool)
SPECIAL[:5] = True
MASKER = Masker(4, SPECIAL)


def mask(ids, ratio, lengths, seed=1):
    keys = np.random.default_rng(seed).integers(0, 2**64, len(lengths), dtype=np.uint64)
    return MASKER.mask(ids, ratio, row_noise(keys, np.array(lengths)), np.array(lengths))


@pytest.mark.parametrize("ratio", [0.3, 0.15, 0.05])
def test_shares_of_masking_are_those_of_the_recipe(ratio):
    ids = np.random.default_rng(0).integers(5, 1000, 400_000)
    masked, labels = mask(ids, ratio, [1000] * 400)
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(ratio, abs=0.003)
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    fate = masked[chosen]
    assert (fate == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (fate == ids[chosen]).mean() == pytest.approx(0.1, abs=0.01)
    random_words = fate[(fate != 4) & (fate != ids[chosen])]
    assert len(np.unique(random_words)) > 800
    assert random_words.min() >= 5


@given(
    st.lists(st.lists(st.integers(0, 999), min_size=1, max_size=30), min_size=1, max_size=5),
    st.floats(0.001, 0.999),
    st.integers(0, 2**32 - 1),
)
def test_specials_are_never_chosen_and_every_row_has_one(rows, ratio, seed):
    ids, lengths = np.concatenate([np.array(row) for row in rows]), [len(row) for row in rows]
    masked, labels = mask(ids, ratio, lengths, seed)
    assert not (labels != IGNORED)[SPECIAL[ids]].any()
    assert (masked[SPECIAL[ids]] == ids[SPECIAL[ids]]).all()
    for row, label in zip(rows, np.split(labels, np.cumsum(lengths)[:-1]), strict=True):
        assert (label != IGNORED).any() == any(word >= 5 for word in row)


def test_a_mask_depends_on_its_row_and_column_alone():
    """Rows masked together, apart, or cut short: each token has the same fate."""
    ids = np.random.default_rng(0).integers(5, 1000, 300)
    keys, lengths = np.array([11, 2**64 - 1, 0], dtype=np.uint64), np.array([100, 50, 150])
    together = MASKER.mask(ids, 0.3, row_noise(keys, lengths), lengths)
    for number, start in enumerate(np.cumsum(lengths) - lengths):
        for length in (lengths[number], 40):
            row = ids[start : start + length]
            alone = MASKER.mask(row, 0.3, row_noise(keys[number, None], np.array([length])), np.array([length]))
            assert all(np.array_equal(a, b[start : start + length]) for a, b in zip(alone, together, strict=True))


def test_noise_is_uniform_and_independent_of_place():
    """Bits are even, and neither neighbours in a row nor the same column of neighbouring rows go together."""
    noise = row_noise(scramble(np.arange(500, dtype=np.uint64)), np.full(500, 1000))
    bits = np.unpackbits(noise.view(np.uint8)).reshape(-1, 64)
    assert np.abs(bits.mean(0) - 0.5).max() < 4 / np.sqrt(len(noise))
    value = (noise / 2.0**64).reshape(500, 1000)
    counts = np.histogram(value, 100, (0, 1))[0]
    assert ((counts - 5000) ** 2 / 5000).sum() < 150  # chi-square, 99 degrees of freedom: 1 in 1,000
    for lag in (1, 2, 7, 64):
        assert abs(np.corrcoef(value[:, lag:].ravel(), value[:, :-lag].ravel())[0, 1]) < 0.006
        assert abs(np.corrcoef(value[lag:].ravel(), value[:-lag].ravel())[0, 1]) < 0.006
    assert abs(np.corrcoef(value.ravel(), (scramble(noise ^ np.uint64(1)) / 2.0**64).ravel())[0, 1]) < 0.006


@pytest.mark.parametrize("ratio", [0, 1, 15, -0.1])
def test_a_ratio_outside_is_refused(ratio):
    with pytest.raises(ValueError, match=rf"between 0 and 1, got {ratio}"):
        mask(np.array([7]), ratio, [1])


def test_a_masker_needs_a_mask_and_words():
    with pytest.raises(ValueError, match="mask id 1000 lies outside the vocabulary of 1000"):
        Masker(1000, SPECIAL)
    with pytest.raises(ValueError, match="special tokens only"):
        Masker(4, np.ones(5, dtype=bool))


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**64 - 1))
def test_a_permutation_visits_everything_once(size, key):
    index = np.arange(size)
    place = permute(index, np.full(size, size), np.full(size, key, dtype=np.uint64))
    assert sorted(place.tolist()) == index.tolist()


def test_permutations_look_shuffled_and_differ_by_key():
    size = 10_000
    index, sizes = np.arange(size), np.full(size, size)
    one, other = (permute(index, sizes, np.full(size, key, dtype=np.uint64)) for key in (1, 2))
    assert abs(np.corrcoef(index, one)[0, 1]) < 0.05
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05
    steps = np.diff(one)
    assert len(np.unique(steps)) > size / 2  # no fixed stride


def test_a_permutation_of_ten_billion_needs_no_memory():
    index = np.array([0, 1, 9_999_999_999])
    place = permute(index, np.full(3, 10**10), np.full(3, 7, dtype=np.uint64))
    assert len(set(place.tolist())) == 3
    assert (0 <= place).all() and (place < 10**10).all()

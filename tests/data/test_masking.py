"""Masking: the ratio, 80/10/10, never a special token, never nothing; and the stored-nowhere permutation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data.masking import IGNORED, Masker
from mmbert.data.permutation import permute

SPECIAL = np.zeros(1000, dtype=bool)
SPECIAL[:5] = True
MASKER = Masker(4, SPECIAL)


def test_shares_of_masking_are_those_of_the_recipe():
    ids = np.random.default_rng(0).integers(5, 1000, 200_000)
    masked, labels = MASKER.mask(ids, 0.3, np.random.default_rng(1))
    chosen = labels != IGNORED
    assert chosen.mean() == pytest.approx(0.3, abs=0.005)
    assert (labels[chosen] == ids[chosen]).all()
    assert (masked[~chosen] == ids[~chosen]).all()
    fate = masked[chosen]
    assert (fate == 4).mean() == pytest.approx(0.8, abs=0.005)
    assert (fate == ids[chosen]).mean() == pytest.approx(0.1, abs=0.005)
    random_words = fate[(fate != 4) & (fate != ids[chosen])]
    assert len(np.unique(random_words)) > 900
    assert random_words.min() >= 5


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=30),
    st.floats(0.001, 0.999),
    st.integers(0, 2**32 - 1),
)
def test_specials_are_never_chosen_and_there_is_always_one(ids, ratio, seed):
    ids = np.array(ids)
    masked, labels = MASKER.mask(ids, ratio, np.random.default_rng(seed))
    chosen = labels != IGNORED
    assert not chosen[SPECIAL[ids]].any()
    assert (masked[SPECIAL[ids]] == ids[SPECIAL[ids]]).all()
    assert chosen.any() == (~SPECIAL[ids]).any()


@pytest.mark.parametrize("ratio", [0, 1, 15, -0.1])
def test_a_ratio_outside_is_refused(ratio):
    with pytest.raises(ValueError, match=rf"between 0 and 1, got {ratio}"):
        MASKER.mask(np.array([7]), ratio, np.random.default_rng(0))


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

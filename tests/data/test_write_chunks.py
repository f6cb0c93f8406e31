"""Cuts at write time against a plain loop that moves tokens, as Ettin's published description says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmbert.data.tokenization.writer import cut_documents


def moved_by_hand(document, chunk_size, tail):
    """Cut one document; `tail` tells how many tokens the last piece takes from the one before."""
    piece = chunk_size - 2
    pieces = [document[i : i + piece] for i in range(0, len(document), piece)]
    dropped = []
    if len(pieces) > 1 and len(pieces[-1]) < 32:
        dropped = pieces.pop()
    elif len(pieces) > 1 and len(pieces[-1]) < 512 and tail:
        pieces[-1] = pieces[-2][-tail:] + pieces[-1]
        pieces[-2] = pieces[-2][:-tail]
    return pieces, dropped


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    chunk_size=st.integers(34, 1500),
    key=st.integers(0, 2**64 - 1),
)
def test_cuts_are_those_of_a_loop_that_moves_tails(lengths, chunk_size, key):
    cuts = cut_documents(np.array(lengths), chunk_size, key)
    place, moved = 0, 0
    for length in lengths:
        document = list(range(length))
        count = -(-length // (chunk_size - 2))
        mine = cuts.lengths[place : place + count].tolist()
        kept = cuts.kept[place : place + count]
        rest = length % (chunk_size - 2)
        tail = mine[-1] - rest if count > 1 and 32 <= rest < 512 else 0
        assert 0 <= tail < max(1, chunk_size - 2 - rest)
        pieces, dropped = moved_by_hand(document, chunk_size, tail)
        assert [length for length, keep in zip(mine, kept, strict=True) if keep] == [len(piece) for piece in pieces]
        assert [token for part in [*pieces, dropped] for token in part] == document and (not dropped) == kept.all()
        assert max(mine) <= chunk_size - 2 and min(mine) > 0
        place, moved = place + count, moved + tail
    assert place == len(cuts.lengths) and moved == cuts.moved


def test_tails_are_uniform_and_depend_on_nothing_but_key_and_number():
    lengths = np.full(20_000, 1022 + 100)
    whole = cut_documents(lengths, 1024, key=5)
    tails = whole.lengths[1::2] - 100
    assert tails.min() == 0 and tails.max() == 921  # uniform over 0 .. 1022 - 100 - 1
    assert np.histogram(tails, bins=4, range=(0, 922))[0] == pytest.approx([5000] * 4, rel=0.05)
    second_half = cut_documents(lengths[10_000:], 1024, key=5, first=10_000)
    assert (whole.lengths[20_000:] == second_half.lengths).all()
    assert not (whole.lengths == cut_documents(lengths, 1024, key=6).lengths).all()


def test_too_small_a_chunk():
    with pytest.raises(ValueError, match="chunk_size is 33, but must be 34 or more"):
        cut_documents(np.array([5]), 33, 0)

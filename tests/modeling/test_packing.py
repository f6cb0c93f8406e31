from itertools import pairwise

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from mmbert.modeling.packing import stream_of_packed, stream_of_padded

CPU = torch.device("cpu")
masks = st.integers(1, 9).flatmap(
    lambda width: st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=6)
)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_padding_leaves_and_returns(rows):
    mask = torch.tensor(rows)
    batch, length = mask.shape
    stream = stream_of_padded(mask, batch, length, CPU)
    tokens = torch.arange(1, mask.numel() + 1)
    taken = stream.take(tokens)
    assert sorted(taken.tolist()) == tokens[mask.flatten()].tolist()
    assert stream.restore(taken).tolist() == (tokens * mask.flatten()).tolist()
    assert stream.to_dense(taken).tolist() == (tokens.view_as(mask) * mask).tolist()
    assert stream.from_dense(stream.to_dense(taken)).tolist() == taken.tolist()


@settings(max_examples=60, deadline=None)
@given(masks)
def test_a_stream_says_truly_where_its_sequences_are(rows):
    mask = torch.tensor(rows)
    stream = stream_of_padded(mask, *mask.shape, CPU)
    ends = stream.cu_seq_lens.tolist()
    lengths = [end - start for start, end in pairwise(ends)]
    assert lengths == sorted(mask.sum(1).tolist()) or not (~mask).any()
    assert [length for number, length in stream.groups for _ in range(number)] == [n for n in lengths if n]
    assert stream.max_length == max(mask.sum(1).tolist())
    for start, end in pairwise(ends):
        assert len(set(stream.rows[start:end].tolist())) <= 1
        assert stream.columns[start:end].tolist() == sorted(stream.columns[start:end].tolist())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.booleans())
def test_packed_sequences_come_back_in_the_callers_order(lengths, by_length):
    boundaries = torch.tensor([0, *lengths]).cumsum(0)
    total = sum(lengths)
    stream = stream_of_packed(boundaries, None, total, CPU, by_length=by_length)
    tokens = torch.arange(total)
    taken = stream.take(tokens)
    assert stream.restore(taken).tolist() == tokens.tolist()
    owners = [row for row, length in enumerate(lengths) for _ in range(length)]
    places = [place for length in lengths for place in range(length)]
    assert [owners[token] for token in taken] == stream.rows.tolist()
    assert [places[token] for token in taken] == stream.columns.tolist()
    in_stream = sorted(lengths) if by_length else lengths
    assert stream.cu_seq_lens.diff().tolist() == in_stream
    assert stream.cu_seq_lens.dtype == torch.int32


def test_padding_without_effect_is_no_padding():
    stream = stream_of_padded(torch.ones(2, 3), 2, 3, CPU)
    assert stream.source is None and stream.groups == ((2, 3),)


@pytest.mark.parametrize(
    ("boundaries", "max_length", "message"),
    [
        ([0, 3, 9], None, "from 0 to 10.*got 0 to 9"),
        ([1, 3, 10], None, "got 1 to 10"),
        ([0, 7, 3, 10], None, "shortest sequence of -4"),
        ([0, 3, 3, 10], None, "shortest sequence of 0"),
        ([0, 3, 10], 6, "longest packed sequence has 7 tokens, max_length_q says 6"),
        ([0], None, "one row of integers"),
        ([0.0, 10.0], None, "one row of integers"),
        ([[0, 10]], None, "one row of integers"),
    ],
)
def test_malformed_boundaries_are_refused(boundaries, max_length, message):
    with pytest.raises(ValueError, match=message):
        stream_of_packed(torch.tensor(boundaries), max_length, 10, CPU, by_length=False)

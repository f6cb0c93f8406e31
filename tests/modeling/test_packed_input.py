"""Sequences packed into one row must give what each gives alone, and must not know of each other."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mmbert import (
    MmBertForMaskedLM,
    MmBertForQuestionAnswering,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
    MmBertModel,
)
from transformers import DataCollatorWithFlattening

LENGTHS = [129, 1, 64, 7, 130, 64, 65]


def packed(lengths, seed=0):
    """Return (1, T) ids and the arguments that describe their sequences."""
    ids = torch.randint(5, 97, (1, sum(lengths)), generator=torch.Generator().manual_seed(seed))
    boundaries = torch.tensor([0, *lengths]).cumsum(0).int()
    return ids, {
        "cu_seq_lens_q": boundaries,
        "cu_seq_lens_k": boundaries,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
    }


def padded(ids, lengths):
    """Return the same sequences as rows, padded right, and their mask."""
    rows = ids[0].split(lengths)
    batch = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return batch, mask


@pytest.fixture(scope="module")
def networks(twins):
    return twins()


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return MmBertModel(tiny()).eval()


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_boundaries_alone_are_enough(model, backend):
    model.set_attn_implementation(backend)
    ids, sequences = packed(LENGTHS)
    with torch.no_grad():
        told = model(ids, **sequences).last_hidden_state
        counted = model(ids, cu_seq_lens_q=sequences["cu_seq_lens_q"].long()).last_hidden_state
    assert told.shape == (1, sum(LENGTHS), 128)
    assert torch.equal(told, counted)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 140), min_size=1, max_size=8), st.integers(0, 10**6))
def test_packed_equals_stock_one_by_one(networks, lengths, seed):
    model, stock = networks
    ids, sequences = packed(lengths, seed)
    with torch.no_grad():
        together = model(ids, **sequences).last_hidden_state
        alone = torch.cat([stock(row[None]).last_hidden_state for row in ids[0].split(lengths)], dim=1)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@pytest.mark.parametrize("changed", range(len(LENGTHS)))
def test_neighbours_never_see_each_other(model, backend, changed):
    model.set_attn_implementation(backend)
    ids, sequences = packed(LENGTHS)
    start, end = sequences["cu_seq_lens_q"][changed : changed + 2].tolist()
    other = ids.clone()
    other[0, start:end] = (other[0, start:end] + 31) % 97
    with torch.no_grad():
        before, after = (model(tokens, **sequences).last_hidden_state[0] for tokens in (ids, other))
    outside = torch.ones(len(before), dtype=torch.bool)
    outside[start:end] = False
    assert torch.equal(before[outside], after[outside])
    assert not torch.isclose(before[start:end], after[start:end]).all()


def test_gradients_stay_within_a_sequence(model):
    ids, sequences = packed(LENGTHS)
    embeds = torch.randn(1, ids.shape[1], 128, requires_grad=True)
    out = model(inputs_embeds=embeds, **sequences).last_hidden_state
    start, end = sequences["cu_seq_lens_q"][2:4].tolist()
    (gradient,) = torch.autograd.grad(out[0, start:end].square().sum(), embeds)
    reached = gradient[0].abs().sum(-1) > 0
    assert reached.nonzero().flatten().tolist() == list(range(start, end))


def test_padding_never_changes_a_real_token(model):
    ids = torch.randint(5, 97, (2, 150))
    mask = torch.ones_like(ids)
    mask[0, 90:] = 0
    with torch.no_grad():
        before = model(ids, mask).last_hidden_state
        after = model(ids.masked_fill(mask == 0, 96), mask).last_hidden_state
    assert torch.equal(before, after)


def test_hidden_states_come_back_in_the_callers_order(model):
    ids, sequences = packed(LENGTHS)
    with torch.no_grad():
        out = model(ids, **sequences, output_hidden_states=True)
        first = model.embeddings(ids)
    assert torch.equal(out.hidden_states[0], first)
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state)


def test_attention_weights_of_packed_input_are_one_square_a_sequence(model):
    model.set_attn_implementation("eager")
    ids, sequences = packed([5, 3, 9])
    with torch.no_grad():
        weights = model(ids, **sequences, output_attentions=True).attentions[0]
    assert weights.shape == (3, 2, 9, 9)
    for row, length in enumerate([5, 3, 9]):
        torch.testing.assert_close(weights[row, :, :length, :length].sum(-1), torch.ones(2, length))
        assert not weights[row, :, length:].any() and not weights[row, ..., length:].any()


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sequence_classifier_reads_packed_input(tiny, pooling):
    model = MmBertForSequenceClassification(tiny(num_labels=3, classifier_pooling=pooling)).eval()
    ids, sequences = packed(LENGTHS)
    batch, mask = padded(ids, LENGTHS)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0])
    with torch.no_grad():
        flat, rows = model(ids, labels=labels, **sequences), model(batch, mask, labels=labels)
    torch.testing.assert_close(flat.logits, rows.logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.loss, rows.loss, atol=1e-5, rtol=0)


def test_other_heads_read_packed_input(tiny):
    ids, sequences = packed(LENGTHS)
    batch, mask = padded(ids, LENGTHS)
    real = mask.bool()
    spans = {"start_positions": torch.tensor([4, 0, 7, 1, 100, 0, 64]), "end_positions": torch.full((7,), 0)}
    with torch.no_grad():
        tagger = MmBertForTokenClassification(tiny(num_labels=5)).eval()
        tags = torch.randint(0, 5, ids.shape)
        row_tags = torch.full(batch.shape, -100).masked_scatter(real, tags)
        flat, rows = tagger(ids, labels=tags, **sequences), tagger(batch, mask, labels=row_tags)
        torch.testing.assert_close(flat.logits[0], rows.logits[real], atol=1e-5, rtol=0)
        torch.testing.assert_close(flat.loss, rows.loss, atol=1e-5, rtol=0)
        reader = MmBertForQuestionAnswering(tiny()).eval()
        flat, rows = reader(ids, **spans, **sequences), reader(batch, mask, **spans)
        torch.testing.assert_close(flat.start_logits[0], rows.start_logits[real], atol=1e-5, rtol=0)
        torch.testing.assert_close(flat.loss, rows.loss, atol=1e-5, rtol=0)
        guesser = MmBertForMaskedLM(tiny()).eval()
        masked = tags.new_full(ids.shape, -100)
        masked[0, ::5] = ids[0, ::5]
        row_masked = torch.full(batch.shape, -100).masked_scatter(real, masked)
        flat, rows = guesser(ids, labels=masked, **sequences), guesser(batch, mask, labels=row_masked)
        torch.testing.assert_close(flat.loss, rows.loss, atol=1e-5, rtol=0)


FLATTENED = [
    {},
    {"position_ids_start": 2},
    {"return_seq_idx": True, "return_position_ids": False},
    {"return_seq_idx": True},
    {"return_flash_attn_kwargs": True},
]


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@pytest.mark.parametrize("options", FLATTENED, ids=[" ".join(options) or "defaults" for options in FLATTENED])
def test_a_batch_that_transformers_flattened_is_read_as_packed(networks, backend, options):
    model, stock = networks
    ids, _ = packed(LENGTHS)
    rows = [{"input_ids": row.tolist()} for row in ids[0].split(LENGTHS)]
    batch = {**DataCollatorWithFlattening(**options)(rows)}
    del batch["labels"]
    model.set_attn_implementation(backend)
    with torch.no_grad():
        together = model(**batch).last_hidden_state
        alone = torch.cat([stock(row[None]).last_hidden_state for row in ids[0].split(LENGTHS)], dim=1)
        if "position_ids" in batch and "cu_seq_lens_q" not in batch:  # some collators add a mask of ones
            masked = model(**batch, attention_mask=torch.ones_like(ids)).last_hidden_state
            assert torch.equal(masked, together)
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_heads_read_sequences_off_positions(tiny):
    ids, sequences = packed(LENGTHS)
    starts = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    spans = {"start_positions": torch.tensor([4, 0, 7, 1, 100, 0, 64]), "end_positions": torch.full((7,), 0)}
    labels = {MmBertForSequenceClassification: {"labels": torch.tensor([0, 1, 1, 0, 1, 0, 0])}}
    for head in (MmBertForSequenceClassification, MmBertForQuestionAnswering, MmBertForMaskedLM):
        model = head(tiny()).eval()
        targets = spans if head is MmBertForQuestionAnswering else labels.get(head, {"labels": ids})
        with torch.no_grad():
            told, found = model(ids, **targets, **sequences), model(ids, **targets, position_ids=starts)
        assert torch.equal(told.loss, found.loss)


@pytest.mark.slow
def test_a_compiled_network_reads_sequences_off_positions(tiny):
    ids, sequences = packed(LENGTHS)
    starts = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    compiled = torch.compile(MmBertModel(tiny()).eval(), backend="eager", dynamic=True)
    with torch.no_grad():
        one, other = compiled(ids, position_ids=starts), compiled(ids, **sequences)
    torch.testing.assert_close(one.last_hidden_state, other.last_hidden_state, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            {"position_ids": [[0, 1, 0, 1], [0, 1, 2, 3]]},
            "lie in a row of a batch of 2, as position_ids says; give one",
        ),
        ({"position_ids": [[0, 1, 0, 1]]}, "lie in a row of a batch of 2, as position_ids says"),
        ({"seq_idx": [[0, 0, 1, 1], [0, 0, 0, 1]]}, "lie in a row of a batch of 2, as seq_idx says"),
        ({"position_ids": [[3, 2, 1, 0]]}, "whether a new sequence begins there is not clear"),
        ({"seq_idx": [[0, 0, 1]]}, r"seq_idx has shape \(1, 3\) for a batch of \(2, 4\)"),
    ],
)
def test_several_sequences_in_the_rows_of_a_batch_are_refused(model, inputs, message):
    ids = torch.randint(5, 97, (2, 4))
    with pytest.raises(ValueError, match=message):
        model(ids, **{name: torch.tensor(values) for name, values in inputs.items()})
    mask = torch.tensor([[1, 1, 1, 0]])
    with pytest.raises(ValueError, match="several sequences lie in a padded row, as position_ids says"):
        model(ids[:1], mask, position_ids=torch.tensor([[0, 1, 0, 0]]))


def test_positions_of_padding_begin_nothing(model):
    ids, mask = torch.randint(5, 97, (2, 6)), torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    positions = (mask.cumsum(1) - 1).masked_fill(mask == 0, 1)
    with torch.no_grad():
        left, plain = model(ids, mask, position_ids=positions), model(ids, mask)
    torch.testing.assert_close(left.last_hidden_state, plain.last_hidden_state, atol=1e-5, rtol=0)

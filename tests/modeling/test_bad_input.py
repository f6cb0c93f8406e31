"""What no sequence is: every answer is one line with the value, the limit and the remedy, or a defined output."""

import pytest
import torch
from mmbert import (
    MmBertForMaskedLM,
    MmBertForMultipleChoice,
    MmBertForQuestionAnswering,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
    MmBertModel,
)

IDS = torch.tensor([[2, 7, 8, 1], [2, 9, 1, 0]])
ENDS = torch.tensor([0, 2, 4])


@pytest.fixture
def model(tiny):
    torch.manual_seed(0)
    return MmBertModel(tiny(max_position_embeddings=16)).eval()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"input_ids": torch.tensor([[2, 97, 1]])}, r"token id 97 is outside the model's 97 \(0 to 96\)"),
        ({"input_ids": torch.tensor([[2, -1, 1]])}, "token id -1 is outside"),
        ({"input_ids": torch.zeros(1, 17, dtype=torch.long)}, "has 17 tokens, the model reads at most 16.*truncate"),
        ({"input_ids": torch.zeros(0, 4, dtype=torch.long)}, "the batch has 0 rows of 4 tokens"),
        ({"input_ids": torch.zeros(2, 0, dtype=torch.long)}, "the batch has 2 rows of 0 tokens"),
        ({"input_ids": torch.tensor([2, 1])}, "add a batch dimension"),
        ({}, "exactly one of input_ids and inputs_embeds"),
        ({"input_ids": IDS, "inputs_embeds": torch.zeros(2, 4, 128)}, "exactly one of input_ids and inputs_embeds"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 3)}, r"attention_mask has shape \(2, 3\)"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 1, 4, 4)}, "one number a token, 0 at padding"),
        ({"input_ids": IDS, "position_ids": torch.arange(3)[None]}, r"position_ids has shape \(1, 3\)"),
        ({"input_ids": IDS, "output_attentions": True}, "set_attn_implementation.'eager'"),
        ({"input_ids": IDS, "cu_seq_lens_q": ENDS}, "packed input is one row without attention_mask, got 2 rows"),
        (
            {"input_ids": IDS[:1], "cu_seq_lens_q": ENDS, "attention_mask": torch.ones(1, 4)},
            "either cu_seq_lens_q or attention_mask",
        ),
        ({"input_ids": IDS[:1], "cu_seq_lens_q": torch.tensor([0, 5])}, "cu_seq_lens must rise from 0 to 4"),
        ({"input_ids": IDS[:1], "cu_seq_lens_k": ENDS}, "cu_seq_lens_k without cu_seq_lens_q"),
        (
            {"input_ids": IDS[:1], "cu_seq_lens_q": ENDS, "cu_seq_lens_k": torch.tensor([0, 1, 4])},
            "queries and keys of an encoder are the same tokens",
        ),
        ({"input_ids": IDS[:1], "cu_seq_lens_q": ENDS, "max_length_q": 1}, "has 2 tokens, max_length_q says 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(model, inputs, message):
    with pytest.raises(ValueError, match=message) as refused:
        model(**inputs)
    assert "\n" not in str(refused.value)


def test_the_limit_counts_real_tokens_and_reaches_to_the_last(model):
    ids = torch.full((1, 40), 5)
    mask = torch.zeros_like(ids)
    mask[:, :16] = 1
    with torch.no_grad():
        torch.testing.assert_close(model(ids, mask).last_hidden_state[:, :16], model(ids[:, :16]).last_hidden_state)


def test_what_lies_under_padding_is_not_looked_at(model):
    with torch.no_grad():
        out = model(torch.tensor([[2, 7, 1, -100]]), torch.tensor([[1, 1, 1, 0]])).last_hidden_state
    assert out.isfinite().all()


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@pytest.mark.parametrize("padding_rows", [[0], [0, 1]])
def test_a_row_of_padding_is_zero_everywhere_and_trains(model, backend, padding_rows):
    model.set_attn_implementation(backend)
    mask = torch.ones_like(IDS)
    mask[padding_rows] = 0
    out = model(IDS, mask).last_hidden_state
    assert not out[padding_rows].any() and out.isfinite().all()
    out.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_heads_are_finite_on_a_row_of_padding(tiny):
    mask = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 0]])
    for pooling in ("cls", "mean"):
        classifier = MmBertForSequenceClassification(tiny(classifier_pooling=pooling)).eval()
        assert classifier(IDS, mask, labels=torch.tensor([0, 1])).loss.isfinite()
    chooser = MmBertForMultipleChoice(tiny()).eval()
    assert chooser(IDS[None], mask[None], labels=torch.tensor([1])).loss.isfinite()
    reader = MmBertForQuestionAnswering(tiny()).eval()
    spans = {"start_positions": torch.tensor([0, 1]), "end_positions": torch.tensor([0, 1])}
    assert reader(IDS, mask, **spans).loss.isfinite()


@pytest.mark.parametrize(
    ("head", "labels", "message"),
    [
        (MmBertForMaskedLM, torch.zeros(2, 3, dtype=torch.long), r"labels has shape \(2, 3\), the input \(2, 4\)"),
        (MmBertForMaskedLM, torch.full((2, 4), 97), "label 97 is outside the model's 97"),
        (MmBertForMaskedLM, torch.full((2, 4), -1), "label -1 is outside"),
        (MmBertForTokenClassification, torch.full((2, 4), 2), "label 2 is outside the model's 2"),
        (MmBertForTokenClassification, torch.zeros(8, dtype=torch.long), r"labels has shape \(8,\)"),
        (MmBertForSequenceClassification, torch.tensor([0, 2]), "label 2 is outside the model's 2"),
        (MmBertForSequenceClassification, torch.tensor([0, 1, 0]), "3 labels for 2 sequences"),
        (MmBertForSequenceClassification, torch.tensor([0.0, 1.0]), r"needs labels of shape \(2, 2\), got \(2,\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(tiny, head, labels, message):
    with pytest.raises(ValueError, match=message):
        head(tiny()).eval()(IDS, labels=labels)


def test_heads_refuse_what_they_cannot_be(tiny):
    with pytest.raises(ValueError, match="num_labels is 3; question answering needs 2"):
        MmBertForQuestionAnswering(tiny(num_labels=3))
    with pytest.raises(ValueError, match=r"\(batch, choices, length\), unpacked; got \(2, 4\)"):
        MmBertForMultipleChoice(tiny())(IDS)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_angles_that_depend_on_the_length_are_refused(model, kind):
    model.config.rope_parameters["full_attention"]["rope_type"] = kind
    with pytest.raises(ValueError, match=f"rope_type '{kind}' of full_attention is not supported"):
        model(IDS)

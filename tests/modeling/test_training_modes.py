"""Gradient checkpointing, dropout, and graphs that record the network."""

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_number(tiny, make_batch, backend, reentrant):
    torch.manual_seed(0)
    model = MmBertForMaskedLM(tiny()).train()
    model.set_attn_implementation(backend)
    ids, mask = make_batch(100, "right")
    losses, gradients = [], []
    for checkpointing in (False, True):
        if checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": reentrant})
            assert all(layer.gradient_checkpointing for layer in model.model.layers)
        model.zero_grad()
        loss = model(ids, mask, labels=ids.masked_fill(mask == 0, -100)).loss
        loss.backward()
        losses.append(loss)
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert losses[0] == losses[1]
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("field", ["attention_dropout", "mlp_dropout", "embedding_dropout"])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_each_dropout_acts_in_training_only(tiny, make_batch, field, backend):
    torch.manual_seed(0)
    model = MmBertModel(tiny(**{field: 0.3}))
    model.set_attn_implementation(backend)
    ids, mask = make_batch(100, "right")
    with torch.no_grad():
        model.train()
        assert not torch.equal(model(ids, mask).last_hidden_state, model(ids, mask).last_hidden_state)
        model.eval()
        assert torch.equal(model(ids, mask).last_hidden_state, model(ids, mask).last_hidden_state)


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_attention_weights_are_dropped_and_not_only_the_output(tiny, backend):
    torch.manual_seed(0)
    model = MmBertModel(tiny(attention_dropout=0.5)).train()
    model.set_attn_implementation(backend)
    for layer in model.layers:
        layer.attn.out_drop.p = 0.0
    ids = torch.randint(5, 97, (1, 100))
    with torch.no_grad():
        assert not torch.equal(model(ids).last_hidden_state, model(ids).last_hidden_state)


def test_a_recorded_graph_serves_other_shapes_and_paddings(tiny, make_batch):
    model = MmBertForMaskedLM(tiny()).eval()
    ids, mask = make_batch(150, "right")
    dynamic = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", max=8192)}
    graph = torch.export.export(
        model,
        (),
        {"input_ids": ids, "attention_mask": mask},
        dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
    ).module()
    with torch.no_grad():
        for length, padding in ((150, "right"), (150, "left"), (37, "holes"), (70, "right")):
            ids, mask = make_batch(length, padding, rows=4)
            mask[0] = 0
            ours, recorded = model(ids, mask).logits, graph(input_ids=ids, attention_mask=mask).logits
            real = mask.bool()
            torch.testing.assert_close(recorded[real], ours[real], atol=1e-5, rtol=0)
            assert recorded.isfinite().all()


def test_compiled_without_a_break_gives_the_same_numbers(tiny, make_batch):
    model = MmBertModel(tiny()).eval()
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    with torch.no_grad():
        for length in (100, 33):
            ids, mask = make_batch(length, "right")
            ours, theirs = model(ids, mask).last_hidden_state, compiled(ids, mask).last_hidden_state
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)

"""Gradient checkpointing and dropout."""

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel


@pytest.mark.parametrize("backend", ["sdpa", "eager", "flash_attention_2"])
@pytest.mark.parametrize("reentrant", [True, False], ids=["reentrant", "saved"])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_gradient_checkpointing_changes_no_number(tiny, make_batch, flash_stand_in, backend, reentrant, packed, dtype):
    torch.manual_seed(0)
    # Dropout, because the second pass over a layer must draw what the first drew; but the stand-in kernel has none, and
    # in bf16 it would hide the attention by matrix products.
    of_weights = 0.0 if "flash" in backend or dtype == torch.bfloat16 else 0.1
    model = MmBertForMaskedLM(tiny(mlp_dropout=0.1, attention_dropout=of_weights)).to(dtype).train()
    model.config._attn_implementation = backend
    ids, mask = make_batch(100, "right")
    inputs = {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}
    if packed:
        ids = ids[mask.bool()][None]
        inputs = {"input_ids": ids, "labels": ids, "cu_seq_lens_q": torch.tensor([0, 100, 167, 201])}
    losses, gradients = [], []
    for checkpointing in (False, True):
        if checkpointing:
            enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
            enable({"use_reentrant": reentrant})
            assert all(layer.gradient_checkpointing for layer in model.model.layers)
        model.zero_grad()
        torch.manual_seed(1)
        loss = model(**inputs).loss
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

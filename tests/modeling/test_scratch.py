"""Memory that layers share outside training: nobody who may look at a result sees it change."""

import pytest
import torch
from mmbert import MmBertForMaskedLM
from transformers import ModernBertForMaskedLM

LENGTH = 300  # more than one tile of a layer, and no whole number of blocks


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def model_and_batch(request, twins, make_batch):
    model, _ = twins()
    return model.to(request.param), make_batch(LENGTH, "right")


def test_a_hook_keeps_what_it_saw(model_and_batch):
    model, (ids, mask) = model_and_batch
    with torch.no_grad():
        expected = [state.clone() for state in model(ids, mask, output_hidden_states=True).hidden_states]
        plain = model(ids, mask).last_hidden_state
        seen = []
        hooks = [
            layer.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0])) for layer in model.layers
        ]
        watched = model(ids, mask).last_hidden_state
    for hook in hooks:
        hook.remove()
    # Unwatched, a layer adds its answer to the stream in one rounding instead of two.
    torch.testing.assert_close(plain, watched, atol=1e-5 if plain.dtype == torch.float32 else 0.1, rtol=0)
    # Hooks see the stream, which is ordered by length: compare what is in it, whatever the order.
    for state, whole in zip(seen, expected, strict=False):
        real = whole[mask.bool()]
        torch.testing.assert_close(state.float().sum(0), real.float().sum(0), atol=1e-3, rtol=1e-3)


def test_one_forward_leaves_nothing_to_the_next(model_and_batch, make_batch):
    model, (ids, mask) = model_and_batch
    with torch.no_grad():
        first = model(ids, mask).last_hidden_state
        kept = first.clone()
        model(*make_batch(LENGTH + 57, "holes", seed=1))
        assert torch.equal(first, kept)
        assert torch.equal(model(ids, mask).last_hidden_state, kept)


def test_results_do_not_depend_on_whether_gradients_are_recorded(twins, make_batch):
    model, _ = twins()
    ids, mask = make_batch(LENGTH, "left")
    recorded = model(ids, mask).last_hidden_state
    with torch.inference_mode():
        torch.testing.assert_close(model(ids, mask).last_hidden_state, recorded, atol=1e-5, rtol=0)


def test_an_adapter_above_frozen_layers_learns_from_every_token(twins, make_batch):
    """The stream that reaches the adapter needs no gradient; still all its tiles must be recorded."""
    ours, stock = twins(MmBertForMaskedLM, ModernBertForMaskedLM)
    ids, _ = make_batch(LENGTH, "none")
    gradients = []
    for network in (ours, stock):
        network.requires_grad_(False)
        trained = network.model.layers[2].attn.Wqkv.weight.requires_grad_(True)
        network(ids, labels=ids).loss.backward()
        gradients.append(trained.grad)
    torch.testing.assert_close(*gradients, atol=1e-5 * float(gradients[1].abs().max()), rtol=1e-4)

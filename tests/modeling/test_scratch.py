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


@pytest.mark.parametrize("everywhere", [False, True], ids=["of a layer", "of all modules"])
def test_a_hook_keeps_what_it_saw(model_and_batch, everywhere):
    model, (ids, mask) = model_and_batch
    seen = []

    def keep(module, _inputs, output):
        if module in model.layers or module is model.embeddings:
            output = output[0] if isinstance(output, tuple) else output
            seen.append((output, output.clone()))

    register = torch.nn.modules.module.register_module_forward_hook
    with torch.no_grad():
        plain = model(ids, mask).last_hidden_state
        hooks = [register(keep)] if everywhere else [m.register_forward_hook(keep) for m in model.layers]
        watched = model(ids, mask).last_hidden_state
    for hook in hooks:
        hook.remove()
    assert len(seen) == len(model.layers) + everywhere
    assert all(torch.equal(output, then) for output, then in seen)
    # Unwatched, a layer adds its answer to the stream in one rounding instead of two.
    torch.testing.assert_close(plain, watched, atol=1e-5 if plain.dtype == torch.float32 else 0.1, rtol=0)


def same_without_gradients(model, *inputs, **named):
    """Compare the two ways through the network; what is recorded shares no memory."""
    recorded = model(*inputs, **named).last_hidden_state
    with torch.no_grad():
        torch.testing.assert_close(model(*inputs, **named).last_hidden_state, recorded, atol=1e-5, rtol=0)
    return recorded


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_a_batch_of_padding_alone_is_zeros(twins, backend):
    model, _ = twins()
    model.set_attn_implementation(backend)
    ids = torch.full((2, 10), 5)
    with torch.no_grad():
        assert not model(ids, torch.zeros_like(ids)).last_hidden_state.any()


def test_what_took_the_place_of_a_part_is_called(twins, make_batch):
    ids, mask = make_batch(LENGTH, "right")
    model, _ = twins()
    before = same_without_gradients(model, ids, mask)
    model.layers[1].mlp.forward = torch.zeros_like  # as accelerate's hooks do it
    changed = same_without_gradients(model, ids, mask)
    model.layers[2].mlp = torch.nn.Sequential(model.layers[2].mlp, torch.nn.Tanh())
    assert not torch.equal(before, changed)
    assert not torch.equal(changed, same_without_gradients(model, ids, mask))


def test_a_weight_that_is_no_plain_tensor_is_left_to_its_layer(twins, make_batch):
    class Doubled(torch.Tensor):
        """Stands for a quantised weight: what a linear layer makes of it is its own affair."""

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            plain = [a.as_subclass(torch.Tensor) if isinstance(a, torch.Tensor) else a for a in args]
            if function is torch.nn.functional.linear:
                plain[1] = 2 * plain[1]
            return function(*plain, **(kwargs or {}))

    model, _ = twins()
    ids, mask = make_batch(LENGTH, "right")
    before = same_without_gradients(model, ids, mask)
    for layer in model.layers:
        for linear in (layer.attn.Wqkv, layer.attn.Wo, layer.mlp.Wo):
            weight = linear.weight.detach().as_subclass(Doubled)
            del linear.weight
            linear.weight = weight
    assert not torch.equal(before, same_without_gradients(model, ids, mask))


def test_dropout_switched_on_by_itself_acts(twins, make_batch):
    model, _ = twins(mlp_dropout=0.5)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.train()
    with torch.no_grad():
        first, second = (model(*make_batch(LENGTH, "right")).last_hidden_state for _ in range(2))
    assert not torch.equal(first, second)


def test_embeddings_of_the_caller_stay_as_they_are(twins):
    model, _ = twins()
    model.embeddings.norm = torch.nn.Identity()
    given = torch.randn(2, LENGTH, model.config.hidden_size)
    kept = given.clone()
    same_without_gradients(model, inputs_embeds=given)
    assert torch.equal(given, kept)


def test_work_is_counted_whether_or_not_gradients_are_recorded(twins, make_batch):
    from torch.utils.flop_counter import FlopCounterMode

    model, _ = twins()
    ids, mask = make_batch(LENGTH, "right")
    counts = []
    for recorded in (True, False):
        with torch.set_grad_enabled(recorded), FlopCounterMode(display=False) as counter:
            model(ids, mask)
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1] > 0


def test_one_forward_leaves_nothing_to_the_next(model_and_batch, make_batch):
    model, (ids, mask) = model_and_batch
    with torch.no_grad():
        first = model(ids, mask).last_hidden_state
        kept = first.clone()
        model(*make_batch(LENGTH + 57, "holes", seed=1))
        assert torch.equal(first, kept)
        assert torch.equal(model(ids, mask).last_hidden_state, kept)


def test_results_do_not_depend_on_whether_gradients_are_recorded(twins, make_batch):
    ids, mask = make_batch(LENGTH, "left")
    for options in ({}, {"attention_bias": True, "mlp_bias": True}):
        model, _ = twins(**options)
        same_without_gradients(model, ids, mask)
    ends = torch.tensor([0, 250, 251, 3 * LENGTH])
    same_without_gradients(model, ids.reshape(1, -1), cu_seq_lens_q=ends)


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

"""Ours against stock ModernBertModel with the same weights: the numbers must agree to 1e-5 wherever a token is real."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings

LENGTHS = [1, 2, 63, 64, 65, 66, 128, 129, 130, 200]  # around the window of 64 + 1 + 64 and the blocks of 64


def on_real_tokens(tensor, mask):
    return tensor if mask is None else tensor[mask.bool()]


def assert_same(ours, stock, mask=None, tolerance=1e-5):
    torch.testing.assert_close(on_real_tokens(ours, mask), on_real_tokens(stock, mask), atol=tolerance, rtol=0)


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("length", LENGTHS)
def test_hidden_states_equal_stock(twins, make_batch, length, padding):
    model, stock = twins()
    ids, mask = make_batch(length, padding)
    with torch.no_grad():
        theirs = stock(ids, attention_mask=mask, output_hidden_states=True)
        for backend in ("sdpa", "eager"):
            model.set_attn_implementation(backend)
            ours = model(ids, attention_mask=mask, output_hidden_states=True)
            assert len(ours.hidden_states) == len(theirs.hidden_states) == 5
            for mine, other in zip(ours.hidden_states, theirs.hidden_states, strict=True):
                assert_same(mine, other, mask)
            assert_same(ours.last_hidden_state, theirs.last_hidden_state, mask)
            if mask is not None:
                assert not ours.last_hidden_state[~mask.bool()].any()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 150), min_size=1, max_size=4), st.integers(0, 10**6), st.sampled_from([2, 16, 128]))
def test_random_masks_equal_stock(twins, lengths, seed, window):
    model, stock = twins(local_attention=window)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 97, (len(lengths), 150), generator=generator)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, torch.randperm(150, generator=generator)[:length]] = 1
    with torch.no_grad():
        ours, theirs = model(ids, mask), stock(ids, attention_mask=mask)
    assert_same(ours.last_hidden_state, theirs.last_hidden_state, mask)


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
def test_attention_weights_equal_stock(twins, make_batch, padding):
    model, stock = twins()
    ids, mask = make_batch(140, padding)
    for network in (model, stock):
        network.set_attn_implementation("eager")
    with torch.no_grad():
        ours = model(ids, mask, output_attentions=True).attentions
        theirs = stock(ids, attention_mask=mask, output_attentions=True).attentions
    assert len(ours) == len(theirs) == 4
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape == (3, 2, 140, 140)
        assert_same(mine.transpose(1, 2), other.transpose(1, 2), mask)


@pytest.mark.parametrize("padding", ["none", "right", "holes"])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_gradients_equal_stock(twins, make_batch, padding, backend):
    model, stock = twins()
    model.set_attn_implementation(backend)
    ids, mask = make_batch(150, padding)
    pull = torch.randn(3, 150, 128, generator=torch.Generator().manual_seed(1))
    if mask is not None:
        pull = pull * mask[..., None]
    for network in (model, stock):
        (network(ids, attention_mask=mask).last_hidden_state * pull).mean().backward()
    theirs = dict(stock.named_parameters())
    for name, parameter in model.named_parameters():
        largest = theirs[name].grad.abs().max()
        assert largest > 0
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5 * float(largest), rtol=1e-4, msg=name)


def test_embeddings_and_positions_given_by_the_caller_equal_stock(twins, make_batch):
    model, stock = twins()
    _, mask = make_batch(100, "right")
    embeds = torch.randn(3, 100, 128)
    positions = torch.randint(0, 500, (3, 100)).sort(1).values
    with torch.no_grad():
        for rows in (positions, positions[:1]):
            ours = model(inputs_embeds=embeds, attention_mask=mask, position_ids=rows)
            theirs = stock(inputs_embeds=embeds, attention_mask=mask, position_ids=rows)
            assert_same(ours.last_hidden_state, theirs.last_hidden_state, mask)


@pytest.mark.parametrize("scaling", [{"rope_type": "linear", "factor": 4.0}, {"rope_type": "yarn", "factor": 4.0}])
def test_scaled_rotary_angles_equal_stock(twins, make_batch, scaling):
    kind = {**scaling, "rope_theta": 10_000.0}
    model, stock = twins(rope_parameters={"full_attention": kind, "sliding_attention": {"rope_type": "default"}})
    ids, _ = make_batch(100, "none")
    with torch.no_grad():
        assert_same(model(ids).last_hidden_state, stock(ids).last_hidden_state)


def test_biases_equal_stock(twins, make_batch):
    model, stock = twins(attention_bias=True, mlp_bias=True, norm_bias=True)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    stock.load_state_dict(model.state_dict())
    ids, mask = make_batch(70, "right")
    with torch.no_grad():
        assert_same(model(ids, mask).last_hidden_state, stock(ids, attention_mask=mask).last_hidden_state, mask)


def test_bfloat16_is_no_further_from_the_truth_than_stock(twins, make_batch):
    model, stock = twins()
    ids, mask = make_batch(200, "right", rows=6)
    with torch.no_grad():
        truth = stock(ids, attention_mask=mask).last_hidden_state
        ours = model.bfloat16()(ids, mask).last_hidden_state.float()
        theirs = stock.bfloat16()(ids, attention_mask=mask).last_hidden_state.float()
    real = mask.bool()
    assert (ours - truth)[real].square().mean() <= 1.1 * (theirs - truth)[real].square().mean()


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_a_batch_of_one_equals_the_row_of_a_batch(tiny, make_batch, padding, backend):
    from mmbert import MmBertModel

    torch.manual_seed(0)
    model = MmBertModel(tiny()).eval()
    model.set_attn_implementation(backend)
    ids, mask = make_batch(130, padding, rows=4)
    with torch.no_grad():
        together = model(ids, mask).last_hidden_state
        for row in range(4):
            real = mask[row].bool()
            assert_same(together[row][real], model(ids[row][real][None]).last_hidden_state[0])


def test_a_new_theta_takes_effect_at_once(twins, make_batch):
    model, _ = twins()
    _, other = twins(global_rope_theta=500.0, local_rope_theta=500.0)
    model.config.global_rope_theta = model.config.local_rope_theta = 500.0
    ids, _ = make_batch(100, "none")
    with torch.no_grad():
        assert_same(model(ids).last_hidden_state, other(ids).last_hidden_state)

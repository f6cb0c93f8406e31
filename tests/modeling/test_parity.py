"""Ours against stock ModernBertModel with the same weights, to 1e-5 wherever a token is real, off the matrix' grid.

Masks that Hypothesis draws, attention by itself, arguments and configurations that the matrix keeps at their defaults.
"""

from functools import lru_cache

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from mmbert import MmBertModel
from transformers.integrations.neftune import neftune_post_forward_hook


def on_real_tokens(tensor, mask):
    return tensor if mask is None else tensor[mask.bool()]


def assert_same(ours, stock, mask=None, tolerance=1e-5):
    torch.testing.assert_close(on_real_tokens(ours, mask), on_real_tokens(stock, mask), atol=tolerance, rtol=0)


@pytest.fixture(scope="module")
def pairs(twins):
    """Make ours and stock for a window, once; Hypothesis asks for them again and again."""
    return lru_cache(lambda window: twins(local_attention=window))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    seed=st.integers(0, 10**6),
    window=st.sampled_from([2, 16, 128]),
    backend=st.sampled_from(["sdpa", "eager"]),
)
def test_random_masks_equal_stock(pairs, lengths, seed, window, backend):
    model, stock = pairs(window)
    model.set_attn_implementation(backend)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 97, (len(lengths), 150), generator=generator)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        mask[row, torch.randperm(150, generator=generator)[:length]] = 1
    with torch.no_grad():
        ours, theirs = model(ids, mask), stock(ids, attention_mask=mask)
    assert_same(ours.last_hidden_state, theirs.last_hidden_state, mask)
    assert not ours.last_hidden_state[~mask.bool()].any()


def test_neftune_adds_the_noise_that_stock_would_add(twins):
    """A Trainer's `neftune_noise_alpha` hooks the table of embeddings and expects (B, L, hidden_size) of it."""
    ids, mask = torch.randint(5, 97, (2, 20)), torch.ones(2, 20, dtype=torch.long)
    mask[1, 12:] = 0
    outputs, plain = [], None
    for model in twins():
        if plain is None:
            plain = model.train()(ids, attention_mask=mask).last_hidden_state
        table = model.get_input_embeddings()
        table.neftune_noise_alpha = 5.0
        table.register_forward_hook(neftune_post_forward_hook)
        torch.manual_seed(3)
        outputs.append(model.train()(ids, attention_mask=mask).last_hidden_state)
    assert_same(*outputs, mask)
    assert (plain - outputs[0]).abs().max() > 0.01


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
@pytest.mark.parametrize(("length", "shape"), [(65, "base"), (129, "small"), (140, "base")])
def test_attention_weights_equal_stock(twins, make_batch, padding, length, shape):
    model, stock = twins(shape=shape)
    ids, mask = make_batch(length, padding)
    for network in (model, stock):
        network.set_attn_implementation("eager")
    with torch.no_grad():
        ours = model(ids, mask, output_attentions=True).attentions
        theirs = stock(ids, attention_mask=mask, output_attentions=True).attentions
    assert len(ours) == len(theirs) == 4
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.shape == other.shape == (3, model.config.num_attention_heads, length, length)
        assert_same(mine.transpose(1, 2), other.transpose(1, 2), mask)


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("backend", ["sdpa", "eager", "flash_attention_2"])
def test_what_attention_alone_writes_equals_stock(twins, make_batch, flash_stand_in, padding, backend):
    model, stock = twins(num_hidden_layers=7)
    for network in (model, stock):
        for layer in network.layers:
            torch.nn.init.zeros_(layer.mlp.Wo.weight)
    model.config._attn_implementation = backend
    # Flash kernels count a window in tokens, not in columns: where there are holes, stock must run on the same kernel.
    stock.config._attn_implementation = backend if padding == "holes" else "sdpa"
    ids, mask = make_batch(140, padding)
    with torch.no_grad():
        ours = model(ids, mask, output_hidden_states=True).hidden_states
        theirs = stock(ids, attention_mask=mask, output_hidden_states=True).hidden_states
    # The last state is normalised; between the others lies what one layer's attention wrote.
    for layer in range(6):
        written, expected = ours[layer + 1] - ours[layer], theirs[layer + 1] - theirs[layer]
        assert on_real_tokens(expected, mask).abs().max() > 0.1
        assert_same(written, expected, mask)


def test_embeddings_and_positions_given_by_the_caller_equal_stock(twins, make_batch):
    model, stock = twins()
    _, mask = make_batch(100, "right")
    embeds = torch.randn(3, 100, 128)
    positions = torch.rand(3, 500).argsort(1)[:, :100].sort(1).values
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


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("backend", ["sdpa", "eager", "flash_attention_2"])
@pytest.mark.parametrize("length", [64, 130, 513])
def test_a_batch_of_one_equals_the_row_of_a_batch(tiny, make_batch, flash_stand_in, padding, backend, length):
    torch.manual_seed(0)
    model = MmBertModel(tiny()).eval()
    model.config._attn_implementation = backend
    ids, mask = make_batch(length, padding, rows=4)
    with torch.no_grad():
        together = model(ids, mask).last_hidden_state
        for row in range(4):
            real = mask[row].bool()
            assert_same(together[row][real], model(ids[row][real][None]).last_hidden_state[0])

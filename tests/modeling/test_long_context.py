"""8,192 tokens: where the limit is, the change of theta on the way there, and the memory it takes."""

import subprocess
import sys

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel

LIMIT = 8192  # of the released models: config.max_position_embeddings


@pytest.fixture
def wide(tiny):
    """A network of one channel pair a head, so that 8,192 tokens take little time."""
    torch.manual_seed(0)
    return MmBertModel(tiny(hidden_size=4, num_attention_heads=2, intermediate_size=4, num_hidden_layers=2)).eval()


@pytest.mark.parametrize("backend", ["sdpa", "flash_attention_2"])
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
def test_one_token_beyond_the_limit_is_refused(wide, flash_stand_in, backend, packed):
    wide.config._attn_implementation = backend
    ids = torch.full((1, LIMIT + 1), 5)
    sequences = {"cu_seq_lens_q": torch.tensor([0, 0 + LIMIT + 1])} if packed else {}
    with torch.no_grad(), pytest.raises(ValueError, match="has 8193 tokens, the model reads at most 8192.*truncate"):
        wide(ids, **sequences)


def test_as_many_tokens_as_the_limit_are_read(wide):
    with torch.no_grad():
        assert wide(torch.full((1, LIMIT), 5)).last_hidden_state.shape == (1, LIMIT, 4)


def test_a_packed_row_may_be_longer_than_its_sequences_may(wide):
    ids = torch.randint(5, 97, (1, LIMIT + 10))
    ends = torch.tensor([0, 10, LIMIT + 10])
    with torch.no_grad():
        out = wide(ids, cu_seq_lens_q=ends, max_length_q=LIMIT).last_hidden_state
        torch.testing.assert_close(out[:, :10], wide(ids[:, :10]).last_hidden_state, atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", ["sdpa", "eager"])
def test_the_theta_of_long_context_changes_numbers_as_it_does_stocks(twins, backend):
    short_context = {"global_rope_theta": 10_000.0, "local_rope_theta": 10_000.0}
    model, before = twins(**short_context)
    _, after = twins(global_rope_theta=160_000.0, local_rope_theta=160_000.0)
    model.set_attn_implementation(backend)
    ids = torch.randint(5, 97, (1, 700), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        old, new = before(ids).last_hidden_state, after(ids).last_hidden_state
        torch.testing.assert_close(model(ids).last_hidden_state, old, atol=1e-5, rtol=0)
        # At once, and without a new network: the recipe does so between two steps.
        model.config.global_rope_theta = model.config.local_rope_theta = 160_000.0
        torch.testing.assert_close(model(ids).last_hidden_state, new, atol=1e-5, rtol=0)
    assert (old - new).abs().max() > 0.01

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from mmbert import MmBertModel
from mmbert.modeling.cpu_attention import attend_near
from mmbert.modeling.sliding_attention import attend_in_blocks, bias_of_blocks
from torch.utils._python_dispatch import TorchDispatchMode


def dense(query, key, value, segments, columns, half_window):
    scores = torch.einsum("qhd,khd->hqk", query, key) / query.shape[-1] ** 0.5
    apart = (segments[:, None] != segments) | ((columns[:, None] - columns).abs() > half_window)
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(apart, -torch.inf).softmax(-1), value)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=5), st.sampled_from([1, 8, 64]), st.integers(0, 10**6))
def test_blocks_give_what_dense_masking_gives_forward_and_backward(lengths, half_window, seed):
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    q, k, v, pull = (torch.randn(total, 2, 16, generator=generator, dtype=torch.float64) for _ in range(4))
    segments = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    # Rising columns with gaps, as holes in a mask leave them.
    columns = torch.cat([torch.randint(1, 3, (n,), generator=generator).cumsum(0) for n in lengths])
    grads = []
    bias = bias_of_blocks(segments, columns, half_window, torch.float64)
    for attend in (
        lambda *qkv: attend_in_blocks(torch.stack(qkv, 1), bias, half_window),
        lambda *qkv: attend_near(torch.stack(qkv, 1), bias, half_window),
        lambda *qkv: dense(*qkv, segments, columns, half_window),
    ):
        qkv = [t.clone().requires_grad_() for t in (q, k, v)]
        out = attend(*qkv)
        grads.append((out, *torch.autograd.grad((out * pull).sum(), qkv)))
    *ours, truth = grads
    for results in ours:
        for result, true in zip(results, truth, strict=True):
            torch.testing.assert_close(result, true, atol=1e-10, rtol=0)


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation gives."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        # Storage, not shape: an expanded or overlapping view has more elements than it has memory.
        for tensor in torch.utils._pytree.tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


@pytest.mark.parametrize("rows", [1, 16])
def test_memory_of_sliding_layers_is_linear_forward_and_backward(tiny, rows):
    layers = {"num_hidden_layers": 2, "layer_types": ["sliding_attention"] * 2}
    model = MmBertModel(tiny(**layers)).train()
    largest = {}
    for length in (2048, 8192):  # rows of 128 and 512 tokens at the least: longer than the window
        with Largest() as seen:
            ids = torch.randint(5, 97, (rows, length // rows))
            model(ids).last_hidden_state.sum().backward()
        largest[length] = seen.elements
    assert largest[8192] <= 4.1 * largest[2048]
    assert largest[8192] < 8192 * 8192 / 8

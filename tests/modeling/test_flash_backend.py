"""The FlashAttention path, run on a CPU with a reference kernel in the place of flash-attn's varlen function."""

import inspect
from functools import wraps

import pytest
import torch
from mmbert import MmBertModel
from transformers import modeling_flash_attention_utils


@pytest.fixture
def kernel_calls(flash_stand_in, monkeypatch):
    """Keep the arguments of every call of the kernel that stands where transformers looks for flash-attn."""
    calls = []
    _, kernel, *others = modeling_flash_attention_utils._lazy_imports("flash_attention_2")

    @wraps(kernel)  # transformers passes what it finds in the signature
    def record(*args, **kwargs):
        bound = inspect.signature(kernel).bind(*args, **kwargs)
        bound.apply_defaults()
        calls.append(bound.arguments)
        return torch.zeros_like(args[0]) if bound.arguments["dropout_p"] else kernel(*args, **kwargs)

    monkeypatch.setattr(modeling_flash_attention_utils, "_lazy_imports", lambda *_, **__: (None, record, *others))
    return calls


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("length", [1, 64, 66, 200])
def test_flash_equals_stock_sdpa(twins, make_batch, flash_stand_in, length, padding):
    model, stock = twins()
    model.config._attn_implementation = "flash_attention_2"
    ids, mask = make_batch(length, padding)
    with torch.no_grad():
        ours, theirs = model(ids, mask).last_hidden_state, stock(ids, attention_mask=mask).last_hidden_state
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=0)
    # Local layers ask for 64 tokens to either side, global ones for no window; short input needs none at all.
    assert flash_stand_in == ({(-1, -1), (64, 64)} if real.sum() > 65 else {(-1, -1)})


@pytest.mark.parametrize("with_lengths", [True, False])
def test_flash_reads_packed_input(twins, flash_stand_in, with_lengths):
    model, stock = twins()
    model.config._attn_implementation = "flash_attention_2"
    lengths = [130, 3, 66]
    ids = torch.randint(5, 97, (1, sum(lengths)))
    sequences = {"cu_seq_lens_q": torch.tensor([0, 130, 133, 199], dtype=torch.int32)}
    if with_lengths:
        sequences |= {"max_length_q": 130, "max_length_k": 130, "cu_seq_lens_k": sequences["cu_seq_lens_q"]}
    with torch.no_grad():
        ours = model(ids, **sequences).last_hidden_state
        theirs = torch.cat([stock(row[None]).last_hidden_state for row in ids[0].split(lengths)], dim=1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_flash_gradients_equal_sdpa(tiny, make_batch, flash_stand_in):
    torch.manual_seed(0)
    model = MmBertModel(tiny()).eval()
    ids, mask = make_batch(150, "right")
    gradients = []
    for backend in ("sdpa", "flash_attention_2"):
        model.config._attn_implementation = backend
        model.zero_grad()
        model(ids, mask).last_hidden_state.square().mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for sdpa, flash in zip(*gradients, strict=True):
        torch.testing.assert_close(flash, sdpa, atol=1e-5, rtol=1e-3)


def test_a_row_of_padding_is_harmless(tiny, flash_stand_in):
    model = MmBertModel(tiny()).eval()
    model.config._attn_implementation = "flash_attention_2"
    ids = torch.randint(5, 97, (2, 9))
    mask = torch.tensor([[0] * 9, [1] * 9])
    with torch.no_grad():
        out = model(ids, mask).last_hidden_state
        assert not out[0].any()
        torch.testing.assert_close(out[1], model(ids[1:]).last_hidden_state[0], atol=1e-6, rtol=0)
        assert not model(ids[:1], mask[:1]).last_hidden_state.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_kernel_gets_the_window_the_boundaries_and_the_dtype(tiny, make_batch, kernel_calls, dtype):
    model = MmBertModel(tiny()).eval().to(dtype)
    model.config._attn_implementation = "flash_attention_2"
    ids, mask = make_batch(200, "right")
    with torch.no_grad():
        assert model(ids, mask).last_hidden_state.dtype == dtype
    # The tiny layers: global, local, local, global. local_attention is 128, the kernel counts both ends of a reach.
    assert [tuple(call["window_size"]) for call in kernel_calls] == [(-1, -1), (64, 64), (64, 64), (-1, -1)]
    for call in kernel_calls:
        for name in ("q", "k", "v"):
            assert call[name].shape == (int(mask.sum()), 2, 64) and call[name].dtype == dtype
            assert call[name].stride(-1) == 1
        for name in ("cu_seqlens_q", "cu_seqlens_k"):
            assert call[name].dtype == torch.int32 and call[name].is_contiguous()
            assert sorted(call[name].diff().tolist()) == sorted(mask.sum(1).tolist())
        assert type(call["max_seqlen_q"]) is int and call["max_seqlen_q"] == call["max_seqlen_k"] == 200
        assert call["softmax_scale"] == 64**-0.5 and call["causal"] is False


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_kernel_is_told_to_be_deterministic(tiny, make_batch, kernel_calls, deterministic):
    model = MmBertModel(tiny(deterministic_flash_attn=deterministic)).eval()
    model.config._attn_implementation = "flash_attention_2"
    with torch.no_grad():
        model(*make_batch(20, "right"))
    assert {call["deterministic"] for call in kernel_calls} == {deterministic}


def test_the_kernel_drops_attention_in_training_only(tiny, make_batch, kernel_calls):
    model = MmBertModel(tiny(attention_dropout=0.25))
    model.config._attn_implementation = "flash_attention_2"
    with torch.no_grad():
        model.train()(*make_batch(20, "right"))
        model.eval()(*make_batch(20, "right"))
    assert [call["dropout_p"] for call in kernel_calls] == [0.25] * 4 + [0.0] * 4

"""What the network's tests share: a tiny mmBERT and stock ModernBERT with the same weights, paddings, a kernel."""

import pytest
import torch
from mmbert import MmBertConfig, MmBertModel
from transformers import ModernBertConfig, ModernBertModel, modeling_flash_attention_utils

# Heads of 64 channels, global - local - local - global, and mmBERT's real window of 128.
TINY = {
    "vocab_size": 97,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    # Large weights, so that attention is far from uniform and an error in masks shows.
    "initializer_range": 0.1,
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices this small are slower on two threads, many times so while the other core is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny():
    """Make a tiny configuration; two thetas, so that mixing up the kinds of layers shows."""

    def make(**overrides):
        return MmBertConfig(**{**TINY, "local_rope_theta": 10_000.0, **overrides})

    return make


@pytest.fixture
def stock_config():
    """Translate our configuration to stock ModernBERT's."""

    def translate(config):
        fields = config.to_dict()
        fields.pop("model_type")
        return ModernBertConfig(**fields)

    return translate


@pytest.fixture
def twins(tiny, stock_config):
    """Make one of our models and the stock one, in evaluation mode, with the same weights."""

    def make(ours=MmBertModel, stock=ModernBertModel, **overrides):
        torch.manual_seed(0)
        config = tiny(**overrides)
        model, twin = ours(config).eval(), stock(stock_config(config)).eval()
        twin.load_state_dict(model.state_dict())
        return model, twin

    return make


@pytest.fixture
def make_batch():
    """Make ids and a mask in which the rows are padded right, left, in holes, or not at all."""

    def make(length, padding, rows=3, seed=0):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(5, TINY["vocab_size"], (rows, length), generator=generator)
        mask = torch.ones_like(ids)
        for row in range(1, rows):
            removed = min(row * length // 3, length - 1)
            if padding == "right":
                mask[row, length - removed :] = 0
            elif padding == "left":
                mask[row, :removed] = 0
            elif padding == "holes":
                mask[row, torch.randperm(length, generator=generator)[:removed]] = 0
        return ids, (None if padding == "none" else mask)

    return make


def reference_varlen(
    q,
    k,
    v,
    cu_seqlens_q,
    cu_seqlens_k,
    max_seqlen_q,
    max_seqlen_k,
    dropout_p=0.0,
    softmax_scale=None,
    causal=False,
    window_size=(-1, -1),
    deterministic=False,
):
    """Do what flash_attn_varlen_func documents, one sequence after the other, densely."""
    assert not causal and dropout_p == 0.0 and (cu_seqlens_q == cu_seqlens_k).all()
    assert cu_seqlens_q.dtype == torch.int32 and max_seqlen_q == max_seqlen_k == cu_seqlens_q.diff().max()
    reference_varlen.windows.add(tuple(window_size))
    out = torch.empty_like(q)
    for start, end in zip(cu_seqlens_q[:-1].tolist(), cu_seqlens_q[1:].tolist(), strict=True):
        scores = torch.einsum("qhd,khd->hqk", q[start:end], k[start:end]) * softmax_scale
        place = torch.arange(end - start)
        distance = place[None] - place[:, None]
        if window_size[0] >= 0:
            scores = scores.masked_fill((distance < -window_size[0]) | (distance > window_size[1]), -torch.inf)
        out[start:end] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[start:end])
    return out


@pytest.fixture
def flash_stand_in(monkeypatch):
    """Put the reference kernel where transformers looks for flash-attn; return the windows it was called with."""
    utils = modeling_flash_attention_utils
    kernels = (None, reference_varlen, None, utils._pad_input, utils._unpad_input)
    monkeypatch.setattr(utils, "_lazy_imports", lambda *_args, **_kwargs: kernels)
    monkeypatch.setattr(utils, "_loaded_implementation", None)
    for name in ("_flash_fn", "_flash_varlen_fn", "_flash_with_kvcache_fn", "_pad_fn", "_unpad_fn"):
        monkeypatch.setattr(utils, name, None, raising=False)
    for name in ("_process_flash_kwargs_fn", "_process_with_kvcache_kwargs_fn"):
        monkeypatch.setattr(utils, name, None, raising=False)
    reference_varlen.windows = set()
    return reference_varlen.windows

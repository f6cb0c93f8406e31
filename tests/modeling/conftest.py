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

# The proportions of the two released sizes: 12 heads of 64 with an inner width of 1.5 times the outer, 6 heads with 3.
SHAPES = {
    "base": {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 288},
    "small": {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": 384},
}


@pytest.fixture(scope="session")
def tiny():
    """Make a tiny configuration; two thetas, so that mixing up the kinds of layers shows."""

    def make(shape=None, **overrides):
        return MmBertConfig(**{**TINY, **SHAPES.get(shape, {}), "local_rope_theta": 10_000.0, **overrides})

    return make


@pytest.fixture(scope="session")
def stock_config():
    """Translate our configuration to stock ModernBERT's."""

    def translate(config):
        fields = config.to_dict()
        fields.pop("model_type")
        return ModernBertConfig(**fields)

    return translate


@pytest.fixture(scope="session")
def twins(tiny, stock_config):
    """Make one of our models and the stock one, in evaluation mode, with the same weights."""

    def make(ours=MmBertModel, stock=ModernBertModel, **overrides):
        torch.manual_seed(0)
        config = tiny(**overrides)
        model, twin = ours(config).eval(), stock(stock_config(config)).eval()
        twin.load_state_dict(model.state_dict())
        return model, twin

    return make


@pytest.fixture(scope="session")
def make_batch():
    """Make ids and a mask in which the rows are padded right, left, in holes, or not at all."""

    def make(length, padding, rows=3, seed=0):
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(5, TINY["vocab_size"], (rows, length), generator=generator)
        mask = torch.ones_like(ids)
        for row in range(1, rows):
            removed = row % 3 * length // 3
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
        # Scores and softmax in fp32, weights in the dtype of the values, as in the kernel.
        scores = torch.einsum("qhd,khd->hqk", q[start:end].float(), k[start:end].float()) * softmax_scale
        place = torch.arange(end - start)
        distance = place[None] - place[:, None]
        if window_size[0] >= 0:
            scores = scores.masked_fill((distance < -window_size[0]) | (distance > window_size[1]), -torch.inf)
        out[start:end] = torch.einsum("hqk,khd->qhd", scores.softmax(-1).to(v.dtype), v[start:end])
    return out


def reference_flash(q, k, v, dropout_p=0.0, softmax_scale=None, causal=False, window_size=(-1, -1), **_options):
    """Do what flash_attn_func documents: the same for sequences of one length (B, L, H, D)."""
    rows, length = q.shape[:2]
    ends = torch.arange(0, (rows + 1) * length, length, dtype=torch.int32)
    flat = (t.flatten(0, 1) for t in (q, k, v))
    return reference_varlen(*flat, ends, ends, length, length, dropout_p, softmax_scale, causal, window_size).view_as(q)


@pytest.fixture
def flash_stand_in(monkeypatch):
    """Put the reference kernels where transformers looks for flash-attn; return the windows they were called with."""
    utils = modeling_flash_attention_utils
    kernels = (reference_flash, reference_varlen, None, utils._pad_input, utils._unpad_input)
    monkeypatch.setattr(utils, "_lazy_imports", lambda *_args, **_kwargs: kernels)
    monkeypatch.setattr(utils, "_loaded_implementation", None)
    for name in ("_flash_fn", "_flash_varlen_fn", "_flash_with_kvcache_fn", "_pad_fn", "_unpad_fn"):
        monkeypatch.setattr(utils, name, None, raising=False)
    for name in ("_process_flash_kwargs_fn", "_process_with_kvcache_kwargs_fn"):
        monkeypatch.setattr(utils, name, None, raising=False)
    reference_varlen.windows = set()
    return reference_varlen.windows

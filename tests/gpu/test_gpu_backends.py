"""Every attention backend on a CUDA device against stock ModernBERT; run by `pytest -m gpu tests/gpu`.

Half precision is measured as in the parity matrix: no further from stock in fp32 than stock itself is in that
dtype, with room for another order of summation.
"""

import contextlib
import sys

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, MmBertModel
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import ModernBertConfig, ModernBertModel
from transformers.utils import is_flash_attn_2_available

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DEVICE = "cuda"
ROOM = 1.5  # how much larger than stock's an error in half precision may be
# Root mean square by which two orders of summation in bf16 may differ; stock differs from its fp32 self by 0.0056.
ROUNDING = 0.012

# Heads of 64 channels, global - local - local - global, mmBERT's window, and weights that make attention uneven.
TINY = {
    "vocab_size": 997,
    "hidden_size": 256,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "initializer_range": 0.05,
    "local_rope_theta": 10_000.0,
}
BACKENDS = [
    "varlen",
    "blocks",
    "eager",
    pytest.param(
        "flash_attention_2",
        marks=pytest.mark.skipif(not is_flash_attn_2_available(), reason="flash-attn is not installed"),
    ),
]


@pytest.fixture(autouse=True)
def exact_fp32():
    """Keep TF32 out of the references."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.fixture
def varlen_calls(monkeypatch):
    """Count the calls of torch's varlen kernel."""
    from torch.nn.attention import varlen

    calls, kernel = [], varlen.varlen_attn

    def counted(*args, **kwargs):
        calls.append(kwargs["window_size"])
        return kernel(*args, **kwargs)

    monkeypatch.setattr(varlen, "varlen_attn", counted)
    return calls


@pytest.fixture
def say(capsys):
    """Print a line past pytest's capture."""

    def write(line):
        with capsys.disabled():
            sys.stdout.write(f"\n{line}")

    return write


def stock_of(model, dtype=torch.float32):
    """Return stock ModernBERT with the weights of `model`."""
    fields = model.config.to_dict()
    fields.pop("model_type")
    stock = ModernBertModel(ModernBertConfig(**fields))
    stock.load_state_dict(model.state_dict())
    for parameter in stock.parameters():  # the rotary frequencies stay in fp32, as from_pretrained leaves them
        parameter.data = parameter.data.to(dtype)
    return stock.eval().to(DEVICE)


def ours(dtype=torch.float32, **overrides):
    torch.manual_seed(0)
    return MmBertModel(MmBertConfig(**{**TINY, **overrides})).eval().to(DEVICE, dtype)


def batch(padding, length=300, rows=4):
    """Return ids and a mask with rows padded right, left, in holes, or not at all."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, TINY["vocab_size"], (rows, length), generator=draw)
    mask = torch.ones_like(ids)
    for row in range(1, rows):
        removed = row * length // (rows + 1)
        if padding == "right":
            mask[row, length - removed :] = 0
        elif padding == "left":
            mask[row, :removed] = 0
        elif padding == "holes":
            mask[row, torch.randperm(length, generator=draw)[:removed]] = 0
    return ids.to(DEVICE), mask.to(DEVICE)


@contextlib.contextmanager
def running(model, backend):
    """Have `model` attend with a backend: `blocks` is sdpa with torch's flash kernels switched off."""
    model.set_attn_implementation("sdpa" if backend in ("varlen", "blocks") else backend)
    without_flash = sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
    with without_flash if backend == "blocks" else contextlib.nullcontext():
        yield model


def error(found, expected, real=...):
    """Return the root mean square of the difference at real tokens."""
    return (found.float() - expected.float())[real].square().mean().sqrt().item()


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
@pytest.mark.parametrize("backend", ["blocks", "eager"])
def test_fp32_equals_stock(backend, padding, varlen_calls):
    model = ours()
    ids, mask = batch(padding)
    with torch.no_grad(), running(model, backend):
        found = model(ids, mask).last_hidden_state
        expected = stock_of(model)(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask.bool()], expected[mask.bool()], atol=1e-4, rtol=0)
    assert not found[~mask.bool()].any() and not varlen_calls


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_half_precision_is_as_close_as_stock(backend, padding, dtype, varlen_calls):
    reference = stock_of(ours())
    model, stock = ours(dtype), stock_of(ours(), dtype)
    ids, mask = batch(padding)
    real = mask.bool()
    with torch.no_grad(), running(model, backend):
        found = model(ids, mask).last_hidden_state
        expected = reference(ids, attention_mask=mask).last_hidden_state
        theirs = error(stock(ids, attention_mask=mask).last_hidden_state, expected, real)
    assert found.dtype == dtype and error(found, expected, real) <= ROOM * theirs
    assert varlen_calls == ([(-1, -1), (64, 64), (64, 64), (-1, -1)] if backend == "varlen" else [])


def test_holes_fall_back_to_blocks_and_stay_right(varlen_calls):
    model = ours(torch.bfloat16)
    ids, mask = batch("holes")
    with torch.no_grad():
        found = model(ids, mask).last_hidden_state
        expected = stock_of(ours())(ids, attention_mask=mask).last_hidden_state
        theirs = stock_of(ours(), torch.bfloat16)(ids, attention_mask=mask).last_hidden_state
    assert error(found, expected, mask.bool()) <= ROOM * error(theirs, expected, mask.bool())
    assert not varlen_calls


@pytest.mark.parametrize("backend", BACKENDS)
def test_packed_sequences_equal_those_alone(backend):
    model = ours(torch.bfloat16)
    lengths = [130, 1, 66, 64, 129, 3]
    ids = torch.randint(5, 997, (1, sum(lengths)), device=DEVICE)
    boundaries = torch.tensor([0, *lengths], device=DEVICE).cumsum(0).int()
    with torch.no_grad(), running(model, backend):
        packed = model(ids, cu_seq_lens_q=boundaries, max_length_q=max(lengths)).last_hidden_state
        alone = torch.cat([model(row[None]).last_hidden_state for row in ids[0].split(lengths)], dim=1)
    assert error(packed, alone) <= ROUNDING


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_are_as_close_as_stock(backend, padding):
    reference, stock, model = stock_of(ours()), stock_of(ours(), torch.bfloat16), ours(torch.bfloat16)
    ids, mask = batch(padding)
    for network in (reference, stock, model):
        with running(network, backend) if network is model else contextlib.nullcontext():
            out = network(ids, attention_mask=mask).last_hidden_state
            out[mask.bool()].float().square().mean().backward()
    theirs, expected = dict(stock.named_parameters()), dict(reference.named_parameters())
    for name, parameter in model.named_parameters():
        goal = expected[name].grad
        off, stock_off = ((grad.float() - goal).norm() for grad in (parameter.grad, theirs[name].grad))
        assert parameter.grad.isfinite().all() and off <= ROOM * stock_off + 1e-3 * goal.norm(), name


@pytest.mark.parametrize("checkpointing", [False, True])
def test_autocast_training_goes_through_the_varlen_kernel(varlen_calls, checkpointing):
    torch.manual_seed(0)
    model = MmBertForMaskedLM(MmBertConfig(**TINY)).to(DEVICE).train()
    if checkpointing:
        getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    ids, mask = batch("right")
    with torch.autocast(DEVICE, torch.bfloat16):
        loss = model(ids, mask, labels=ids.masked_fill(mask == 0, -100)).loss
    loss.backward()
    assert loss.isfinite() and len(varlen_calls) == (8 if checkpointing else 4)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_row_of_padding_is_harmless(varlen_calls):
    model = ours(torch.bfloat16)
    ids, mask = batch("right")
    mask[2] = 0
    out = model(ids, mask).last_hidden_state
    assert len(varlen_calls) == 4 and not out[2].any() and out.isfinite().all()
    out.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_a_compiled_model_gives_the_same_numbers_for_packed_input():
    model = ours(torch.bfloat16)
    compiled = torch.compile(model, fullgraph=True, dynamic=True)
    with torch.no_grad():
        for lengths in ([130, 66, 3], [70, 200, 9, 64]):
            ids = torch.randint(5, 997, (1, sum(lengths)), device=DEVICE)
            boundaries = torch.tensor([0, *lengths], device=DEVICE).cumsum(0).int()
            packed = {"cu_seq_lens_q": boundaries, "max_length_q": max(lengths)}
            found, expected = (run(ids, **packed).last_hidden_state for run in (compiled, model))
            assert error(found, expected) <= ROUNDING


def test_compiled_layers_give_the_same_numbers_for_padded_input():
    model = ours(torch.bfloat16)
    with torch.no_grad():
        inputs = [batch("right"), batch("left", length=170)]
        before = [model(*given).last_hidden_state for given in inputs]
        model.compile()
        for given, expected in zip(inputs, before, strict=True):
            assert error(model(*given).last_hidden_state, expected) <= ROUNDING


def peak(model, rows, length, backward):
    """Return the bytes that one forward, or forward and backward, needs over what is there already."""
    ids = torch.randint(5, 997, (rows, length), device=DEVICE)
    model.zero_grad()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with torch.set_grad_enabled(backward):
        out = model(ids).last_hidden_state
        if backward:
            out.float().square().mean().backward()
    return torch.cuda.max_memory_allocated() - before


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("backend, dtype", [("varlen", torch.bfloat16), ("blocks", torch.float32)])
def test_memory_is_linear_in_tokens(backend, dtype, backward, say):
    model = ours(dtype, hidden_size=768, num_attention_heads=12, intermediate_size=1152)
    with running(model, backend):
        peak(model, 1, 2048, backward)  # libraries take their own workspaces once
        short, long = peak(model, 1, 2048, backward), peak(model, 1, 8192, backward)
        many = peak(model, 4, 2048, backward)
    sizes = ", ".join(f"{size / 2**20:.0f} MB" for size in (short, long, many))
    say(f"{backend}, {dtype}, backward {backward}: {sizes} for 1 x 2048, 1 x 8192, 4 x 2048")
    # Four times the tokens: a mask or scores of n x n would make it sixteen. Gradients of weights weigh the same.
    assert long <= 4.5 * short and many <= 4.5 * short


def milliseconds(run, repeats=5):
    """Return the median time of a call on the device."""
    times = []
    for _ in range(repeats + 2):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times[2:])[repeats // 2]


@pytest.mark.parametrize("length, rows", [(512, 64), (8192, 4)])
def test_speed_against_stock_is_printed(length, rows, say):
    """Base size, bf16, lengths spread evenly up to `length`; nothing is asserted, a shared GPU has no fixed speed."""
    sizes = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 1152, "num_hidden_layers": 22}
    model = ours(torch.bfloat16, **sizes)
    networks = {"stock sdpa": (stock_of(model, torch.bfloat16), "sdpa")}
    networks |= {f"ours {name}": (model, name) for name in ("varlen", "blocks")}
    if is_flash_attn_2_available():
        networks["ours flash_attention_2"] = (model, "flash_attention_2")
    ids = torch.randint(5, 997, (rows, length), device=DEVICE)
    real = torch.linspace(length // 8, length, rows, device=DEVICE).long()
    mask = (torch.arange(length, device=DEVICE) < real[:, None]).long()
    for name, (network, backend) in networks.items():
        with torch.no_grad(), running(network, backend):
            took = milliseconds(lambda network=network: network(ids, attention_mask=mask))
        say(f"{name:>24} {rows} x {length}: {took:8.1f} ms, {int(mask.sum()) / took:8.1f} thousand tokens/s")

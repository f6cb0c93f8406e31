"""torch's varlen attention as a backend: who gets it, what it is called with, and its numbers with a dense kernel."""

import inspect

import pytest
import torch
from mmbert import MmBertModel
from mmbert.modeling import varlen_attention
from mmbert.modeling.packing import stream_of_packed, stream_of_padded
from mmbert.modeling.varlen_attention import VarlenAttention, hardware_obstacle, has_gaps, varlen_obstacle
from torch.nn.attention import varlen

# Bound before any test puts a stand-in in its place.
REAL_KERNEL = varlen.varlen_attn


def dense_varlen(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1)):
    """Do what varlen_attn documents, one sequence after the other, densely."""
    assert torch.equal(cu_seq_q, cu_seq_k) and max_q == max_k == cu_seq_q.diff().max()
    mixed = []
    for start, end in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
        q, k, v = (tensor[start:end].transpose(0, 1) for tensor in (query, key, value))
        place = torch.arange(end - start)
        distance = place[None] - place[:, None]
        left, right = (reach if reach >= 0 else end for reach in window_size)
        visible = (distance >= -left) & (distance <= right)
        scores = (q @ k.transpose(1, 2) * scale).masked_fill(~visible, -torch.inf)
        mixed.append((scores.softmax(-1) @ v).transpose(0, 1))
    return torch.cat(mixed)


@pytest.fixture
def kernel_calls(monkeypatch):
    """Let every device pass for a GPU with a dense kernel; return what each call of it was given."""
    calls = []

    def record(*args, **kwargs):
        bound = inspect.signature(REAL_KERNEL).bind(*args, **kwargs)
        calls.append(bound.arguments)
        return dense_varlen(*args, **kwargs)

    monkeypatch.setattr(varlen, "varlen_attn", record)
    monkeypatch.setattr(varlen_attention, "hardware_obstacle", lambda device, dtype: None)
    return calls


@pytest.fixture
def ampere(monkeypatch):
    """Let this torch pass for one that found an Ampere GPU."""
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (8, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    return torch.device("cuda", 0)


def padded(*rows):
    """Return the stream of a batch whose mask is written in zeros and ones."""
    mask = torch.tensor([[int(token) for token in row] for row in rows])
    return stream_of_padded(mask, *mask.shape, mask.device)


@pytest.mark.parametrize("padding", ["none", "right", "left"])
@pytest.mark.parametrize("length", [1, 64, 65, 66, 130, 200])
def test_padded_input_equals_stock(twins, make_batch, kernel_calls, length, padding):
    model, stock = twins()
    ids, mask = make_batch(length, padding)
    with torch.no_grad():
        ours, theirs = model(ids, mask).last_hidden_state, stock(ids, attention_mask=mask).last_hidden_state
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    torch.testing.assert_close(ours[real], theirs[real], atol=1e-5, rtol=0)
    assert len(kernel_calls) == 4 and not ours[~real].any()


@pytest.mark.parametrize("lengths", [(130, 3, 66), (1, 1, 1), (64, 65, 63), (7,)])
def test_packed_input_equals_stock(twins, kernel_calls, lengths):
    model, stock = twins()
    ids = torch.randint(5, 97, (1, sum(lengths)))
    boundaries = torch.tensor([0, *lengths]).cumsum(0).int()
    with torch.no_grad():
        ours = model(ids, cu_seq_lens_q=boundaries, max_length_q=max(lengths)).last_hidden_state
        theirs = torch.cat([stock(row[None]).last_hidden_state for row in ids[0].split(lengths)], dim=1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert len(kernel_calls) == 4


@pytest.mark.parametrize("padding", ["none", "right", "left"])
def test_gradients_equal_stock(twins, make_batch, kernel_calls, padding):
    model, stock = twins()
    ids, mask = make_batch(150, padding)
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    for network in (model, stock):
        network(ids, attention_mask=mask).last_hidden_state[real].square().mean().backward()
    assert len(kernel_calls) == 4
    theirs = dict(stock.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, theirs[name].grad, atol=1e-5, rtol=1e-3, msg=name)


def test_the_kernel_gets_what_its_documentation_asks_for(twins, make_batch, kernel_calls):
    model, _ = twins()
    ids, mask = make_batch(200, "right")
    with torch.no_grad():
        model(ids, mask)
    windows = [call["window_size"] for call in kernel_calls]
    assert windows == [(-1, -1), (64, 64), (64, 64), (-1, -1)]  # the tiny layers: global, local, local, global
    for call in kernel_calls:
        for name in ("query", "key", "value"):
            assert call[name].shape == (int(mask.sum()), 2, 64) and call[name].stride(-1) == 1
        for name in ("cu_seq_q", "cu_seq_k"):
            assert call[name].dtype == torch.int32 and call[name].is_contiguous()
            assert call[name].tolist()[0] == 0 and call[name].tolist()[-1] == int(mask.sum())
        assert type(call["max_q"]) is int and type(call["max_k"]) is int and call["max_q"] == call["max_k"] == 200
        assert call["scale"] == 64**-0.5 and call.keys() <= inspect.signature(REAL_KERNEL).parameters.keys()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_real_operator_takes_these_arguments_forward_and_backward(tiny, dtype):
    """On the meta device torch checks every argument against the operator's schema and computes shapes only."""
    layer = MmBertModel(tiny()).layers[1].attn
    qkv = torch.empty(199, 3, 2, 64, dtype=dtype, device="meta", requires_grad=True)
    boundaries = torch.tensor([0, 130, 133, 199], dtype=torch.int32)
    stream = stream_of_packed(boundaries, 130, 199, boundaries.device, by_length=True)
    backend = VarlenAttention(stream)
    backend.boundaries = backend.boundaries.to("meta")
    mixed, weights = backend(layer, qkv)
    assert mixed.shape == (199, 2, 64) and mixed.dtype == dtype and weights is None
    mixed.sum().backward()
    assert qkv.grad.shape == qkv.shape


def test_the_real_operator_is_recorded_without_a_break(tiny):
    model = MmBertModel(tiny()).eval()
    graphs = []

    def keep(graph, _inputs):
        graphs.append(graph)
        return lambda *_inputs: (torch.zeros(199, 2, 64),)

    boundaries = torch.tensor([0, 130, 133, 199], dtype=torch.int32)
    stream = stream_of_packed(boundaries, 130, 199, boundaries.device, by_length=True)

    def attend(qkv):
        # Asked for the question's sake: on this CPU there is an obstacle.
        varlen_obstacle(model.config, stream, qkv.dtype, training=False)
        return VarlenAttention(stream)(model.layers[1].attn, qkv)[0]

    compiled = torch.compile(attend, backend=keep, fullgraph=True, dynamic=True)
    assert compiled(torch.zeros(199, 3, 2, 64)).shape == (199, 2, 64)
    assert any("torch_attn" in str(node.target) for graph in graphs for node in graph.graph.nodes)


def test_sequences_without_tokens_never_reach_the_kernel(twins, kernel_calls):
    model, _ = twins()
    ids = torch.randint(5, 97, (4, 90))
    mask = torch.ones_like(ids)
    mask[0], mask[2] = 0, 0
    mask[3, 70:] = 0
    with torch.no_grad():
        out = model(ids, mask).last_hidden_state
        alone = model(ids[3:, :70]).last_hidden_state
    assert not out[0].any() and not out[2].any()
    torch.testing.assert_close(out[3, :70], alone[0], atol=1e-5, rtol=0)
    assert kernel_calls[0]["cu_seq_q"].tolist() == [0, 70, 160]


def test_a_batch_of_padding_alone_calls_no_kernel(twins, kernel_calls):
    model, _ = twins()
    with torch.no_grad():
        assert not model(torch.ones(2, 9).long(), torch.zeros(2, 9)).last_hidden_state.any()
    assert not kernel_calls


def test_a_mask_with_holes_keeps_the_window_of_stock(twins, make_batch, kernel_calls):
    model, stock = twins()
    ids, mask = make_batch(200, "holes")
    with torch.no_grad():
        ours, theirs = model(ids, mask).last_hidden_state, stock(ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-5, rtol=0)
    assert not kernel_calls


@pytest.mark.parametrize(
    "rows, gaps",
    [
        (["1111", "1111"], False),  # nothing removed
        (["1111", "1100"], False),  # padding right
        (["0011", "1111"], False),  # padding left
        (["0110", "1111"], False),  # padding on both sides
        (["0000", "0111"], False),  # a row of nothing but padding
        (["1011", "1111"], True),
        (["0101", "0000"], True),
    ],
)
def test_gaps_are_holes_inside_a_sequence(rows, gaps):
    assert has_gaps(padded(*rows)) == gaps


def test_packed_sequences_have_no_gaps():
    boundaries = torch.tensor([0, 5, 7, 10])
    for by_length in (True, False):
        assert not has_gaps(stream_of_packed(boundaries, 5, 10, boundaries.device, by_length=by_length))


def test_an_ampere_gpu_in_half_precision_has_no_obstacle(ampere):
    assert hardware_obstacle(ampere, torch.bfloat16) is None
    assert hardware_obstacle(ampere, torch.float16) is None


def test_autocast_decides_the_dtype(ampere, monkeypatch):
    assert "float32" in hardware_obstacle(ampere, torch.float32)
    # torch.autocast itself does nothing for a device that is not there.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device_type: device_type == "cuda")
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device_type: torch.bfloat16)
    assert hardware_obstacle(ampere, torch.float32) is None


def test_obstacles_of_the_machine_are_named(ampere, monkeypatch):
    assert "not on cpu" in hardware_obstacle(torch.device("cpu"), torch.bfloat16)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert "switched off" in hardware_obstacle(ampere, torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert "Ampere" in hardware_obstacle(ampere, torch.bfloat16)
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert "ROCm" in hardware_obstacle(ampere, torch.bfloat16)


def test_a_torch_without_the_window_is_an_obstacle(ampere, monkeypatch):
    def first_release(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):
        raise NotImplementedError

    monkeypatch.setattr(varlen, "varlen_attn", first_release)
    assert "takes a window" in hardware_obstacle(ampere, torch.bfloat16)
    monkeypatch.delattr(varlen, "varlen_attn")
    assert "takes a window" in hardware_obstacle(ampere, torch.bfloat16)


@pytest.mark.parametrize(
    "overrides, training, obstacle",
    [
        ({}, True, None),
        ({"attention_dropout": 0.1}, False, None),
        ({"attention_dropout": 0.1}, True, "no dropout"),
        ({"deterministic_flash_attn": True}, False, "deterministic_flash_attn"),
        ({"num_attention_heads": 32}, False, "not of 4"),
        ({"hidden_size": 528, "num_attention_heads": 2}, False, "not of 264"),
    ],
)
def test_obstacles_of_the_model_are_named(tiny, kernel_calls, overrides, training, obstacle):
    found = varlen_obstacle(tiny(**overrides), padded("1111"), torch.bfloat16, training=training)
    assert found is None if obstacle is None else obstacle in found


def test_holes_matter_only_where_a_window_can_cut(tiny, kernel_calls):
    short, long = padded("1011", "1111"), padded("1" * 30 + "0" + "1" * 69, "1" * 100)
    assert varlen_obstacle(tiny(), short, torch.bfloat16, training=False) is None
    assert "holes" in varlen_obstacle(tiny(), long, torch.bfloat16, training=False)
    only_global = tiny(layer_types=["full_attention"] * 4)
    assert varlen_obstacle(only_global, long, torch.bfloat16, training=False) is None


def test_an_exported_graph_does_not_hold_the_kernel(tiny, kernel_calls, make_batch):
    model = MmBertModel(tiny()).eval()
    ids, _ = make_batch(100, "none")
    graph = torch.export.export(model, (), {"input_ids": ids})
    assert not any("torch_attn" in str(node.target) for node in graph.graph.nodes)
    assert not kernel_calls


def test_dropout_in_training_goes_through_sdpa(tiny, kernel_calls, make_batch):
    model = MmBertModel(tiny(attention_dropout=0.1)).train()
    ids, mask = make_batch(100, "right")
    model(ids, mask)
    assert not kernel_calls
    model.eval()(ids, mask)
    assert len(kernel_calls) == 4

"""Compiled and recorded networks: one graph without a break, for every length; the same numbers from generated code."""

import shutil

import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel
from torch._dynamo.testing import CompileCounter

needs_compiler = pytest.mark.skipif(shutil.which("c++") is None, reason="code for a CPU needs a C++ compiler")
# Their number changes with every batch; the last has more sequences than its longest has tokens.
LENGTHS = [[100, 40, 7], [33, 33], [130, 64, 2, 65, 129], [66, 1, 66, 3], [5, 2, 3, 5, 5, 2, 4, 5]]


@pytest.fixture(autouse=True)
def nothing_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def lay_out():
    """Make the arguments for sequences of these lengths in one of three layouts."""

    def make(lengths, layout, seed=0):
        generator = torch.Generator().manual_seed(seed)
        rows = [torch.randint(5, 97, (length,), generator=generator) for length in lengths]
        if layout == "packed":
            ends = torch.tensor([0, *lengths]).cumsum(0).int()
            ids, sequences = torch.cat(rows)[None], {"cu_seq_lens_q": ends, "max_length_q": max(lengths)}
        else:
            pad = torch.nn.utils.rnn.pad_sequence
            ids = pad(rows, batch_first=True, padding_value=5)
            mask = pad([torch.ones_like(row) for row in rows], batch_first=True)
            sequences = {"attention_mask": mask} if layout == "masked" else {}
        return {"input_ids": ids, **sequences}

    return make


@pytest.mark.parametrize("layout", ["masked", "unpadded", "packed"])
def test_two_graphs_without_a_break_serve_every_length_and_number_of_sequences(tiny, lay_out, layout):
    model, counter = MmBertModel(tiny(num_hidden_layers=2)).eval(), CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True, dynamic=True)
    with torch.no_grad():
        for lengths in LENGTHS:
            inputs = lay_out(lengths, layout)
            ours, theirs = (network(**inputs).last_hidden_state for network in (model, compiled))
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
            # One graph for more tokens than a block of 64; the compiler makes another of a single block.
            assert counter.frame_count == (2 if inputs["input_ids"].numel() <= 64 else 1)


@pytest.mark.slow
def test_dropout_acts_in_a_compiled_packed_network_in_training_only(tiny, lay_out):
    model = MmBertModel(tiny(num_hidden_layers=2, attention_dropout=0.5))
    for layer in model.layers:
        layer.attn.out_drop.p = 0.0  # what is left drops weights of attention
    compiled = torch.compile(model, backend="eager", fullgraph=True, dynamic=True)
    inputs = lay_out([100, 40, 7], "packed")
    with torch.no_grad():
        for training in (False, True):
            model.train(training)
            first, second = (compiled(**inputs).last_hidden_state for _ in range(2))
            assert torch.equal(first, second) is not training


# None, as Trainer compiles: lengths count as constants until a second one is seen.
@pytest.mark.parametrize(
    ("dynamic", "layout"),
    [
        (True, "packed"),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in ((True, "masked"), (None, "masked"), (None, "packed"))),
    ],
)
def test_gradient_checkpointing_may_be_compiled(tiny, lay_out, layout, dynamic):
    torch.manual_seed(0)
    model = MmBertModel(tiny(num_hidden_layers=2)).train()
    batches = [lay_out(lengths, layout) for lengths in LENGTHS[:2]]
    plain = [gradients(model, model, inputs) for inputs in batches]
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    compiled = torch.compile(model, backend="eager", dynamic=dynamic)
    for inputs, expected in zip(batches, plain, strict=True):
        for ours, theirs in zip(gradients(compiled, model, inputs), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_recorded_graph_serves_other_shapes_and_paddings(tiny, make_batch):
    model = MmBertForMaskedLM(tiny()).eval()
    ids, mask = make_batch(150, "right")
    dynamic = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", max=8192)}
    graph = torch.export.export(
        model,
        (),
        {"input_ids": ids, "attention_mask": mask},
        dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
    ).module()
    with torch.no_grad():
        for length, padding in ((150, "right"), (150, "left"), (37, "holes"), (70, "right")):
            ids, mask = make_batch(length, padding, rows=4)
            mask[0] = 0
            ours, recorded = model(ids, mask).logits, graph(input_ids=ids, attention_mask=mask).logits
            real = mask.bool()
            torch.testing.assert_close(recorded[real], ours[real], atol=1e-5, rtol=0)
            assert recorded.isfinite().all()


def compile_all(model):
    return torch.compile(model, fullgraph=True, dynamic=True)


def compile_rows(model):
    model.compile()
    return model


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("layout", ["masked", "packed"])
@pytest.mark.parametrize("make", [compile_all, compile_rows])
def test_generated_code_gives_the_same_numbers_and_gradients(tiny, lay_out, layout, make):
    torch.manual_seed(0)
    model = MmBertModel(tiny()).eval()
    batches = [lay_out(lengths, layout) for lengths in LENGTHS[:2]]
    plain = [gradients(model, model, inputs) for inputs in batches]
    compiled = make(model)
    for inputs, expected in zip(batches, plain, strict=True):
        with torch.no_grad():
            torch.testing.assert_close(compiled(**inputs).last_hidden_state, expected[0], atol=1e-5, rtol=0)
        for ours, theirs in zip(gradients(compiled, model, inputs), expected, strict=True):
            largest = float(theirs.abs().max())
            torch.testing.assert_close(ours, theirs, atol=1e-5 * largest, rtol=1e-4)


def gradients(network, model, inputs):
    """Return the last hidden states and every gradient."""
    model.zero_grad()
    last = network(**inputs).last_hidden_state
    # Channels weigh differently: the plain square of a normalised vector is constant, and its gradient only rounding.
    (last * torch.linspace(-1, 1, last.shape[-1])).square().mean().backward()
    return [last.detach(), *(parameter.grad.clone() for parameter in model.parameters())]

"""The matrix: every layout, backend, dtype, length and shape against stock ModernBERT with the same weights.

By default a covering design runs: every pair of levels of two factors meets in at least one cell, 40 cells of 640. The
others are marked slow. A cell compares what is inferred (every layer's hidden states, logits) and what is learnt from
(loss, the gradient of every parameter).

* fp32: equal to 1e-5. Activations are of order 1; gradients are measured against the largest of their tensor.
* bf16: no further from the truth than stock in bf16 on the same backend. The truth is stock in fp32 with weights that
  bf16 can hold, so that the error is that of the arithmetic. test_bf16_error.py has sharper attention.

Compiled means `torch.compile(fullgraph=True, dynamic=True)` without a code generator; test_compilation.py has the rest.
"""

from functools import lru_cache
from itertools import combinations, product
from typing import NamedTuple

import pytest
import torch
from mmbert import MmBertForMaskedLM
from transformers import ModernBertForMaskedLM

LAYOUTS = ("right", "left", "holes", "unpadded", "packed")
BACKENDS = ("eager", "sdpa", "flash", "compiled")
DTYPES = (torch.float32, torch.bfloat16)
LENGTHS = (1, 63, 64, 65, 128, 129, 130, 513)  # of the longest sequence, around the window of 64 + 1 + 64
SHAPES = ("base", "small")
FLASH = "flash_attention_2"


class Cell(NamedTuple):
    """One place in the matrix."""

    layout: str
    backend: str
    dtype: torch.dtype
    length: int
    shape: str

    def __str__(self):
        dtype = {torch.float32: "fp32", torch.bfloat16: "bf16"}[self.dtype]
        return f"{self.layout}-{self.backend}-{dtype}-{self.length}-{self.shape}"

    @property
    def implementation(self):
        """The backend by transformers' name."""
        return {"compiled": "sdpa", "flash": FLASH}.get(self.backend, self.backend)

    @property
    def graph(self):
        """What a compiled model is compiled for: other arguments, another dtype or shape is another graph."""
        return {"unpadded": "unpadded", "packed": "packed"}.get(self.layout, "masked"), self.dtype, self.shape

    def pairs(self):
        return set(combinations(enumerate(self), 2))


MATRIX = [Cell(*levels) for levels in product(LAYOUTS, BACKENDS, DTYPES, LENGTHS, SHAPES)]
# Compiling takes seconds, so the default cells share three graphs; the full matrix has twelve.
QUICK_GRAPHS = {
    ("masked", torch.float32, "base"),
    ("unpadded", torch.float32, "small"),
    ("packed", torch.bfloat16, "small"),
}


def covering_design():
    """Choose cells, always the one with the most pairs that no other has, until every pair is in one."""
    candidates = [cell for cell in MATRIX if cell.backend != "compiled" or cell.graph in QUICK_GRAPHS]
    uncovered = {pair for cell in candidates for pair in cell.pairs()}
    chosen = set()
    while uncovered:
        chosen.add(best := max(candidates, key=lambda cell: len(cell.pairs() & uncovered)))
        uncovered -= best.pairs()
    return chosen


QUICK = covering_design()


def cells(dtype):
    # Cells that share stock's numbers, which are remembered for a while, follow each other.
    in_order = sorted(MATRIX, key=lambda cell: (cell.shape, cell.length, cell.layout))
    wanted = [cell for cell in in_order if cell.dtype == dtype]
    slow = [() if cell in QUICK else pytest.mark.slow for cell in wanted]
    parameters = [pytest.param(cell, id=str(cell), marks=marks) for cell, marks in zip(wanted, slow, strict=True)]
    return pytest.mark.parametrize("cell", parameters)


def test_the_default_cells_cover_every_pair_of_levels():
    every = {pair for cell in MATRIX for pair in cell.pairs()}
    assert len(MATRIX) == 640 and every == {pair for cell in QUICK for pair in cell.pairs()}


@cells(torch.float32)
def test_fp32_equals_stock(cell, our_numbers, true_numbers):
    ours, stock = our_numbers(cell), true_numbers(cell)
    assert ours.keys() == stock.keys()
    for name, expected in stock.items():
        largest = float(expected.abs().max())
        unit = largest if name.startswith("gradient") else 1.0
        assert 0 < largest < 10, f"{name} is zero, or not of order 1"
        difference = float((ours[name] - expected).abs().max())
        assert difference <= 1e-5 * unit, f"{name} differs by {difference}"


@cells(torch.bfloat16)
def test_bf16_is_no_further_from_the_truth_than_stock(cell, our_numbers, stock_numbers, true_numbers):
    ours, stock, truth = our_numbers(cell), stock_numbers(cell), true_numbers(cell)
    assert ours.keys() == stock.keys() == truth.keys()
    for name in truth.keys() - {"loss"}:
        error, of_stock = ours[name] - truth[name], stock[name] - truth[name]
        mean, largest = allowance(name, truth[name])
        assert rms(error) <= mean * rms(of_stock), f"{name}: {rms(error)} after {rms(of_stock)}"
        assert error.abs().max() <= largest * of_stock.abs().max(), name
    # A ratio of two single errors says nothing; but the loss averages over tokens whose errors have either sign.
    assert abs(ours["loss"] - truth["loss"]) <= 0.5 * rms(stock["logits"] - truth["logits"])


def rms(error):
    return float(error.square().mean().sqrt())


def allowance(name, tensor):
    """Return by how much the root mean square and the largest of our errors may exceed stock's.

    Rounding falls differently in the two, so both ratios scatter around 1, the more the fewer the numbers: tens of
    thousands of activations; a matrix' gradient, whose largest errors lie in few rows; a norm's 128 or 192.
    """
    if not name.startswith("gradient"):
        return 1.05, 1.5
    return (1.2, 3.0) if tensor.dim() > 1 else (1.6, 4.0)


class Batch:
    """Sequences in a cell's layout, and padded as stock reads them."""

    def __init__(self, make_batch, layout, length):
        padding = {"unpadded": "none", "packed": "right"}.get(layout, layout)
        # Some 600 tokens make the scatter of an error small.
        ids, mask = make_batch(length, padding, rows=min(max(3, 600 // length), 128))
        self.real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
        chosen = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3)) < 0.3
        labels = ids.masked_fill(~(chosen & self.real), -100)
        self.stock = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        self.ours = self.stock
        if layout == "packed":
            ends = torch.nn.functional.pad(self.real.sum(1).cumsum(0), (1, 0)).int()
            self.ours = {"input_ids": ids[self.real][None], "labels": labels[self.real][None]}
            self.ours |= {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": length, "max_length_k": length}

    def tokens(self, tensor):
        """Return (T, ...), the real tokens."""
        return tensor[self.real] if tensor.shape[:2] == self.real.shape else tensor[0]


def numbers(network, inputs, batch, compiled=None):
    """Return all that is compared, by name: on real tokens, in fp32."""
    network.zero_grad()
    if compiled is not None:
        learnt = inferred = compiled(**inputs, output_hidden_states=True)
    else:
        learnt = network(**inputs)
        with torch.inference_mode():
            inferred = network(**{k: v for k, v in inputs.items() if k != "labels"}, output_hidden_states=True)
    learnt.loss.backward()
    found = {f"hidden state {index}": batch.tokens(state) for index, state in enumerate(inferred.hidden_states)}
    found |= {f"gradient of {name}": parameter.grad for name, parameter in network.named_parameters()}
    found |= {"logits": batch.tokens(inferred.logits), "loss": learnt.loss}
    return {name: tensor.detach().float().clone() for name, tensor in found.items()}


@pytest.fixture(scope="module")
def networks(twins):
    """Make ours and stock of one shape and dtype, with weights that bf16 can hold."""

    @lru_cache
    def make(shape, dtype):
        pair = twins(MmBertForMaskedLM, ModernBertForMaskedLM, shape=shape)
        for network in pair:
            for parameter in network.parameters():  # not `network.to`, which would round stock's rotary angles
                parameter.data = parameter.data.bfloat16().to(dtype)
        pair[1].sparse_prediction = False
        return pair

    return make


@pytest.fixture(scope="module")
def remembered(networks, make_batch):
    @lru_cache(maxsize=16)
    def run(layout, length, shape, dtype, implementation):
        _, stock = networks(shape, dtype)
        stock.config._attn_implementation = implementation
        batch = Batch(make_batch, layout, length)
        return numbers(stock, batch.stock, batch)

    return run


@pytest.fixture
def stock_numbers(remembered, flash_stand_in):
    return lambda cell: remembered(cell.layout, cell.length, cell.shape, cell.dtype, cell.implementation)


@pytest.fixture
def true_numbers(remembered, flash_stand_in):
    """Stock's in fp32 on sdpa; but flash kernels count a window in tokens, not in columns: holes have another truth."""

    def run(cell):
        implementation = FLASH if (cell.backend, cell.layout) == ("flash", "holes") else "sdpa"
        return remembered(cell.layout, cell.length, cell.shape, torch.float32, implementation)

    return run


@pytest.fixture(scope="module")
def graphs(networks):
    """Make the compiled models, each for one kind of input."""

    @lru_cache
    def make(_kind, dtype, shape):
        return torch.compile(networks(shape, dtype)[0], backend="eager", fullgraph=True, dynamic=True)

    torch.compiler.reset()
    with torch._dynamo.config.patch(recompile_limit=64):  # all of them are one function to the compiler
        yield make
    torch.compiler.reset()


@pytest.fixture
def our_numbers(networks, make_batch, graphs, flash_stand_in):
    def run(cell):
        model, _ = networks(cell.shape, cell.dtype)
        batch = Batch(make_batch, cell.layout, cell.length)
        compiled = graphs(*cell.graph) if cell.backend == "compiled" else None
        model.config._attn_implementation = cell.implementation
        model.config.sparse_prediction = compiled is None  # so that one recording gives the logits beside the loss
        return numbers(model, batch.ours, batch, compiled)

    return run

"""The loss over a large vocabulary against the dense one: numbers, memory, and whatever else a decoder can be."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from mmbert import MmBertForMaskedLM
from mmbert.modeling import linear_cross_entropy as module
from mmbert.modeling.linear_cross_entropy import linear_cross_entropy
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import ModernBertForMaskedLM

CHANNELS = 16


def dense(hidden, weight, bias, labels, items=None):
    """The loss by its definition, on all logits at once."""
    logits = functional.linear(hidden, weight, bias)
    logits = logits if logits.dtype == torch.float64 else logits.float()
    total = functional.cross_entropy(logits, labels, reduction="sum")
    return total / max(1, int((labels != -100).sum()) if items is None else int(items))


def make_problem(rows, words, seed=0, dtype=torch.float32, ignored=0.0, has_bias=True):
    """Hidden states, table, bias and labels; every leaf wants its gradient."""
    generator = torch.Generator().manual_seed(seed)
    hidden, weight, bias = (
        torch.randn(shape, generator=generator) for shape in ((rows, CHANNELS), (words, CHANNELS), words)
    )
    labels = torch.randint(0, words, (rows,), generator=generator)
    labels[torch.rand(rows, generator=generator) < ignored] = -100
    leaves = [t.to(dtype).requires_grad_() for t in (hidden, weight / 2, bias)]
    return (*leaves[:2], leaves[2] if has_bias else None), labels


def in_fp64(leaves):
    return [None if t is None else t.detach().double().requires_grad_() for t in leaves]


def loss_and_gradients(loss, leaves):
    asked = [t for t in leaves if t is not None and t.requires_grad]
    return [loss.detach(), *torch.autograd.grad(loss, asked)]


def assert_same(ours, theirs, tolerance=2e-6):
    for mine, other in zip(ours, theirs, strict=True):
        largest = float(other.abs().max()) if other.numel() else 0.0
        torch.testing.assert_close(mine.double(), other.double(), atol=tolerance * max(largest, 1e-3), rtol=0)


class MostMemory(TorchDispatchMode):
    """Remembers the most bytes of any one tensor that an operation makes; views and work in place make none."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given, made = (
            {
                t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                for t in tree_leaves(tree)
                if isinstance(t, torch.Tensor)
            }
            for tree in ((args, kwargs), result)
        )
        self.size = max([self.size, *(size for place, size in made.items() if place not in given)])
        return result


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(0, 40),
    words=st.integers(1, 60),
    chunk=st.integers(1, 45) | st.none(),
    ignored=st.sampled_from([0.0, 0.4, 1.0]),
    has_bias=st.booleans(),
    items=st.none() | st.integers(0, 100),
    seed=st.integers(0, 10**6),
)
def test_loss_and_gradients_are_those_of_dense_logits(rows, words, chunk, ignored, has_bias, items, seed):
    leaves, labels = make_problem(rows, words, seed, ignored=ignored, has_bias=has_bias)
    truth = in_fp64(leaves)
    ours = linear_cross_entropy(*leaves, labels, items, chunk_size=chunk)
    assert ours.dtype == torch.float32 and ours.shape == ()
    assert_same(loss_and_gradients(ours, leaves), loss_and_gradients(dense(*truth, labels, items), truth))


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_gradients_are_the_slopes_of_the_loss(chunk):
    leaves, labels = make_problem(9, 23, dtype=torch.float64, ignored=0.2)
    assert torch.autograd.gradcheck(lambda *t: linear_cross_entropy(*t, labels, 5, chunk_size=chunk), leaves)


@pytest.mark.parametrize("items", [7, torch.tensor(7), torch.tensor(7.0), 0, torch.tensor(0)])
def test_the_loss_is_divided_by_the_items_of_the_whole_step(items):
    leaves, labels = make_problem(12, 30)
    truth = in_fp64(leaves)
    ours = linear_cross_entropy(*leaves, labels, items, chunk_size=5)
    assert_same(loss_and_gradients(ours, leaves), loss_and_gradients(dense(*truth, labels, items), truth))


def test_gradients_of_two_half_batches_add_up_to_those_of_the_whole():
    (hidden, weight, bias), labels = make_problem(20, 30)
    for half in (slice(0, 10), slice(10, 20)):
        linear_cross_entropy(hidden[half], weight, bias, labels[half], 20, chunk_size=4).backward()
    summed = [t.grad for t in (hidden, weight, bias)]
    whole = loss_and_gradients(linear_cross_entropy(hidden, weight, bias, labels), (hidden, weight, bias))
    assert_same(summed, whole[1:])


def test_logits_far_apart_neither_overflow_nor_lose_the_label():
    (hidden, weight, bias), labels = make_problem(20, 30)
    leaves = [t.detach().mul(40).requires_grad_() for t in (hidden, weight, bias)]
    truth = in_fp64(leaves)
    ours = loss_and_gradients(linear_cross_entropy(*leaves, labels), leaves)
    assert ours[0] > 1000  # most labels have a share that fp32 cannot hold
    assert_same(ours, loss_and_gradients(dense(*truth, labels), truth))


def test_what_stands_in_a_row_that_is_not_scored_does_not_matter():
    (hidden, weight, bias), labels = make_problem(8, 30)
    labels[3] = -100
    broken = hidden.detach().clone()
    broken[3] = torch.nan
    leaves = (broken.requires_grad_(), weight, bias)
    ours = loss_and_gradients(linear_cross_entropy(*leaves, labels), leaves)
    theirs = loss_and_gradients(linear_cross_entropy(hidden, weight, bias, labels), (hidden, weight, bias))
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
    assert not ours[1][3].any()


@pytest.mark.parametrize("rows", [0, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("items", [None, 0, 9, torch.tensor(0)])
def test_nothing_scored_is_a_loss_of_zero_with_gradients_of_zero(rows, dtype, items):
    leaves, labels = make_problem(rows, 30, dtype=dtype, ignored=1.0)
    loss = linear_cross_entropy(*leaves, labels, items)
    loss.backward()
    assert loss.item() == 0 and loss.dtype == torch.float32
    assert all(t.grad.shape == t.shape and t.grad.dtype == dtype and not t.grad.any() for t in leaves)


def errors(results, truth):
    return [float((r.double() - t).norm() / t.norm()) for r, t in zip(results, truth, strict=True)]


@pytest.mark.parametrize("chunk", [40, 160, None])
@pytest.mark.parametrize("autocast", [False, True])
def test_bf16_is_no_further_from_the_truth_than_dense_bf16(chunk, autocast):
    leaves, labels = make_problem(640, 500, dtype=torch.float32 if autocast else torch.bfloat16)
    truth = in_fp64(leaves)
    exact = loss_and_gradients(dense(*truth, labels), truth)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        ours = linear_cross_entropy(*leaves, labels, chunk_size=chunk)
        theirs = dense(*leaves, labels)
    assert ours.dtype == torch.float32
    ours, theirs = loss_and_gradients(ours, leaves), loss_and_gradients(theirs, leaves)
    assert [t.dtype for t in ours[1:]] == [t.dtype for t in leaves]
    # The logits are the same bf16 numbers; only the order in which the losses are summed may differ.
    torch.testing.assert_close(ours[0], theirs[0], atol=0, rtol=1e-6)
    for mine, other in zip(errors(ours[1:], exact[1:]), errors(theirs[1:], exact[1:]), strict=True):
        assert 0 < mine <= other


def test_autocast_leaves_fp64_alone_as_it_does_in_a_linear_layer():
    leaves, labels = make_problem(9, 23, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear_cross_entropy(*leaves, labels)
    assert_same([ours.detach()], [dense(*leaves, labels).detach()], tolerance=1e-12)


@pytest.mark.parametrize(
    "learns", [(True, False, False), (False, True, False), (False, False, True), (True, False, True)]
)
def test_only_what_learns_gets_a_gradient(learns):
    leaves, labels = make_problem(200, 300)
    for leaf, does in zip(leaves, learns, strict=True):
        leaf.requires_grad_(does)
    truth = [t.requires_grad_(does) for t, does in zip(in_fp64(leaves), learns, strict=True)]
    with MostMemory() as seen:
        ours = loss_and_gradients(linear_cross_entropy(*leaves, labels, chunk_size=4), leaves)
    assert_same(ours, loss_and_gradients(dense(*truth, labels), truth))
    assert (seen.size >= leaves[1].nbytes) == learns[1]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_nothing_is_made_for_them(mode):
    leaves, labels = make_problem(200, 300)
    with mode(), MostMemory() as seen:
        loss = linear_cross_entropy(*leaves, labels, chunk_size=4)
    assert not loss.requires_grad and seen.size < leaves[1].nbytes
    assert_same([loss], [dense(*leaves, labels).detach()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("upstream", [1.0, 3.0])
def test_no_tensor_holds_all_logits_forward_or_backward(dtype, upstream):
    leaves, labels = make_problem(1024, 4096, dtype=dtype)
    with MostMemory() as forward:
        loss = linear_cross_entropy(*leaves, labels, chunk_size=64)
    with MostMemory() as backward:
        loss.backward(torch.tensor(upstream))
    table, chunk, all_logits = leaves[1].numel() * 4, 64 * 4096 * dtype.itemsize, 1024 * 4096 * dtype.itemsize
    assert forward.size == max(table, chunk) < all_logits / 8
    assert backward.size < table  # the gradient is handed on, neither copied nor made anew


def test_chunks_are_sized_by_memory(monkeypatch):
    leaves, labels = make_problem(1024, 4096)
    monkeypatch.setattr(module, "CHUNK_BYTES", 2**20)
    with MostMemory() as seen:
        linear_cross_entropy(*leaves, labels).backward()
    assert seen.size == 2**20


def test_a_scaled_loss_has_scaled_gradients():
    leaves, labels = make_problem(20, 30)
    plain = loss_and_gradients(linear_cross_entropy(*leaves, labels), leaves)
    scaled = loss_and_gradients(3 * linear_cross_entropy(*leaves, labels), leaves)
    assert_same(scaled[1:], [3 * t for t in plain[1:]])


def test_a_retained_graph_gives_its_gradients_twice_or_says_that_it_cannot():
    leaves, labels = make_problem(20, 30)
    once = loss_and_gradients(linear_cross_entropy(*leaves, labels), leaves)
    loss = linear_cross_entropy(*leaves, labels)
    loss.backward(retain_graph=True)
    loss.backward(retain_graph=True)
    assert_same([t.grad for t in leaves], [2 * t for t in once[1:]])
    (2 * loss).backward(retain_graph=True)
    assert_same([t.grad for t in leaves], [4 * t for t in once[1:]])
    with pytest.raises(RuntimeError, match=r"scale its gradients but once; run forward again, or"):
        loss.backward()


def test_second_derivatives_are_refused():
    leaves, labels = make_problem(20, 30)
    with pytest.raises(RuntimeError, match=r"no second derivatives; .*sparse_prediction = False"):
        torch.autograd.grad(linear_cross_entropy(*leaves, labels), leaves, create_graph=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([0, 30, 1])}, r"label 30 is outside the model's 30 \(0 to 29\)"),
        ({"labels": torch.tensor([0, -7, 1])}, r"label -7 is outside"),
        ({"labels": torch.zeros(4).long()}, r"labels have shape \(4,\), hidden \(3, 16\); give one label a row"),
        ({"chunk_size": 0}, r"chunk_size is a number of rows, at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    (hidden, weight, bias), labels = make_problem(3, 30)
    given = {"hidden": hidden, "weight": weight, "bias": bias, "labels": labels, **change}
    with pytest.raises(ValueError, match=message) as caught:
        linear_cross_entropy(**given)
    assert "\n" not in str(caught.value)


def test_fp16_takes_dense_logits_so_that_a_loss_scale_reaches_its_gradients():
    leaves, labels = make_problem(4, 3000, dtype=torch.float16)
    ours = loss_and_gradients(2.0**12 * linear_cross_entropy(*leaves, labels, 10**6), leaves)
    theirs = loss_and_gradients(2.0**12 * dense(*leaves, labels, 10**6), leaves)
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs, strict=True))
    assert ours[2].any()


class OtherTensor(torch.Tensor):
    """Stands for sharded and quantised weights, which only know how to be used in whole operations."""


def test_a_weight_of_another_class_is_used_as_a_linear_layer_uses_it():
    (hidden, weight, bias), labels = make_problem(8, 30)
    other = weight.detach().as_subclass(OtherTensor)
    assert_same(
        [linear_cross_entropy(hidden, other, bias, labels).detach()], [dense(hidden, weight, bias, labels).detach()]
    )


def test_shapes_alone_give_a_shape():
    (hidden, weight, bias), labels = make_problem(8, 30)
    assert linear_cross_entropy(*(t.to("meta") for t in (hidden, weight, bias, labels))).shape == ()


def test_a_traced_graph_holds_the_dense_loss():
    leaves, labels = make_problem(8, 30, ignored=0.3)
    traced = torch.compile(linear_cross_entropy, backend="eager", fullgraph=True)
    ours, theirs = (loss_and_gradients(loss(*leaves, labels), leaves) for loss in (linear_cross_entropy, traced))
    assert_same(ours, theirs)


@pytest.mark.parametrize("tied", [True, False])
def test_the_model_in_chunks_of_seven_rows_equals_stock_on_dense_logits(twins, make_batch, monkeypatch, tied):
    model, stock = twins(MmBertForMaskedLM, ModernBertForMaskedLM, tie_word_embeddings=tied)
    monkeypatch.setattr(module, "CHUNK_BYTES", 7 * 97 * 4)
    stock.sparse_prediction = False
    ids, mask = make_batch(90, "right")
    labels = ids.masked_fill((torch.rand(ids.shape) < 0.7) | (mask == 0), -100)
    ours, theirs = model(ids, mask, labels=labels).loss, stock(ids, attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    ours.backward()
    theirs.backward()
    for name, parameter in stock.named_parameters():
        close = {"atol": 1e-5 * float(parameter.grad.abs().max()), "rtol": 1e-3}
        torch.testing.assert_close(model.get_parameter(name).grad, parameter.grad, **close, msg=name)


def test_a_training_step_of_the_model_holds_a_chunk_of_logits_at_the_most(tiny, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 2**20)
    model = MmBertForMaskedLM(tiny(vocab_size=8192, num_hidden_layers=1, hidden_size=64, num_attention_heads=1)).train()
    ids = torch.randint(5, 8192, (8, 128))
    with MostMemory() as seen:
        model(ids, labels=ids).loss.backward()
    assert seen.size == model.decoder.weight.nbytes == 2 * 2**20 < ids.numel() * 8192 * 4 / 15


class Doubled(nn.Linear):
    """Stands for layers that are more than their weight: quantised, adapted."""

    def forward(self, hidden):
        return 2 * super().forward(hidden)


@pytest.mark.parametrize("kind", ["class", "pre-hook", "hook", "instance", "parametrised"])
def test_a_decoder_that_does_more_than_its_weight_says_is_called(tiny, make_batch, kind):
    model = MmBertForMaskedLM(tiny()).eval()
    if kind == "class":
        decoder = Doubled(128, 97)
        decoder.load_state_dict(model.decoder.state_dict())
        model.decoder = decoder
    elif kind == "pre-hook":
        model.decoder.register_forward_pre_hook(lambda _layer, given: (2 * given[0],))
    elif kind == "hook":
        model.decoder.register_forward_hook(lambda _layer, _given, out: 2 * out)
    elif kind == "instance":
        plain = model.decoder.forward
        model.decoder.forward = lambda hidden: 2 * plain(hidden)
    else:
        nn.utils.parametrizations.weight_norm(model.decoder)
        model.decoder.parametrizations.weight.original0.data *= 2
    ids, _ = make_batch(40, "none")
    logits = model(ids).logits
    torch.testing.assert_close(
        model(ids, labels=ids).loss, functional.cross_entropy(logits.flatten(0, 1), ids.flatten())
    )


def test_a_hook_on_the_decoders_gradient_is_called(tiny, make_batch):
    model = MmBertForMaskedLM(tiny())
    seen = []
    model.decoder.register_full_backward_hook(lambda *_: seen.append(True))
    ids, _ = make_batch(40, "none")
    model(ids, labels=ids).loss.backward()
    assert seen


def test_an_adapter_on_the_decoder_takes_part(tiny, make_batch):
    from peft import LoraConfig, get_peft_model

    model = MmBertForMaskedLM(tiny(tie_word_embeddings=False)).eval()
    adapted = get_peft_model(model, LoraConfig(target_modules=["decoder"], init_lora_weights=False)).eval()
    ids, _ = make_batch(40, "none")
    logits, loss = adapted(input_ids=ids).logits, adapted(input_ids=ids, labels=ids).loss
    torch.testing.assert_close(loss, functional.cross_entropy(logits.flatten(0, 1), ids.flatten()))
    loss.backward()
    assert all(p.grad is not None for name, p in adapted.named_parameters() if "lora_" in name)


def test_frozen_embeddings_leave_the_table_without_a_gradient(tiny, make_batch):
    model = MmBertForMaskedLM(tiny())
    model.decoder.weight.requires_grad_(False)
    ids, _ = make_batch(40, "none")
    model(ids, labels=ids).loss.backward()
    assert model.decoder.weight.grad is None and model.decoder.bias.grad.any()
    assert model.head.dense.weight.grad.any()

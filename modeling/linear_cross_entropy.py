"""Cross-entropy of a linear layer over a large vocabulary, without its logits ever standing in memory together.

Letters in shapes: M scored rows, h channels, V words.

Rows are taken in chunks. The logits of a chunk give its losses, are overwritten by the gradients of those losses and at
once multiplied out into the gradients of hidden states and table: three matrix products in all, as for the dense loss,
and no logit is computed twice. Backward only hands the gradients on. Beyond inputs and gradients this takes one chunk
of logits; the dense loss takes M x V numbers several times over.

Chunks of rows, not of words: the gradient of the table needs the finished normaliser of every row, so with chunks of
words each logit would be computed twice, four products in place of three. What rows cost instead is one pass over the
table a chunk, a few percent at the size chosen below.

In bf16 the gradient of the table is summed in fp32: summed in bf16 its error grows with the chunks, from 2.5e-3 of its
size for one to 6.6e-3 for 16. And the entries of the labels, by far the largest of their rows, are added apart, without
the rounding to bf16 that the product needs. So the gradients are nearer to the truth than those of dense bf16 logits.
The price is a table in fp32 until forward ends; under autocast the gradient is fp32 anyway.

Trade-off: whoever runs forward with gradients on and never backward pays for gradients that nobody reads. And forward
does not know the loss scale that fp16 needs, so fp16 takes dense logits, as does whatever cannot be read row by row: a
graph that is traced, a tensor that is sharded or quantised.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .losses import cross_entropy, items_to_divide_by
from .packing import refuse_ids_beyond, tracing

# Logits at a time: 262 rows of 256,000 words in fp32, 524 in bf16. CPU time a row, forward and backward, at h = 768 and
# M = 1,200 on one thread (M = 300 gives the same order); beyond 256 rows there is little to gain, and memory to lose.
#     rows   32    64    128   256   512   1,200
#     fp32   15.4  13.9  12.7  12.5  12.3  13.3 ms
#     bf16    7.5   5.4   4.3   3.7   3.8   3.9 ms
CHUNK_BYTES = 256 * 2**20
# On a CPU the steps between the products go over no more than the caches hold. Four rows (4 MB of fp32) at a time take
# 0.2 ms a row; all rows of a chunk in one go take 0.6 ms in fp32, 1.0 ms in bf16.
TILE_ROWS = 4
# Likewise bf16 products on their way into the fp32 table: with 1,024 words (1.5 MB) at a time a chunk of 128 rows takes
# 0.16 s, with all words in one go 0.48 s; the product alone takes 0.12 s.
TILE_WORDS = 1024

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
DENSE = "take dense logits with config.sparse_prediction = False"


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    num_items_in_batch: Tensor | int | None = None,
    ignore_index: int = -100,
    chunk_size: int | None = None,
) -> Tensor:
    """Return `cross_entropy(linear(hidden, weight, bias), labels, ...)` in the memory of a chunk of logits.

    Under autocast it computes in autocast's dtype, as `nn.Linear` does. It has first derivatives only.

    Args:
        hidden: (M, h).
        weight: (V, h).
        bias: (V,), or None.
        labels: (M,) word ids; `ignore_index` where nothing is scored.
        num_items_in_batch: What to divide by, if not by the number of labels scored here.
        ignore_index: The label that scores nothing.
        chunk_size: Rows of logits at a time; None for as many as `CHUNK_BYTES` holds.

    Returns:
        A scalar, fp32 (fp64 for fp64 input): 0, with gradients of 0, where no row is scored.

    Raises:
        ValueError: If a label lies outside the vocabulary, shapes do not fit, or the chunk size is not positive.
    """
    if chunk_size is not None and chunk_size < 1:
        raise ValueError(f"chunk_size is a number of rows, at least 1, got {chunk_size}; None chooses by memory")
    dtype = _dtype_of_products(hidden, weight, bias)
    if dtype not in DTYPES or tracing():
        logits = functional.linear(hidden, weight, bias)
        return cross_entropy(logits, labels, num_items_in_batch, ignore_index)
    if hidden.shape[:-1] != labels.shape or labels.dim() != 1:
        raise ValueError(f"labels have shape {tuple(labels.shape)}, hidden {tuple(hidden.shape)}; give one label a row")
    labels = labels.to(hidden.device).long()
    scored = labels != ignore_index
    if not bool(scored.all()):
        hidden, labels = hidden[scored], labels[scored]
    refuse_ids_beyond("label", labels, len(weight))
    divisor = items_to_divide_by(len(labels), num_items_in_batch, hidden.device)
    limit = chunk_size or max(1, CHUNK_BYTES // (len(weight) * dtype.itemsize))
    # Chunks of equal size: a small last one would cost a pass over the table like any other.
    chunks = max(1, math.ceil(len(labels) / limit))
    rows = max(1, math.ceil(len(labels) / chunks))
    wanted = [torch.is_grad_enabled() and t is not None and t.requires_grad for t in (hidden, weight, bias)]
    given = (hidden, weight, bias, labels, divisor, rows, dtype, wanted)
    loss: Tensor = _LinearCrossEntropy.apply(*given)  # type: ignore[no-untyped-call]
    return loss


def is_plain_linear(layer: nn.Module) -> bool:
    """Return True if calling the layer does no more than its weights say, so that they may be read in its place.

    Adapters are other classes, quantised and sharded weights other tensors; DeepSpeed's ZeRO-3 gathers a layer's
    weights in hooks, accelerate's offload in another `forward` on the instance.
    """
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    hooks = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
    weights = (weight for weight in (layer.weight, layer.bias) if weight is not None)
    return not any(getattr(layer, name) for name in hooks) and all(type(w) in (Tensor, nn.Parameter) for w in weights)


def _dtype_of_products(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> torch.dtype | None:
    """Return what `nn.Linear` would multiply in; None if the tensors are not whole, in one place and of one dtype."""
    tensors = [hidden, weight] if bias is None else [hidden, weight, bias]
    plain = all(type(t) in (Tensor, nn.Parameter) and t.device == hidden.device and not t.is_meta for t in tensors)
    if not plain or weight.dim() != 2 or weight.shape[1] != hidden.shape[-1]:
        return None
    dtypes = {t.dtype for t in tensors}
    # Autocast leaves fp64 alone.
    if torch.is_autocast_enabled(hidden.device.type) and torch.float64 not in dtypes:
        return torch.get_autocast_dtype(hidden.device.type)
    return hidden.dtype if len(dtypes) == 1 else None


class _LinearCrossEntropy(torch.autograd.Function):
    """Loss and gradients in forward; backward scales the gradients by what comes from above."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        divisor: Tensor,
        rows: int,
        dtype: torch.dtype,
        wanted: list[bool],
    ) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            inputs = (hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
            loss, gradients = _loss_and_gradients(*inputs, labels, divisor, rows, wanted)
        pairs = zip(gradients, (hidden, weight, bias), strict=True)
        ctx.save_for_backward(*(None if g is None or t is None else g.to(t.dtype) for g, t in pairs))
        ctx.scaled = False
        return loss

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        if torch.is_grad_enabled():
            raise RuntimeError(f"linear_cross_entropy has no second derivatives; drop create_graph, or {DENSE}")
        if ctx.scaled:
            raise RuntimeError(f"linear_cross_entropy can scale its gradients but once; run forward again, or {DENSE}")
        gradients = ctx.saved_tensors
        # Off the CPU, looking at the number would wait for the device; the pass over the table costs less.
        if upstream.device.type != "cpu" or bool((upstream != 1).any()):
            ctx.scaled = True
            for gradient in gradients:
                if gradient is not None:
                    gradient.mul_(upstream)
        return (*gradients, None, None, None, None, None)


def _loss_and_gradients(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, divisor: Tensor, rows: int, wanted: list[bool]
) -> tuple[Tensor, list[Tensor | None]]:
    """Return the loss, and its gradients by hidden states, table and bias, in fp32 or fp64, where they are wanted."""
    wide = torch.promote_types(hidden.dtype, torch.float32)
    losses = hidden.new_empty(len(labels), dtype=wide)
    space = hidden.new_empty(min(rows, len(labels)), len(weight))
    gradients = [
        t.new_empty(t.shape, dtype=wide) if t is not None and want else None
        for t, want in zip((hidden, weight, bias), wanted, strict=True)
    ]
    of_hidden, of_weight, of_bias = gradients
    if of_bias is not None:
        of_bias.zero_()
    if of_weight is not None and len(labels) == 0:
        of_weight.zero_()  # otherwise the first chunk fills it
    scale = divisor.to(wide).reciprocal() if any(wanted) else None
    for start in range(0, len(labels), rows):
        part = slice(start, start + rows)
        read, chosen = hidden[part], labels[part]
        chunk = space[: len(chosen)]
        if bias is None:
            torch.mm(read, weight.t(), out=chunk)
        else:
            torch.addmm(bias, read, weight.t(), out=chunk)
        at_labels = _score(chunk, chosen, losses[part], scale, of_bias)
        if of_hidden is not None:
            of_hidden[part] = (chunk @ weight).to(wide).addcmul_(at_labels, weight[chosen].to(wide))
        if of_weight is not None:
            _add_products(of_weight, chunk, read, keep=start > 0)
            of_weight.index_add_(0, chosen, at_labels * read)
    return losses.sum() / divisor, gradients


def _score(chunk: Tensor, labels: Tensor, losses: Tensor, scale: Tensor | None, of_bias: Tensor | None) -> Tensor:
    """Fill in the losses of a chunk of logits, and turn the logits into the gradients of the losses, labels apart."""
    at_labels = losses.new_zeros(len(labels), 1)
    tile = TILE_ROWS if chunk.device.type == "cpu" else len(labels)
    for start in range(0, len(labels), tile):
        part = slice(start, start + tile)
        logits, chosen = chunk[part], labels[part, None]
        shares = logits.softmax(-1, dtype=losses.dtype)
        # The normaliser from the largest share, which is never too small for a logarithm: one pass less over the row.
        losses[part] = (logits.amax(-1).to(losses.dtype) - logits.gather(1, chosen)[:, 0]) - shares.amax(-1).log()
        if scale is None:
            continue
        at_labels[part] = (shares.gather(1, chosen) - 1) * scale
        logits.copy_(shares.scatter_(1, chosen, 0.0).mul_(scale))
        if of_bias is not None:
            of_bias += shares.sum(0)
    if of_bias is not None:
        of_bias.index_add_(0, labels, at_labels[:, 0])
    return at_labels


def _add_products(of_weight: Tensor, chunk: Tensor, hidden: Tensor, keep: bool) -> None:
    """Add (V, rows) x (rows, h) to the table's gradient, in its dtype; `keep` False overwrites it."""
    if of_weight.dtype == chunk.dtype:
        of_weight.addmm_(chunk.t(), hidden, beta=int(keep))
        return
    tile = TILE_WORDS if chunk.device.type == "cpu" else len(of_weight)
    for start in range(0, len(of_weight), tile):
        words = slice(start, start + tile)
        products = chunk[:, words].t() @ hidden
        if keep:
            of_weight[words] += products
        else:
            of_weight[words] = products

"""The gate of GeGLU: one half of the channels, through an activation, times the other half.

Plain operations keep the input, the activated half and the product for the backward pass. Here only the input is kept,
and the activated half is computed anew: 1,152 numbers a token and layer less for mmBERT, of some 10,000.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers.activations import GELUActivation

from .packing import tracing


def gated(activation: nn.Module, inner: Tensor) -> Tensor:
    """(..., 2 * channels) -> activation(first half) * second half; GELU, mmBERT's own, saves memory in training."""
    if isinstance(activation, GELUActivation) and torch.is_grad_enabled() and inner.requires_grad and not tracing():
        out: Tensor = _GatedGelu.apply(inner)  # type: ignore[no-untyped-call]
        return out
    value, gate = inner.chunk(2, dim=-1)
    return activation(value) * gate  # type: ignore[no-any-return]


class _GatedGelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inner: Tensor) -> Tensor:
        ctx.save_for_backward(inner)
        value, gate = inner.chunk(2, dim=-1)
        return gelu(value).mul_(gate)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (inner,) = ctx.saved_tensors
        value, gate = inner.chunk(2, dim=-1)
        grad_inner = torch.empty_like(inner)
        towards_value, towards_gate = grad_inner.chunk(2, dim=-1)
        torch.ops.aten.gelu_backward.grad_input(grad * gate, value, grad_input=towards_value)
        torch.mul(grad, gelu(value), out=towards_gate)
        return grad_inner

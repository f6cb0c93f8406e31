"""Parameters that FSDP2 has cut over the ranks (DTensors), read and written as the whole tensors they stand for.

With these a sharded run writes the same checkpoint as any other: safetensors of whole tensors, from which another
number of ranks, or no sharding at all, resumes. The price is that every rank sees every tensor whole, one at a time.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def whole(tensor: Tensor) -> Tensor:
    """Gather a tensor; every rank must call."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def cut_like(value: Tensor, parameter: Tensor) -> Tensor:
    """Put a whole tensor where a parameter lies; every rank must call."""
    placed = value.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return placed
    return distribute_tensor(placed, parameter.device_mesh, parameter.placements)


@torch.no_grad()
def fill(model: nn.Module, read: Callable[[str], Tensor]) -> None:
    """Fill a model's parameters with whole tensors; every rank must call."""
    for name, parameter in model.named_parameters():
        parameter.copy_(cut_like(read(name), parameter))

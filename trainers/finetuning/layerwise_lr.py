"""One learning rate a layer: near the head a network learns fast, near its embeddings it keeps what it knows."""

import re
from typing import Any

from torch import nn


def parameter_groups(model: nn.Module, rate: float, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """Give every layer its rate: the head's is the whole, each layer below has `layer_decay` of the one above."""
    top = 1 + max((int(number) for name, _ in model.named_parameters() for number in _layer_of(name)), default=-1)
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            numbers = _layer_of(name)
            # From the top: 0 the head and the last norm, 1 the last layer, ..., layers + 1 the embeddings.
            below = top - int(numbers[0]) if numbers else top + 1 if ".embeddings." in name else 0
            groups.setdefault((below, parameter.ndim >= 2), []).append(parameter)
    return [
        {"params": members, "lr": rate * layer_decay**below, "weight_decay": weight_decay if matrices else 0.0}
        for (below, matrices), members in sorted(groups.items(), key=lambda item: item[0])
    ]


def _layer_of(name: str) -> list[str]:
    return re.findall(r"\.layers\.(\d+)\.", name)

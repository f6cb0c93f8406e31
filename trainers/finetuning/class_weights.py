"""Classes that weigh differently in the loss, because they are rare or because they matter more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional

from ...modeling.losses import items_to_divide_by


class WeightedLoss:
    """(Binary) cross-entropy in which classes (classes,) weigh differently."""

    def __init__(self, weights: Tensor) -> None:
        self.weights = weights

    def __call__(self, outputs: Any, labels: Tensor, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Return the loss of a batch: the weighted sum over the number of labels, not over the weights' sum."""
        logits = outputs["logits"].float()
        weights = self.weights.to(logits.device)
        if labels.is_floating_point():
            each = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            total, items = (each * (1 + labels * (weights - 1))).sum(), torch.tensor(labels.numel())
        else:
            flat = logits.reshape(-1, logits.shape[-1])
            total = functional.cross_entropy(flat, labels.reshape(-1).long(), weight=weights, reduction="sum")
            items = (labels != -100).sum()
        return total / items_to_divide_by(items, num_items_in_batch, total.device)


def balanced_weights(labels: Sequence[Any], classes: int) -> Tensor:
    """Weigh classes so that each has the same say: n / (classes * n of the class), as scikit-learn does."""
    first = labels[0]
    if isinstance(first, (list, np.ndarray)) and isinstance(first[0], float):
        there = np.asarray(labels).sum(0)
        return torch.tensor((len(labels) - there) / np.maximum(there, 1), dtype=torch.float32)
    flat = np.concatenate([np.atleast_1d(np.asarray(row)) for row in labels])
    counts = np.bincount(flat[flat >= 0], minlength=classes)
    return torch.tensor(counts.sum() / (classes * np.maximum(counts, 1)), dtype=torch.float32)


def class_weights(
    said: str | Mapping[str, float], train: Dataset, labels: Sequence[str] | None, problem_type: str | None
) -> Tensor | None:
    """Turn the option into weights, one per class; None weighs all alike."""
    if said == "none":
        return None
    if not labels or problem_type == "regression":
        raise ValueError(f"class_weights is {said!r}, but this task has no classes; leave it out.")
    if isinstance(said, str):
        return balanced_weights(train["labels"], len(labels))
    if unknown := sorted(set(said) - set(labels)):
        raise ValueError(f"class_weights names {unknown[0]!r}, but the labels are {', '.join(labels)}.")
    return torch.tensor([float(said.get(label, 1.0)) for label in labels])

"""Losses of the heads: summed in fp32 and divided by the number of things scored.

Trainer counts those things over all accumulation steps and ranks and passes `num_items_in_batch`; dividing by it makes
one step on accumulated batches equal to one step on the whole. Stock ModernBERT does so for masked LM alone; here every
head does. A batch in which nothing is scored has the loss 0 and gradients of 0, where a mean gives NaN.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from .packing import refuse_ids_beyond

ProblemType = Literal["regression", "single_label_classification", "multi_label_classification"]


def cross_entropy(
    logits: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None = None, ignore_index: int = -100
) -> Tensor:
    """Mean negative log-likelihood, fp32, of (M,) labels; divides by `num_items_in_batch`, if given."""
    labels = labels.to(logits.device)
    scored = labels != ignore_index
    refuse_ids_beyond("label", labels.where(scored, 0), logits.shape[-1])
    total = functional.cross_entropy(logits.float(), labels.long(), ignore_index=ignore_index, reduction="sum")
    return total / items_to_divide_by(scored.sum(), num_items_in_batch, total.device)


def classification_loss(
    logits: Tensor, labels: Tensor, problem_type: str, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """Loss, fp32, of a sequence classifier: (N,) classes, (N, num_labels) of 0 and 1, or numbers to regress."""
    if problem_type == "single_label_classification":
        if labels.numel() != logits.shape[0]:
            raise ValueError(f"{labels.numel()} labels for {logits.shape[0]} sequences; give one class a sequence")
        return cross_entropy(logits, labels.view(-1), num_items_in_batch)
    if labels.numel() != logits.numel():
        raise ValueError(
            f"{problem_type} needs labels of shape {tuple(logits.shape)}, got {tuple(labels.shape)}; set config."
            "problem_type and num_labels to what the labels are"
        )
    predicted, target = logits.float(), labels.to(logits.device).view_as(logits).float()
    if problem_type == "regression":
        total = functional.mse_loss(predicted, target, reduction="sum")
    elif problem_type == "multi_label_classification":
        total = functional.binary_cross_entropy_with_logits(predicted, target, reduction="sum")
    else:
        raise ValueError(
            f"problem_type {problem_type!r} is not one of regression, single_label_classification, "
            "multi_label_classification"
        )
    return total / items_to_divide_by(target.numel(), num_items_in_batch, total.device)


def problem_type_of(labels: Tensor, num_labels: int) -> ProblemType:
    """Guess as transformers does: one output regresses, integers are classes, other numbers mark several classes."""
    if num_labels == 1:
        return "regression"
    return "multi_label_classification" if labels.is_floating_point() else "single_label_classification"


def span_loss(start_logits: Tensor, end_logits: Tensor, start_positions: Tensor, end_positions: Tensor) -> Tensor:
    """Mean loss, fp32, of start and end columns (N,): outside [0, L) not scored, below 0 is 0, as in transformers."""
    length = start_logits.shape[1]
    losses = [
        cross_entropy(logits, positions.view(-1).clamp(0, length), ignore_index=length)
        for logits, positions in ((start_logits, start_positions), (end_logits, end_positions))
    ]
    return (losses[0] + losses[1]) / 2


def require_shape(name: str, tensor: Tensor, shape: torch.Size) -> None:
    """Refuse a tensor that does not hold one number per token, (B, L)."""
    if tensor.shape != shape:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, the input {tuple(shape)}; give one number a token")


def items_to_divide_by(items: Tensor | int, items_of_step: Tensor | int | None, device: torch.device) -> Tensor:
    """What to divide a summed loss by: at least 1, so that nothing scored is a loss of 0."""
    return torch.as_tensor(items if items_of_step is None else items_of_step, device=device).clamp(min=1)

"""Weighted averages of checkpoints, streamed from file to file.

mmBERT-small was published as an exponentially weighted average of the checkpoints of one decay run, because merging
across mixtures did not work at its size (recipe of arXiv 2509.06888; the factor was not published).
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..common.files import refuse_existing
from .output import MergedTensors, save_merged
from .parents import check_weights, open_parents


def merge_weighted_average(
    checkpoints: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    weights: Sequence[float] | None = None,
) -> Path:
    """Average checkpoints of one architecture.

    What does not fit together is refused as in `merge_ties`: ValueError, or FileNotFoundError for an absent checkpoint.

    Args:
        checkpoints: Checkpoint directories with the same tensors; the first gives dtype, shards, config and tokenizer.
        output: Directory to make; it appears when it is complete.
        weights: One for each checkpoint, normalised to sum 1; equal ones if None. `exponential_weights` makes some.

    Returns:
        The output directory.
    """
    values = check_weights(weights, len(checkpoints), "checkpoints")
    shares = [value / sum(values) for value in values]
    refuse_existing(output)
    parents = open_parents(checkpoints)

    def produce(tensors: MergedTensors) -> dict[str, Any]:
        for name, start, pieces in parents.pieces(parents.names):
            total = torch.zeros(len(pieces[0]), dtype=torch.float64)
            for share, piece in zip(shares, pieces, strict=True):
                total.add_(piece, alpha=share)
            tensors.write(name, start, total)
        return {"method": "weighted_average", "parameters": {"weights": shares}}

    return save_merged(parents, output, produce)


def exponential_weights(count: int, decay: float) -> list[float]:
    """Weights that fall from the last checkpoint, the newest, to the first by a constant factor.

    Args:
        count: Number of checkpoints, oldest first.
        decay: Weight of a checkpoint relative to the next newer one, in (0, 1]; 1 gives equal weights.

    Returns:
        The weights, summing to 1.

    Raises:
        ValueError: If there is no checkpoint or the factor is out of range.
    """
    if count < 1:
        raise ValueError(f"at least one checkpoint is needed, got {count}")
    if not 0.0 < decay <= 1.0:
        raise ValueError(f"decay must lie in (0, 1], got {decay}; 0.5 halves the weight with every older checkpoint")
    raw = [decay ** (count - 1 - place) for place in range(count)]
    return [value / sum(raw) for value in raw]

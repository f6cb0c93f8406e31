"""Task arithmetic (Ilharco et al. 2023, arXiv 2212.04089): the sum of the variants' task vectors, added to the base.

Nothing is trimmed and no signs are elected, so it costs one pass over the files. Where variants disagree, their changes
cancel or overshoot; that is what TIES was made to mend, and what a comparison with it shows.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..common.files import refuse_existing
from .output import MergedTensors, save_merged
from .parents import open_parents


def merge_task_arithmetic(
    base: str | os.PathLike[str],
    variants: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    scale: float = 0.4,
    weights: Sequence[float] | None = None,
) -> Path:
    """Add the scaled sum of task vectors to the base: `base + scale * sum of weight * (variant - base)`.

    What does not fit together is refused as in `merge_ties`: ValueError, or FileNotFoundError for an absent checkpoint.

    Args:
        base: Checkpoint directory that all variants started from. It gives the result its dtype, shards, config and
            tokenizer (the first variant's tokenizer if the base has none).
        variants: Checkpoint directories with the same tensors.
        output: Directory to make; it appears when it is complete.
        scale: Factor on the sum; 0.4 is the setting without a validation set (arXiv 2306.01708, section 5).
        weights: A factor for each variant, 1 if None; not normalised, and a negative one takes a skill away.

    Returns:
        The output directory.

    Raises:
        ValueError: If scale or a weight is not finite, or their number is not that of the variants.
    """
    values = [1.0] * len(variants) if weights is None else [float(weight) for weight in weights]
    if not variants or len(values) != len(variants):
        raise ValueError(
            f"{len(values)} weights for {len(variants)} variants; give one for each, and a variant at least"
        )
    if not all(abs(value) < float("inf") for value in (scale, *values)):
        raise ValueError(f"scale and weights must be finite numbers, got {scale} and {values}")
    refuse_existing(output)
    parents = open_parents([base, *variants])

    def produce(tensors: MergedTensors) -> dict[str, Any]:
        for name, start, (first, *others) in parents.pieces(parents.names):
            total = first.double()
            for weight, other in zip(values, others, strict=True):
                total.add_(other - first, alpha=scale * weight)
            tensors.write(name, start, total)
        return {"method": "task_arithmetic", "parameters": {"scale": float(scale), "weights": values}}

    return save_merged(parents, output, produce)

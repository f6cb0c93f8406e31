"""TIES merging as the paper has it (Yadav et al. 2023, arXiv 2306.01708), streamed from file to file.

Task vectors are `variant - base`. Trim: each variant keeps its largest entries, counted over its whole vector
("global", the paper) or tensor by tensor ("tensor", what mergekit and peft do). Elect: each coordinate takes the sign
of the trimmed entries' weighted sum; where that sum is zero, the sign that won most coordinates. Disjoint mean: the
weighted mean over the entries that have the elected sign. Result: `base + scale * merged`. The defaults (density 0.2,
scale 1) are the paper's setting without a validation set; mmBERT's own values were not published.

Peak memory is a few pieces of 2**16 elements, whatever the model's size; the price is two extra passes over the files
for the exact threshold. The majority sign is known only at the end, so zero sums are written as if it were positive,
remembered, and put right if it is not (with more than `_REMEMBERED` of them by walking once more). Differences and
magnitudes are float32, sums float64, and the result is rounded once to the type of the base.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ..common.files import refuse_existing
from ..common.messages import require_known
from .output import MergedTensors, save_merged
from .parents import Parents, check_weights, open_parents
from .report import AgreementTally
from .trimming import Cut, Trimmer, find_cuts

_REMEMBERED = 1 << 23  # zero sums kept in memory, 8 bytes each in float32

Cuts = list[Cut] | dict[str, list[Cut]]  # by variant, or by variant for each parameter


def merge_ties(
    base: str | os.PathLike[str],
    variants: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    density: float = 0.2,
    scale: float = 1.0,
    weights: Sequence[float] | None = None,
    trim: Literal["global", "tensor"] = "global",
) -> Path:
    """Merge variants of one base model, any architecture, with TIES.

    Args:
        base: Checkpoint directory that all variants started from. It gives the result its dtype, shards, config and
            tokenizer (the first variant's tokenizer if the base has none).
        variants: Checkpoint directories with the same tensors.
        output: Directory to make; it gets the model, `merge.json` (parents, parameters, agreement report) and
            `SHA256SUMS`. It appears when it is complete.
        density: Share of a task vector's entries that the trim keeps, in (0, 1]; exactly floor(density x n) stay.
        scale: Factor on the merged task vector (lambda in the paper).
        weights: One for each variant, counting in the election and in the mean; only their ratios matter.
        trim: "global" trims over the whole task vector of a model, "tensor" each tensor alone.

    Returns:
        The output directory.

    Raises:
        ValueError: If an option is out of range, the models do not fit together, a file is damaged, a tensor holds
            NaN, or the output exists; the message names what. (An absent checkpoint is a FileNotFoundError.)
    """
    values = check_weights(weights, len(variants), "variants")
    check_trim(density, scale, trim)
    refuse_existing(output)
    parents = open_parents([base, *variants])
    options = {"density": float(density), "scale": float(scale), "weights": values, "trim": trim}
    return save_ties(parents, find_all_cuts(parents, density, trim), options, output)


def check_trim(density: float, scale: float, trim: str) -> None:
    """Refuse options of a TIES merge that are out of range."""
    if not 0.0 < density <= 1.0:
        raise ValueError(f"density must lie in (0, 1], got {density}; 0.2 keeps the largest fifth")
    if not abs(scale) < float("inf"):
        raise ValueError(f"scale must be a finite number, got {scale}; 1 is usual")
    require_known("trim", trim, ("global", "tensor"))


def find_all_cuts(parents: Parents, density: float, trim: str) -> Cuts:
    """Find what every variant keeps in two passes; a cut per variant, or for "tensor" such a list per parameter."""
    if trim == "global":
        return find_cuts(parents, parents.names, density)
    return {name: find_cuts(parents, [name], density) for name in parents.names}


def save_ties(parents: Parents, cuts: Cuts, options: Mapping[str, Any], output: str | os.PathLike[str]) -> Path:
    """Merge parents whose cuts are known, in one pass; `options` go into merge.json."""
    plan = _Plan(parents, options["weights"], options["scale"], cuts)

    def produce(tensors: MergedTensors) -> dict[str, Any]:
        outcome = _merge(plan, tensors, majority=1)
        majority = 1 if outcome.votes >= 0 else -1
        if majority < 0 and outcome.undecided > _REMEMBERED:
            tensors.rewind()
            outcome = _merge(plan, tensors, majority)
        elif majority < 0:
            for name, start, places, values in outcome.otherwise:
                tensors.patch(name, start, places, values)
        return {
            "method": "ties",
            "parameters": dict(options),
            "majority_sign": majority,
            "zero_sums": outcome.undecided,
            "report": outcome.tally.report().to_dict(),
        }

    return save_merged(parents, output, produce)


@dataclass(frozen=True, slots=True)
class _Plan:
    parents: Parents
    weights: list[float]
    scale: float
    cuts: Cuts


@dataclass(slots=True)
class _Outcome:
    """What a walk found."""

    tally: AgreementTally  # the agreement report's sums
    votes: int = 0  # positive minus negative elected coordinates
    undecided: int = 0  # coordinates whose sum is zero though entries survived
    # for those, piece by piece, the numbers under the other majority sign
    otherwise: list[tuple[str, int, torch.Tensor, torch.Tensor]] = field(default_factory=list)


def elect_and_average(
    trimmed: torch.Tensor, weights: Sequence[float], majority: int
) -> tuple[torch.Tensor, int, torch.Tensor]:
    """TIES steps 2 and 3: (variants, elements) -> merged float64, positive minus negative votes, undecided places."""
    mass = torch.zeros(trimmed.shape[1], dtype=torch.float64)
    moved = torch.zeros(trimmed.shape[1], dtype=torch.bool)
    for row, weight in zip(trimmed, weights, strict=True):
        mass.add_(row, alpha=weight)
        if weight:
            moved |= row != 0
    positive, negative = mass > 0, mass < 0
    votes = int(positive.sum()) - int(negative.sum())
    undecided = moved & ~(positive | negative)
    chosen = positive if majority > 0 else negative
    chosen |= undecided
    total, counted = torch.zeros_like(mass), torch.zeros_like(mass)
    for row, weight in zip(trimmed, weights, strict=True):
        agree = ((row > 0) & positive) | ((row < 0) & negative)
        total.add_(row * agree, alpha=weight)
        counted.add_(agree.double(), alpha=weight)
    merged = total / counted.masked_fill_(counted == 0, 1.0)
    return merged, votes, undecided.nonzero().flatten()


def _merge(plan: _Plan, tensors: MergedTensors, majority: int) -> _Outcome:
    """Walk once over all parameters and write the result."""
    outcome = _Outcome(AgreementTally(plan.parents.labels[1:]))
    trimmers = [] if isinstance(plan.cuts, dict) else [Trimmer(cut) for cut in plan.cuts]
    for name, start, (base, *others) in plan.parents.pieces(plan.parents.names):
        if isinstance(plan.cuts, dict) and start == 0:
            trimmers = [Trimmer(cut) for cut in plan.cuts[name]]
        task = torch.stack([other - base for other in others])
        trimmed = torch.stack([trimmer.trim(row) for trimmer, row in zip(trimmers, task, strict=True)])
        merged, votes, places = elect_and_average(trimmed, plan.weights, majority)
        tensors.write(name, start, merged.mul_(plan.scale).add_(base))
        outcome.votes += votes
        outcome.undecided += len(places)
        if len(places) and outcome.undecided <= _REMEMBERED:
            other, _, _ = elect_and_average(trimmed[:, places], plan.weights, -majority)
            values = other.mul_(plan.scale).add_(base[places])
            outcome.otherwise.append((name, start, places.int(), tensors.rounded(name, values)))
        outcome.tally.add(name, task, trimmed)
    return outcome

"""Search over density and scale of a TIES merge by the user's own score.

The parents are opened and verified once and each density's cuts are found once, so a trial costs one pass over the
files and the score. Trials lie beside the result that is being made, two of them at most: the best so far and the one
being scored. The search is a plain grid: the score is the costly part, and a grid is what can be drawn and read.
"""

import logging
import math
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from ..common.checkpoints.writer import atomic_directory
from ..common.files import read_json, refuse_existing, write_json
from ..common.progress import duration
from .output import RECORD
from .parents import check_weights, open_parents
from .ties import check_trim, find_all_cuts, save_ties

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trial:
    """One merge that was scored.

    Attributes:
        density: Share of each task vector that was kept.
        scale: Factor on the merged task vector.
        score: What the user's score said; None if it was no finite number.
    """

    density: float
    scale: float
    score: float | None


def search_ties(
    base: str | os.PathLike[str],
    variants: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    score: Callable[[Path], float],
    *,
    densities: Sequence[float] = (0.1, 0.2, 0.5, 1.0),
    scales: Sequence[float] = (0.7, 1.0, 1.3, 1.6),
    weights: Sequence[float] | None = None,
    trim: Literal["global", "tensor"] = "global",
    higher_is_better: bool = True,
) -> list[Trial]:
    """Merge with every density and scale, score each result, and keep the best.

    Args:
        base: Checkpoint directory that all variants started from.
        variants: Checkpoint directories with the same tensors.
        output: Directory to make for the best merge; its merge.json lists all trials under "search".
        score: Given the folder of a merge, says how good it is. Score on text that you do not report on later.
        densities: Densities to try, each in (0, 1].
        scales: Scales to try; the TIES authors search 0.8 to 2.5 (their code; recipe of arXiv 2306.01708).
        weights: As in `merge_ties`.
        trim: As in `merge_ties`.
        higher_is_better: False for a loss.

    Returns:
        The trials in the order of the grid; of equal scores the first is kept.

    Raises:
        ValueError: If an option is out of range, the models do not fit together, the output exists, or no trial has a
            finite score.
    """
    grid = list(product(densities, scales))
    if not grid:
        raise ValueError(f"nothing to search: {len(densities)} densities and {len(scales)} scales; give one of each")
    values = check_weights(weights, len(variants), "variants")
    for density, scale in grid:
        check_trim(density, scale, trim)
    refuse_existing(output)
    parents = open_parents([base, *variants])
    trials: list[Trial] = []
    best: Path | None = None
    started = time.monotonic()
    with atomic_directory(output) as directory:
        for place, (density, scale) in enumerate(grid):
            if place % len(scales) == 0:
                cuts = find_all_cuts(parents, density, trim)
            options = {"density": float(density), "scale": float(scale), "weights": values, "trim": trim}
            merged = save_ties(parents, cuts, options, directory / f"trial-{place}")
            better = _better(trials, value := _finite(score(merged)), higher_is_better)
            trials.append(Trial(float(density), float(scale), value))
            left = (time.monotonic() - started) / (place + 1) * (len(grid) - place - 1)
            _log.info("density %g scale %g: score %s; about %s left", density, scale, value, duration(left))
            loser = best if better else merged
            best = merged if better else best
            if loser is not None:
                shutil.rmtree(loser)
        if best is None:
            raise ValueError(f"none of {len(grid)} trials has a finite score; check what the score returns")
        _keep(best, directory, trials, higher_is_better)
    return trials


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _better(trials: Sequence[Trial], value: float | None, higher: bool) -> bool:
    """Tell whether a score beats all before it."""
    before = [trial.score for trial in trials if trial.score is not None]
    if value is None or not before:
        return value is not None
    return value > max(before) if higher else value < min(before)


def _keep(best: Path, directory: Path, trials: Sequence[Trial], higher: bool) -> None:
    """Move the best trial's files to where the result will be, with the list of trials in its record."""
    for path in best.iterdir():
        path.rename(directory / path.name)
    best.rmdir()
    record = read_json(directory / RECORD)
    record["search"] = {"higher_is_better": higher, "trials": [asdict(trial) for trial in trials]}
    write_json(directory / RECORD, record)

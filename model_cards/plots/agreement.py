"""The agreement report of a merge as a picture: a heat map by layer, and one of the cosines between task vectors."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw_agreement(report: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Draw an agreement report.

    Args:
        report: `report` of merge.json.
        path: The PNG to write.

    Returns:
        The PNG.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('the heat map needs matplotlib: pip install "mmbert[plots]"') from None
    variants = list(report["variants"])
    width, rows = len(variants), [[one["sign_agreement"], *one["kept_mass"]] for one in report["layers"]]
    figure = Figure(figsize=(4.5 + 2.1 * width, 2.2 + 0.3 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(width + 1, width))
    columns = ["signs agree", *(f"kept mass {variant}" for variant in variants)]
    picture = _heat_map(left, [[_scaled(value, 100) for value in row] for row in rows], columns, (0, 100), "{:.0f}")
    left.set_yticks(range(len(rows)), [one["name"] for one in report["layers"]])
    left.set_title("Where the variants agree")
    figure.colorbar(picture, ax=left, label="%")
    cosines = [[_scaled(value, 1) for value in row] for row in report["cosine"]]
    picture = _heat_map(right, cosines, variants, (-1, 1), "{:.2f}")
    right.set_yticks(range(width), variants)
    right.set_title("Cosine between task vectors")
    figure.colorbar(picture, ax=right)
    figure.savefig(path, dpi=120)
    return Path(path)


def _scaled(value: float | None, factor: float) -> float:
    return float("nan") if value is None else factor * value


def _heat_map(
    axes: Any, grid: Sequence[Sequence[float]], columns: Sequence[str], limits: tuple[float, float], form: str
) -> Any:
    """Fill one pair of axes; cells are labelled, those without a value with a dash."""
    picture = axes.imshow(grid, aspect="auto", cmap="viridis", vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    light = limits[0] + 0.6 * (limits[1] - limits[0])
    for y, row in enumerate(grid):
        for x, value in enumerate(row):
            text = form.format(value) if value == value else "-"  # NaN is not equal to itself
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color="black" if value > light else "white")
    return picture

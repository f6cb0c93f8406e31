"""The heat map of an evaluation: a row a language, a column a task, grouped by the phase in which mmBERT reads them.

Colour says how far a score lies between the baseline and 100 (a task's raw per cents cannot be compared with
another's); every cell also carries its number, so the picture can be read in print. The colours are matplotlib's
cividis, which people with any colour vision read alike.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...common.deprecation import renamed_keys
from .style import FEW_ROWS, INK, QUIET, new_figure, save

_GROUPS = {"phase 1": "phase 1", "phase 2": "phase 2", "phase 3": "phase 3", "unread": "never read by mmBERT"}
_ROW, _COLUMN = 0.19, 0.72  # inches per cell
_ROWS_PER_PANEL = 60


def draw_benchmark(report: Mapping[str, Any], path: str | Path, title: str = "Scores by language") -> Path:
    """Draw the scores of all languages.

    Args:
        report: What `build_report` gave.
        path: PNG to write; its folder is made.
        title: What was evaluated.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no score.
    """
    tasks = renamed_keys(report["tasks"], trivial="baseline")
    rows = _rows(tasks)
    if not rows:
        raise ValueError("the report holds 0 scores, a picture needs at least 1: evaluate first")
    count = -(-len(rows) // _ROWS_PER_PANEL)
    size = -(-len(rows) // count)
    panels = [rows[start : start + size] for start in range(0, len(rows), size)]
    width = max(6.4, len(panels) * (1.35 + _COLUMN * len(tasks)))
    height = 1.75 + _ROW * size
    words = "per cent · colour: 0 = no better than knowing the labels only, 1 = perfect · bold: trained on"
    seeds = sorted({len(task["seeds"]) for task in tasks})
    words += f" · {' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seed{'s' * (seeds[-1] > 1)}"
    if any(_few(entry) for task in tasks for entry in task["languages"].values()):
        words += f" · n: of fewer than {FEW_ROWS} rows"
    figure = new_figure(width, height, title, words)
    grid = figure.subplots(1, len(panels), squeeze=False)[0]
    image: Any = None
    for axes, panel in zip(grid, panels, strict=True):
        image = _panel(axes, panel, tasks)
    figure.colorbar(image, ax=list(grid), shrink=0.5, aspect=30, location="bottom", pad=0.01).ax.tick_params(
        labelsize=7
    )
    return save(figure, path)


def _rows(tasks: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """List (group, language), most read first."""
    groups = {tag: entry["group"] for task in tasks for tag, entry in task["languages"].items()}
    return sorted(
        ((group, tag) for tag, group in groups.items()), key=lambda row: (list(_GROUPS).index(row[0]), row[1])
    )


def _panel(axes: Any, rows: Sequence[tuple[str, str]], tasks: Sequence[Mapping[str, Any]]) -> Any:
    import numpy as np

    ways = np.full((len(rows), len(tasks)), np.nan)
    for across, task in enumerate(tasks):
        for down, (_, tag) in enumerate(rows):
            entry = task["languages"].get(tag)
            if entry is not None:
                room = 1.0 - entry["baseline"]
                ways[down, across] = max(0.0, (entry["mean"] - entry["baseline"]) / room if room else 0.0)
    image = axes.imshow(np.ma.masked_invalid(ways), cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto")
    for across, task in enumerate(tasks):
        for down, (_, tag) in enumerate(rows):
            entry = task["languages"].get(tag)
            if entry is not None:
                axes.text(
                    across,
                    down,
                    f"{100 * entry['mean']:.0f}" + (_few(entry)),
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    fontweight="bold" if entry["trained"] else "normal",
                    color="white" if ways[down, across] < 0.55 else INK,
                )
    axes.set_yticks(range(len(rows)), [tag for _, tag in rows], fontsize=6.5, color=INK, family="DejaVu Sans Mono")
    names = [task["title"] + (" (oracle)" if task["choice"] != "dev" else "") for task in tasks]
    axes.set_xticks(range(len(tasks)), names, fontsize=7.5, rotation=35, ha="left", rotation_mode="anchor")
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    _borders(axes, rows, len(tasks))
    return image


def _few(entry: Mapping[str, Any]) -> str:
    return f" n{entry['rows']}" if entry.get("rows", FEW_ROWS) < FEW_ROWS else ""


def _borders(axes: Any, rows: Sequence[tuple[str, str]], columns: int) -> None:
    """Draw a line where a group ends, and write the group beside its first language."""
    for down, (group, _) in enumerate(rows):
        if down == 0 or rows[down - 1][0] != group:
            axes.axhline(down - 0.5, color="white", linewidth=3)
            axes.axhline(down - 0.5, color=QUIET, linewidth=0.7)
            axes.annotate(
                _GROUPS[group], (columns - 0.45, down), fontsize=6.5, color=QUIET, va="center", annotation_clip=False
            )

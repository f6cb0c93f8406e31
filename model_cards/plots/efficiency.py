"""The bar chart of the efficiency benchmark: a panel per setting, a group of bars per size and dtype."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .style import INK, QUIET, new_figure, save

_COLOURS = {
    "mmbert": "#0072B2",
    "mmbert compiled": "#56B4E9",
    "modernbert": "#E69F00",
    "xlm-r": "#009E73",
    "minilm": "#CC79A7",
}
_NAMES = {"modernbert": "ModernBERT, stock", "xlm-r": "XLM-R", "minilm": "MiniLM"}
_SETTINGS = ("fixed-512", "variable-512", "fixed-8192", "variable-8192")  # in this order, others behind
_BAR = 0.26  # inches per bar


def draw_efficiency(rows: Sequence[Mapping[str, Any]], path: Path, title: str, subtitle: str) -> Path:
    """Draw tokens per second of all rows that have one number of threads.

    Args:
        rows: Rows of a report as dicts, of one number of threads; rows of another setting's rounds are left out.
        path: PNG file to write; its folder is made.
        title: What was measured.
        subtitle: On what.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is nothing to draw.
    """
    shown = [row for row in rows if row["compared_with"] == row["setting"]]
    settings = sorted({row["setting"] for row in shown}, key=_place)
    if not settings:
        raise ValueError("there are 0 rows to draw; measure first")
    panels = [[row for row in shown if row["setting"] == setting] for setting in settings]
    most = max(len(panel) + len({(row["size"], row["dtype"]) for row in panel}) for panel in panels)
    width, height = max(7.5, 4.6 * len(panels)), 2.0 + _BAR * most
    figure = new_figure(width, height, title, subtitle)
    for axes, setting, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], settings, panels, strict=True):
        _panel(axes, setting, panel)
    networks = [network for network in _COLOURS if any(row["network"] == network for row in shown)]
    handles = [_key(network) for network in networks]
    names = [_NAMES.get(network, network) for network in networks]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return save(figure, path)


def _place(setting: str) -> int:
    return _SETTINGS.index(setting) if setting in _SETTINGS else len(_SETTINGS)


def _key(network: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=_COLOURS[network])


def _panel(axes: Any, setting: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw horizontal bars, grouped by size and dtype, each with its tokens a second."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    groups = sorted({(row["size"], row["dtype"]) for row in rows}, key=lambda group: (group[0], group[1] != "float32"))
    order = list(_COLOURS)
    place, ticks = 0.0, []
    for group in groups:
        members = sorted(
            (row for row in rows if (row["size"], row["dtype"]) == group), key=lambda row: order.index(row["network"])
        )
        ticks.append((place + (len(members) - 1) / 2, "\n".join(group)))
        for row in members:
            axes.barh(place, row["tokens_per_second"], height=0.86, color=_COLOURS[row["network"]])
            label = f" {row['tokens_per_second']:,.0f}"
            axes.annotate(label, (row["tokens_per_second"], place), va="center", fontsize=8, color=INK)
            place += 1
        place += 0.8
    axes.invert_yaxis()
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=9, color=INK)
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlim(0, 1.16 * max(row["tokens_per_second"] for row in rows))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("real tokens per second", fontsize=9, color=QUIET)
    axes.set_title(setting, loc="left", fontsize=10, color=INK)
    axes.grid(axis="x", color="#DADADA", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)

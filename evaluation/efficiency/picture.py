"""The bar chart of the efficiency benchmark: one panel a setting, one group of bars a size and dtype.

Drawn on matplotlib's Agg canvas through its object interface, so that neither a display nor the caller's own settings
matter. Colours are Okabe and Ito's (jfly.uni-koeln.de/color), which stay apart for colour-blind readers; every bar also
carries its number.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contestants import COMPILED, MINILM, OURS, STOCK, XLM_R
from .report import Row
from .settings import SETTINGS

_COLOURS = {OURS: "#0072B2", COMPILED: "#56B4E9", STOCK: "#E69F00", XLM_R: "#009E73", MINILM: "#CC79A7"}
_NAMES = {STOCK: "ModernBERT, stock", XLM_R: "XLM-R", MINILM: "MiniLM"}
_INK, _QUIET = "#222222", "#6B6B6B"
_BAR = 0.26  # inches a bar
_DPI = 160


def draw(rows: Sequence[Row], path: Path, title: str, subtitle: str) -> Path:
    """Draw tokens a second of all rows that have one number of threads.

    Args:
        rows: Rows of one number of threads; those that ran beside another setting are left out.
        path: PNG file to write; its folder is made.
        title: What was measured.
        subtitle: On what.

    Returns:
        The path.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is nothing to draw.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as missing:
        raise ImportError('pictures need matplotlib: pip install "mmbert[plots]"') from missing
    shown = [row for row in rows if row.beside == row.setting]
    settings = sorted({row.setting for row in shown}, key=_place)
    if not settings:
        raise ValueError("there are 0 rows to draw; measure first")
    panels = [[row for row in shown if row.setting == setting] for setting in settings]
    most = max(len(panel) + len({(row.size, row.dtype) for row in panel}) for panel in panels)
    width, height = max(7.5, 4.6 * len(panels)), 2.0 + _BAR * most
    # A constrained layout does not see figure.text: the rect keeps two lines free (0.65 inches).
    layout = ConstrainedLayoutEngine(rect=(0.0, 0.0, 1.0, 1.0 - 0.65 / height), h_pad=0.06, w_pad=0.08)
    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    figure.text(0.09 / width, 1.0 - 0.12 / height, title, fontsize=13, fontweight="bold", va="top", color=_INK)
    figure.text(0.09 / width, 1.0 - 0.40 / height, subtitle, fontsize=9.5, va="top", color=_QUIET)
    for axes, setting, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], settings, panels, strict=True):
        _panel(axes, setting, panel)
    networks = [network for network in _COLOURS if any(row.network == network for row in shown)]
    handles = [_key(network) for network in networks]
    names = [_NAMES.get(network, network) for network in networks]
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})  # no version: equal rows give equal files
    return path


def _place(setting: str) -> int:
    return list(SETTINGS).index(setting) if setting in SETTINGS else len(SETTINGS)


def _key(network: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=_COLOURS[network])


def _panel(axes: Any, setting: str, rows: Sequence[Row]) -> None:
    """Draw horizontal bars, grouped by size and dtype, each with its tokens a second."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    groups = sorted({(row.size, row.dtype) for row in rows}, key=lambda group: (group[0], group[1] != "float32"))
    order = list(_COLOURS)
    place, ticks = 0.0, []
    for group in groups:
        members = sorted(
            (row for row in rows if (row.size, row.dtype) == group), key=lambda row: order.index(row.network)
        )
        ticks.append((place + (len(members) - 1) / 2, "\n".join(group)))
        for row in members:
            axes.barh(place, row.tokens_per_second, height=0.86, color=_COLOURS[row.network])
            label = f" {row.tokens_per_second:,.0f}"
            axes.annotate(label, (row.tokens_per_second, place), va="center", fontsize=8, color=_INK)
            place += 1
        place += 0.8
    axes.invert_yaxis()
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks], fontsize=9, color=_INK)
    axes.tick_params(length=0, labelsize=9)
    axes.set_xlim(0, 1.16 * max(row.tokens_per_second for row in rows))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("real tokens a second", fontsize=9, color=_QUIET)
    axes.set_title(setting, loc="left", fontsize=10, color=_INK)
    axes.grid(axis="x", color="#DADADA", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)

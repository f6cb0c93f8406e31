"""The drawing ground that all pictures share: figure, palette, phase bands, axis formats.

matplotlib is used through its object interface on the Agg canvas, so that neither a display nor the caller's own
pyplot settings matter. Colours are Okabe and Ito's (jfly.uni-koeln.de/color), which stay apart for colour-blind
readers; groups also differ by marker, so that a black-and-white print can be read.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

GROUPS = ("high", "mid", "low", "code")
COLOURS = {"high": "#0072B2", "mid": "#E69F00", "low": "#009E73", "code": "#CC79A7"}
MARKERS = {"high": "o", "mid": "s", "low": "^", "code": "D"}
NAMES = {"high": "high-resource", "mid": "mid-resource", "low": "low-resource", "code": "code"}
FEW_ROWS = 30  # a score over fewer test rows says how many they are
INK, QUIET, BAND = "#222222", "#6B6B6B", "#F2F2F0"

_DPI = 160
_MISSING = 'pictures need matplotlib: pip install "mmbert[plots]", or ask for none'
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9A9A9A",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DADADA",
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "legend.frameon": False,
}


def style() -> Any:
    """Matplotlib's context manager with the house style; the caller's own settings stay as they are."""
    try:
        import matplotlib
    except ImportError as missing:
        raise ImportError(_MISSING) from missing
    return matplotlib.rc_context(_STYLE)


def new_figure(width: float, height: float, title: str, subtitle: str) -> Any:
    """Open a figure (inches, Agg) with a left-aligned title and one line of explanation under it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as missing:
        raise ImportError(_MISSING) from missing

    # a constrained layout does not see figure.text: the rect keeps the two lines free (0.62 inches)
    layout = ConstrainedLayoutEngine(rect=(0.0, 0.0, 1.0, 1.0 - 0.62 / height), h_pad=0.06, w_pad=0.08)
    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    figure.text(0.012, 1.0 - 0.12 / height, title, fontsize=13, fontweight="bold", va="top")
    figure.text(0.012, 1.0 - 0.40 / height, subtitle, fontsize=9.5, color=QUIET, va="top")
    return figure


def save(figure: Any, path: str | Path) -> Path:
    """Write the figure as PNG; no date or version goes in, so that equal records give equal files."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    return path


def phase_spans(record: dict[str, Any]) -> list[tuple[str, float, float]]:
    """List the phases that the run went through as (name, first token, last token), from the start of the run."""
    if not record["steps"]:
        raise ValueError("the run record holds 0 steps, pictures need at least 1: train first")
    spans: list[tuple[str, float, float]] = []
    for row in record["steps"]:
        if spans and spans[-1][0] == row["phase"]:
            spans[-1] = (spans[-1][0], spans[-1][1], row["tokens"])
        else:
            spans.append((row["phase"], spans[-1][2] if spans else 0, row["tokens"]))
    return spans


def shade_phases(axes: Any, spans: Sequence[tuple[str, float, float]], *, label: bool) -> None:
    """Draw phases as bands with thin borders, and their names above the axes, whose x is tokens."""
    for number, (name, start, end) in enumerate(spans):
        if number % 2 == 0:
            axes.axvspan(start, end, color=BAND, zorder=0, linewidth=0)
        if number:
            axes.axvline(start, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        if label:
            axes.annotate(
                f"{number + 1} · {name}",
                ((start + end) / 2, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=9,
                color=QUIET,
            )
    axes.set_xlim(0, spans[-1][2])


def token_axis(axis: Any) -> None:
    """Write token counts as 250k, 1.5M, 2B."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def plain_log_axis(axes: Any) -> None:
    """Make the y axis logarithmic, with plain numbers at 1, 2, 5, 10, ..., not powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def short_count(value: float) -> str:
    """Write a count in three significant digits: 950, 12.3k, 1.5M, 2B, 3T."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Push labels apart to at least `gap`, keeping their order and their middle."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    blocks: list[tuple[float, list[int]]] = []  # (middle, members): labels that touch move as one block
    for index in order:
        middle, members = positions[index], [index]
        while blocks and middle - gap * len(members) / 2 < blocks[-1][0] + gap * len(blocks[-1][1]) / 2:
            other_middle, other = blocks.pop()
            middle = (other_middle * len(other) + middle * len(members)) / (len(other) + len(members))
            members = other + members
        blocks.append((middle, members))
    places = [0.0] * len(positions)
    for middle, members in blocks:
        for rank, index in enumerate(members):
            places[index] = middle + gap * (rank - (len(members) - 1) / 2)
    return places

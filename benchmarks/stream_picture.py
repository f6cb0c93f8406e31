"""The picture of benchmarks/stream.py: seen over target share of every language, after so many draws."""

from collections.abc import Mapping
from pathlib import Path

_COLOURS = ("#0072B2", "#E69F00")  # Okabe and Ito: they stay apart for colour-blind readers
_INK, _QUIET = "#222222", "#6B6B6B"


def draw_shares(shares: Mapping[float, Mapping[str, tuple[float, float]]], path: Path, draws: int) -> None:
    """Draw one panel a temperature, one point a language.

    Args:
        shares: By temperature and language, target and seen share.
        path: PNG file to write.
        draws: Draws that were counted.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for axes, colour, (temperature, found) in zip(panels, _COLOURS, shares.items(), strict=False):
        target = [100 * pair[0] for pair in found.values()]
        ratio = [pair[1] / pair[0] for pair in found.values()]
        axes.axhspan(0.99, 1.01, color="#DDDDDD", label="within 1 %")
        axes.axvline(0.01, color=_QUIET, linewidth=0.8, linestyle=":")
        axes.scatter(target, ratio, s=7, color=colour, linewidths=0, alpha=0.7, label=f"{len(found):,} languages")
        axes.set(xscale="log", xlabel="target share of the tokens, %", ylim=(0.94, 1.06))
        outside = sum(not 0.94 <= one <= 1.06 for one in ratio)
        title = f"temperature {temperature}" + (f" ({outside} tiny ones lie outside)" if outside else "")
        axes.set_title(title, fontsize=11, loc="left", color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="upper right")
    panels[0].set_ylabel("seen / target")
    title = f"Seen and target share by language after {draws:,} draws (dotted: a share of 0.01 %)"
    figure.suptitle(title, fontsize=13, x=0.01, ha="left", fontweight="bold", color=_INK)
    figure.savefig(path, dpi=150)

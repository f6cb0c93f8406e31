"""The picture of a trimmed vocabulary: held-out words that are not read as before, against the number of tokens."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .style import new_figure, save

# Okabe and Ito's colours and different strokes: the lines stay apart for colour-blind readers and in print.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
_STROKES = ("-", "--", "-.", ":")
_DRAWN = 12  # languages, the least covered ones


def draw_trim(report: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Draw the report of a trimmed checkpoint, one line per language."""
    if not report["curves"]:
        raise ValueError("no held-out text, so no coverage to draw; trim with text")
    kept = report["tokens"][1]
    figure = new_figure(
        8, 5.4, "Words that the smaller vocabulary reads otherwise", "held-out words, least covered languages"
    )
    axes = figure.add_subplot()
    worst = sorted(report["coverage"], key=lambda line: float(line["covered"]))[:_DRAWN]
    for number, line in enumerate(worst):
        curve = report["curves"][line["language"]]
        missing = [max(100 * (1 - share), 1e-3) for _, share in curve]
        label = f"{line['language']} ({100 * line['covered']:.2f} % here)"
        colour, stroke = _COLOURS[number % len(_COLOURS)], _STROKES[number % len(_STROKES)]
        axes.plot([n for n, _ in curve], missing, stroke, color=colour, label=label)
    axes.axvline(kept, color="#555555", linewidth=1)
    axes.annotate(f" {kept:,} kept", (kept, 1), xycoords=("data", "axes fraction"), va="top")
    axes.set_yscale("log")
    axes.set_xlabel("tokens kept")
    axes.set_ylabel("held-out words not read as before, %")
    axes.grid(color="#DADADA", linewidth=0.6)
    axes.legend(frameon=False)
    fixed, scale = report["fixed_parameters"], report["parameters_per_token"]
    millions: Any = (lambda n: (fixed + n * scale) / 1e6, lambda size: (size * 1e6 - fixed) / scale)
    above = axes.secondary_xaxis("top", functions=millions)
    above.set_xlabel("parameters of the whole model, millions")
    return save(figure, Path(path))

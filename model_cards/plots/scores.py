"""The picture of a fine-tuning: a bar a language, best first, trained and zero-shot in different colours.

Names stay readable for any number of languages: bars go on in another row after sixty.
"""

from pathlib import Path
from typing import Any

from .style import COLOURS, FEW_ROWS, INK, QUIET, new_figure, save, style

_A_ROW = 60
_PALETTE = (COLOURS["high"], COLOURS["low"], COLOURS["mid"])


def draw_language_scores(table: dict[str, Any], path: str | Path, title: str = "Scores by language") -> Path:
    """Draw a score for every language, with its spread over seeds and what guessing scores.

    Args:
        table: From `mmbert.evaluation.language_table`.
        path: PNG to write.
        title: What was evaluated.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    languages = table["languages"]
    order = sorted(languages, key=lambda tag: (-languages[tag]["mean"], tag))
    names = [name for name in table["groups"] if name != "all"]
    colours = dict(zip(names, _PALETTE, strict=False))
    rows = [order[start : start + _A_ROW] for start in range(0, len(order), _A_ROW)]
    widest = max(len(row) for row in rows)
    seeds = len(table["seeds"])
    what = f"{table['score']} x 100 on {table['data_set']}, " + (
        f"mean of {seeds} seeds, line: standard deviation" if seeds > 1 else "1 seed"
    )
    if any(row.get("interval") for row in languages.values()):
        what += "; thin line: 95 % over rows"
    if any(row["rows"] < FEW_ROWS for row in languages.values()):
        what += f"; hatched: fewer than {FEW_ROWS} rows (n)"
    with style():
        figure = new_figure(max(7.0, 1.5 + 0.19 * widest), 1.6 + 2.3 * len(rows), title, what)
        panels = figure.subplots(len(rows), 1, sharey=True, squeeze=False)[:, 0]
        for axes, members in zip(panels, rows, strict=True):
            for place, tag in enumerate(members):
                row = languages[tag]
                error = None if row["sd"] is None else 100 * row["sd"]
                axes.bar(place, 100 * row["mean"], yerr=error, color=colours[row["group"]], width=0.75, ecolor=INK,
                         error_kw={"elinewidth": 0.8}, hatch="///" if row["rows"] < FEW_ROWS else None,
                         edgecolor="white", linewidth=0)  # fmt: skip
                if row.get("interval"):
                    axes.vlines(place + 0.25, *(100 * end for end in row["interval"]), color=QUIET, linewidth=0.8)
            for name, value in table["baselines"].items():
                axes.axhline(100 * value, color=QUIET, linewidth=0.9, linestyle="--" if name == "majority" else ":")
            told = [f"{tag} n{languages[tag]['rows']}" if languages[tag]["rows"] < FEW_ROWS else tag for tag in members]
            axes.set_xticks(range(len(members)), told, rotation=90, fontsize=7)
            axes.set_xlim(-0.7, widest - 0.3)
            axes.grid(visible=False, axis="x")
        _legend(panels[0], table, names, colours)
        return save(figure, path)


def _legend(axes: Any, table: dict[str, Any], names: list[str], colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(color=colours[name], label=f"{name} ({group['languages']}): {100 * group['mean']:.1f}")
        for name in names
        for group in (table["groups"][name],)
    ]
    handles += [
        Line2D([], [], color=QUIET, linestyle="--" if name == "majority" else ":", label=f"{name}: {100 * value:.1f}")
        for name, value in table["baselines"].items()
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(handles), fontsize=8)

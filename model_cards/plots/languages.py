"""The picture of a language report: share planned and read, epochs, and loss, language by language.

The languages stand in the order of their text, in all three panels at the same place, so that a language can be
followed from what it was given to what was learned of it. From 300 languages on the ranks go on a log axis.
"""

from pathlib import Path
from typing import Any

from .style import COLOURS, GROUPS, INK, MARKERS, NAMES, QUIET, new_figure, plain_log_axis, save, style, token_axis

_MANY = 300
_NAMED = 40  # languages whose tags fit under an axis


def draw_language_report(report: dict[str, Any], path: str | Path) -> Path:
    """Draw a language report.

    Args:
        report: `language_report.json` of a run.
        path: PNG to write.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If no language was read yet.
    """
    languages, phase = report["languages"], report["phase"]
    if phase is None:
        raise ValueError("the report holds no language that was read, a picture needs one: train first")
    ranks = {tag: rank + 1 for rank, tag in enumerate(languages)}
    shares = {tag: entry["shares"][phase] for tag, entry in languages.items() if phase in entry["shares"]}
    values = {
        f"share of phase {phase} (%, log)": {tag: 100 * share["seen"] for tag, share in shares.items()},
        "epochs over its text, all phases (log)": {tag: entry["epochs"] for tag, entry in languages.items()},
        f"loss at {100 * report['masking_ratio']:g} % masking (nats)": {
            tag: entry["loss"] for tag, entry in languages.items() if entry["loss"] is not None
        },
    }
    with style():
        figure = new_figure(
            13.0,
            4.8,
            f"Languages after step {report['step']:,}",
            "each mark a language, in the order of its text · line: the share that was planned",
        )
        panels = figure.subplots(1, 3, sharex=True)
        for number, (axes, (label, by_tag)) in enumerate(zip(panels, values.items(), strict=True)):
            _draw_marks(axes, by_tag, ranks, languages, log=number < 2)
            axes.set_title(label, fontsize=10, loc="left", color=INK)
        planned = {tag: share for tag, share in shares.items() if share["target"] > 0}
        panels[0].plot(
            [ranks[tag] for tag in planned],
            [100 * share["target"] for share in planned.values()],
            color=INK,
            linewidth=1.0,
            zorder=2 if len(ranks) <= _MANY else 4,
            label="planned",
        )
        if len(ranks) > _MANY:
            panels[0].set(xscale="log", xlim=(0.8, 1.3 * len(ranks)))
        elif len(ranks) > _NAMED:
            panels[0].xaxis.get_major_locator().set_params(integer=True)
        if len(ranks) > _NAMED:
            token_axis(panels[0].xaxis)
        else:
            _name_languages(panels, ranks, languages)
        panels[0].legend(fontsize=8.5, handletextpad=0.4)
        figure.supxlabel("language, by rank of tokens available", fontsize=10)
        return save(figure, path)


def _name_languages(panels: Any, ranks: dict[str, int], languages: dict[str, Any]) -> None:
    """Write the tags under every panel, and in that of the loss which languages have no held-out text."""
    for axes in panels:
        axes.set_xticks(list(ranks.values()), list(ranks), rotation=90, fontsize=7.5)
    for tag in (tag for tag, entry in languages.items() if entry["loss"] is None):
        panels[-1].annotate(
            "no held-out text",
            (ranks[tag], 0.02),
            xycoords=("data", "axes fraction"),
            rotation=90,
            ha="center",
            va="bottom",
            fontsize=7,
            color=QUIET,
        )


def _draw_marks(
    axes: Any, by_tag: dict[str, float], ranks: dict[str, int], languages: dict[str, Any], *, log: bool
) -> None:
    """Draw one mark a language; zeros have no place on a log axis and are left to the table."""
    size = 17 if len(ranks) <= _MANY else 6
    shown = {tag: value for tag, value in by_tag.items() if value > 0 or not log}
    for group in GROUPS:
        tags = [tag for tag in shown if languages[tag]["group"] == group]
        if tags:
            axes.scatter(
                [ranks[tag] for tag in tags],
                [shown[tag] for tag in tags],
                s=size,
                marker=MARKERS[group],
                facecolor=COLOURS[group],
                edgecolor="white",
                linewidth=0.4 if len(ranks) <= _MANY else 0.0,
                zorder=3,
                label=NAMES[group],
            )
    if log and shown:
        plain_log_axis(axes)

"""The picture of a vocabulary's cost: tokens against English, script by script, a mark per language."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .style import INK, QUIET, new_figure, save, style

_PHASES = {1: ("#0072B2", "o", "phase 1"), 2: ("#E69F00", "s", "phase 2"), 3: ("#009E73", "^", "phase 3")}
_UNREAD = ("#CC79A7", "x", "not read by mmBERT")


def draw_fertility(facts: Sequence[dict[str, Any]], path: str | Path) -> Path:
    """Draw tokens relative to English by script; languages without that number are set by tokens per character.

    Args:
        facts: `LanguageFacts.to_dict()` of each language.
        path: PNG to write.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If there is no language.
    """
    if not facts:
        raise ValueError("there is no language to draw; give a text, a tag or nothing for all")
    relative = [one for one in facts if one["relative_to_english"] is not None]
    key = "relative_to_english" if relative else "tokens_per_character"
    shown = relative or list(facts)
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(shown, key=lambda one: one[key]):
        groups.setdefault(one["script"], []).append(one)
    order = sorted(groups, key=lambda script: groups[script][len(groups[script]) // 2][key])
    left = f" · {len(facts) - len(shown)} languages without a number are not shown" if len(shown) < len(facts) else ""
    what = "tokens for what English says in one" if relative else "tokens per character"
    with style():
        height = max(3.2, 1.6 + 0.22 * len(order))
        figure = new_figure(
            9.5, height, f"{what[0].upper()}{what[1:]}, by script", f"{len(shown)} languages, a mark each{left}"
        )
        axes = figure.subplots()
        for phase in (1, 2, 3, None):
            colour, marker, label = _PHASES[phase] if phase else _UNREAD
            points = [
                (one[key], row) for row, script in enumerate(order) for one in groups[script] if one["phase"] == phase
            ]
            if points:
                axes.scatter(
                    *zip(*points, strict=True), s=22, color=colour, marker=marker, label=label, zorder=3, alpha=0.8
                )
        for row, script in enumerate(order):
            costliest = groups[script][-1]
            axes.annotate(
                f"{costliest['name']}", (costliest[key], row), xytext=(6, 0), textcoords="offset points",
                fontsize=7, va="center", color=QUIET,
            )  # fmt: skip
        axes.set_yticks(range(len(order)), [f"{script} ({len(groups[script])})" for script in order], fontsize=8)
        axes.set_ylim(-0.7, len(order) - 0.3)
        axes.set_xscale("log")
        low, high = min(one[key] for one in shown), max(one[key] for one in shown)
        axes.set_xlim(low / 1.15, high * 1.6)
        axes.set_xticks([one for one in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if low / 1.15 <= one <= high * 1.6])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
        axes.set_xlabel(f"{what} (log)", color=INK)
        axes.legend(loc="lower right", fontsize=8)
        return save(figure, path)

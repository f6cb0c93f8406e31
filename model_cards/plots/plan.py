"""The picture of a plan, before anything is trained: rate, masking, batch and languages over tokens.

The phases that every run goes through stand on the left; the variants, a thirtieth of mmBERT's tokens and the only
place where its learning rate falls, have panels of their own width on the right.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .style import COLOURS, QUIET, new_figure, save, shade_phases, short_count, style, token_axis

_INKS = tuple(COLOURS.values())
_DASHES = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (7, 2, 1.5, 2)))
_HEADROOM = 1.28  # over the highest line, for its label

_Values = Callable[[dict[str, Any]], Sequence[float]]
_Write = Callable[[float], str]


def draw_plan(plan: dict[str, Any], path: str | Path, all_languages: int | None = None) -> Path:
    """Draw a recipe's outline; without `all_languages` phases of `all` are left out of that panel."""
    stable, variants = plan["stable"], plan["variants"]
    last = (variants or stable)[-1]
    with style():
        figure = new_figure(10.5, 8.4, f"The plan of {plan['name']}", _subtitle(last, len(variants)))
        shape = {"width_ratios": [2.6, 1]} if variants else {}
        grid = figure.subplots(4, 2 if variants else 1, sharey="row", sharex="col", squeeze=False, gridspec_kw=shape)
        for number, (label, values, write) in enumerate(_panels(all_languages)):
            row = grid[number]
            row[0].set_ylabel(label)
            _draw_stable(row[0], stable, values, write, titled=number == 0)
            if variants:
                _draw_variants(row[1], variants, values, write)
            _set_height(row[0], [value for s in (*stable, *variants) for value in values(s)], log=label == "languages")
        grid[0][0].ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        if variants:
            grid[0][1].set_title(f"{len(stable) + 1} · one of {len(variants)} variants", fontsize=9, color=QUIET, pad=5)
            grid[3][1].locator_params(axis="x", nbins=4)
        for axes in grid[3]:
            token_axis(axes.xaxis)
        return save(figure, path)


def _subtitle(last: dict[str, Any], variants: int) -> str:
    tokens = short_count(last["first_token"] + last["tokens"])
    ways = " with any of the variants" if variants else ""
    return f"{last['first_step'] + last['steps']:,} steps, {tokens} tokens{ways} · along the x axes: tokens read"


def _panels(all_languages: int | None) -> list[tuple[str, _Values, _Write]]:
    """Say what each panel shows: its label, a scheduled's values at the points of its curve, and how one is written."""

    def flat(scheduled: dict[str, Any], value: float | None) -> list[float]:
        return [math.nan if value is None else value] * len(scheduled["curve"]["tokens"])

    return [
        ("learning rate", lambda s: s["curve"]["learning_rate"], lambda value: f"{value:.2g}"),
        ("masked tokens (%)", lambda s: flat(s, 100 * s["masking_ratio"]), lambda value: f"{value:.3g} %"),
        ("rows a step", lambda s: s["curve"]["rows"], lambda value: f"{value:,.0f}"),
        ("languages", lambda s: flat(s, s["languages"] or all_languages), lambda value: f"{value:,.0f}"),
    ]


def _places(scheduled: dict[str, Any]) -> list[float]:
    """Return the tokens of the curve's points, the last one moved to the scheduled's end."""
    return [*scheduled["curve"]["tokens"][:-1], scheduled["first_token"] + scheduled["tokens"]]


def _draw_stable(axes: Any, phases: list[dict[str, Any]], values: _Values, write: _Write, *, titled: bool) -> None:
    """Draw one line through the phases, and write over it where each phase ends."""
    tokens = [place for scheduled in phases for place in _places(scheduled)]
    axes.plot(tokens, [value for scheduled in phases for value in values(scheduled)], color=_INKS[0], linewidth=2)
    spans = [(s["name"], s["first_token"], s["first_token"] + s["tokens"]) for s in phases]
    for scheduled, (_, start, end) in zip(phases, spans, strict=True):
        _label(axes, write(values(scheduled)[-1]), ((start + end) / 2, values(scheduled)[-1]), _INKS[0])
    shade_phases(axes, spans, label=titled)


def _draw_variants(axes: Any, variants: list[dict[str, Any]], values: _Values, write: _Write) -> None:
    """Draw the variants; those that are alike share a line and a label."""
    alike: dict[tuple[float, ...], list[dict[str, Any]]] = {}
    for variant in variants:
        alike.setdefault(tuple(values(variant)), []).append(variant)
    highest_first = sorted(alike.items(), key=lambda item: -item[0][len(item[0]) // 2])
    for number, (curve, members) in enumerate(highest_first):
        ink = _INKS[(number + 1) % len(_INKS)]
        axes.plot(_places(members[0]), curve, color=ink, linestyle=_DASHES[number % len(_DASHES)], linewidth=2)
        names = "" if len(alike) == 1 else "\n".join(member["name"] for member in members) + "\n"
        middle = len(curve) // 2
        falls = curve[-1] < curve[0]
        words = f"{names}{'to ' if falls else ''}{write(curve[-1])}"
        if falls and number:  # little room under a falling line, and it ends where the others end
            words = ", ".join(names.split())
        _label(axes, words, (_places(members[0])[middle], curve[middle]), ink, beside=falls, under=number > 0)
    axes.set_xlim(variants[0]["first_token"], variants[0]["first_token"] + variants[0]["tokens"])
    axes.tick_params(axis="y", labelleft=False)


def _label(
    axes: Any, words: str, place: tuple[float, float], ink: str, *, beside: bool = False, under: bool = False
) -> None:
    """Write over or under a level line; right of a falling one, or left of it."""
    if not math.isfinite(place[1]):
        return
    across = ("right" if under else "left") if beside else "center"
    shift = {"center": 0, "left": 5, "right": -5}[across]
    axes.annotate(
        words,
        place,
        xytext=(shift, -4 if under else 4),
        textcoords="offset points",
        ha=across,
        va="top" if under else "bottom",
        fontsize=9,
        color=ink,
        fontweight="bold",
    )


def _set_height(axes: Any, values: list[float], *, log: bool) -> None:
    known = [value for value in values if math.isfinite(value)]
    if not known:
        axes.set_yticks([])
    elif log:
        axes.set_yscale("log")
        axes.set_ylim(min(known) / 6, max(known) * 6)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    else:
        axes.set_ylim(0, _HEADROOM * max(known))

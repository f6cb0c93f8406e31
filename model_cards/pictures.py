"""The pictures of a run over its tokens: schedule, and loss by language group; and all pictures at once.

Losses are group means with the spread of their languages, so that two languages read as well as 1,833. Everything is
drawn from the run's record, nothing is recomputed.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .canvas import (
    COLOURS,
    GROUPS,
    MARKERS,
    NAMES,
    new_figure,
    phase_spans,
    save,
    shade_phases,
    short_count,
    spread,
    style,
    token_axis,
)
from .language_pictures import draw_retrieval, draw_shares


def draw_all(record: dict[str, Any], folder: str | Path, retrieval: dict[str, Any] | None = None) -> list[Path]:
    """Draw every picture that the run's records allow.

    Args:
        record: Run record.
        folder: Where the PNGs go.
        retrieval: {"before": ..., "after": ...}, each from `bitext_accuracy`; None leaves that picture out.

    Returns:
        The files written: schedule.png, shares.png, loss.png (if there was an evaluation), retrieval.png (if given).

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the record holds no steps.
    """
    folder = Path(folder)
    written = [draw_schedule(record, folder / "schedule.png"), draw_shares(record, folder / "shares.png")]
    if record["evaluations"]:
        written.append(draw_losses(record, folder / "loss.png"))
    if retrieval is not None:
        written.append(draw_retrieval(record, retrieval, folder / "retrieval.png"))
    return written


def draw_schedule(record: dict[str, Any], path: str | Path) -> Path:
    """Draw masking ratio and learning rate over tokens, with the phases as bands.

    Args:
        record: Run record.
        path: PNG to write.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the record holds no steps.
    """
    spans = phase_spans(record)
    tokens = [row["tokens"] for row in record["steps"]]
    with style():
        last = record["steps"][-1]
        figure = new_figure(
            9,
            5.6,
            "Masking ratio and learning rate",
            f"recipe {record['recipe']['name']}: {last['step']:,} steps, {short_count(last['tokens'])} tokens",
        )
        upper, lower = figure.subplots(2, 1, sharex=True)
        ratios = [100 * row["masking_ratio"] for row in record["steps"]]
        # the ratio and rate of a step hold for the tokens before its count: step back, like the schedule itself
        upper.step([0, *tokens], [ratios[0], *ratios], where="pre", color=COLOURS["high"], linewidth=2)
        upper.set(ylabel="masked tokens (%)", ylim=(0, 1.2 * max(ratios)))
        rates = [row["learning_rate"] for row in record["steps"]]
        lower.plot(tokens, rates, color=COLOURS["mid"], linewidth=2)
        lower.set(ylabel="learning rate", xlabel="tokens read", ylim=(0, 1.12 * max(rates) or 1.0))
        lower.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)
        shade_phases(upper, spans, label=True)
        shade_phases(lower, spans, label=False)
        _write_ratios(upper, spans, record)
        token_axis(lower.xaxis)
        return save(figure, path)


def _write_ratios(axes: Any, spans: list[tuple[str, float, float]], record: dict[str, Any]) -> None:
    """Write each phase's ratio over its line, once where it is constant."""
    for name, start, end in spans:
        ratios = [row["masking_ratio"] for row in record["steps"] if row["phase"] == name]
        first, last = (f"{100 * ratio:.3g}" for ratio in (ratios[0], ratios[-1]))
        words = f"{first} %" if first == last else f"{first} to {last} %"
        axes.annotate(
            words,
            ((start + end) / 2, 100 * max(ratios)),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontweight="bold",
            color=COLOURS["high"],
        )


def draw_losses(record: dict[str, Any], path: str | Path) -> Path:
    """Draw the held-out loss of each language group over the run, always measured at 15 % masking.

    Args:
        record: Run record with evaluations.
        path: PNG to write.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the record holds no steps or no evaluations.
    """
    spans = phase_spans(record)
    if not record["evaluations"]:
        raise ValueError("the run record holds 0 evaluations, the loss picture needs 1: set an evaluation interval")
    with style():
        figure = new_figure(
            9,
            5.4,
            "Held-out loss by language group",
            "15 % of the tokens masked in every phase · line: mean of the group · band: middle 80 % of its languages",
        )
        axes = figure.subplots()
        ends = {group: _draw_group(axes, group, record) for group in GROUPS if _was_judged(group, record)}
        shade_phases(axes, spans, label=True)
        axes.set(xlabel="tokens read", ylabel="masked-token loss (nats)")
        token_axis(axes.xaxis)
        _label_ends(axes, record["evaluations"][-1]["tokens"], ends)
        return save(figure, path)


def _was_judged(group: str, record: dict[str, Any]) -> bool:
    return any(group in row["group_loss"] for row in record["evaluations"])


def _draw_group(axes: Any, group: str, record: dict[str, Any]) -> float:
    """Draw the mean and the spread of a group; gives the last mean."""
    evaluations, languages = record["evaluations"], record["data"]["languages"]
    members = [tag for tag in languages if languages[tag]["group"] == group]
    tokens = [row["tokens"] for row in evaluations]
    line = [row["group_loss"].get(group, np.nan) for row in evaluations]
    bands = [_band([row["loss"][tag] for tag in members if tag in row["loss"]]) for row in evaluations]
    axes.fill_between(tokens, *zip(*bands, strict=True), color=COLOURS[group], alpha=0.15, linewidth=0)
    marks = {"marker": MARKERS[group], "markersize": 4.5, "clip_on": False}
    axes.plot(tokens, line, color=COLOURS[group], linewidth=2, zorder=3, **marks)
    return next(float(value) for value in reversed(line) if np.isfinite(value))


def _band(values: list[float]) -> tuple[float, float]:
    return (float(np.quantile(values, 0.1)), float(np.quantile(values, 0.9))) if values else (np.nan, np.nan)


def _label_ends(axes: Any, at: float, ends: dict[str, float]) -> None:
    """Name the lines at their right ends, pushed apart where they meet."""
    low, high = axes.get_ylim()
    places = spread(list(ends.values()), 0.05 * (high - low))
    for (group, loss), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            f"{NAMES[group]} {loss:.2f}",
            (at, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[group],
            fontweight="bold",
            annotation_clip=False,
        )

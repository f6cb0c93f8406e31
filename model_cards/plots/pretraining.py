"""The pictures of a pre-training run: schedule, losses by group of languages, shares, retrieval; and all at once.

Drawn from the run's record, nothing is recomputed. Made for 2 to 1,833 languages: losses are group means with the
spread of their languages, shares a rank plot on a log axis, retrieval names every language as long as they fit.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .style import (
    COLOURS,
    GROUPS,
    INK,
    MARKERS,
    NAMES,
    QUIET,
    new_figure,
    phase_spans,
    plain_log_axis,
    save,
    shade_phases,
    short_count,
    spread,
    style,
    token_axis,
)

_NAMES_THAT_FIT = 120  # names of 6.5 points side by side on the 14 inches of the retrieval picture
_MANY = 300  # from here on ranks go on a log axis and marks become dots


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
        ends = {group: _draw_group(axes, group, record) for group in GROUPS if _was_evaluated(group, record)}
        shade_phases(axes, spans, label=True)
        axes.set(xlabel="tokens read", ylabel="masked-token loss (nats)")
        token_axis(axes.xaxis)
        _label_ends(axes, record["evaluations"][-1]["tokens"], ends)
        return save(figure, path)


def _was_evaluated(group: str, record: dict[str, Any]) -> bool:
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


def draw_shares(record: dict[str, Any], path: str | Path) -> Path:
    """Draw each language's share of the batches, target and seen, one panel a phase.

    Args:
        record: Run record.
        path: PNG to write.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    languages = record["data"]["languages"]
    ranked = sorted(languages, key=lambda tag: (-languages[tag]["tokens"], tag))
    rank_of = {tag: rank + 1 for rank, tag in enumerate(ranked)}
    recipe = {phase["name"]: phase for phase in record["recipe"]["phases"]}
    with style():
        figure = new_figure(
            max(5.0, 4.0 * len(record["shares"]) + 1),
            5.2,
            "Language shares: target and seen",
            "line: what the temperature asks for · marks: what the run read · languages in order of their data",
        )
        panels = figure.subplots(1, len(record["shares"]), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, shares) in zip(panels, record["shares"].items(), strict=True):
            fixed = {"code", *recipe.get(name, {}).get("shares", {})}  # outside temperature sampling
            _draw_share_panel(axes, shares, rank_of, languages, fixed)
            temperature = recipe.get(name, {}).get("temperature")
            words = "" if temperature is None else f", temperature {temperature:g}"
            natural = sum(languages[tag]["group"] != "code" for tag in shares)
            count = f"{natural:,} languages" + (" and code" if natural < len(shares) else "")
            axes.set_title(f"{name}: {count}{words}", fontsize=10, loc="left", color=INK)
        panels[0].set(ylabel="share of the tokens (%, log)", xlim=(0, len(ranked) + 1))
        if len(ranked) > _MANY:
            panels[0].set(xscale="log", xlim=(0.8, 1.3 * len(ranked)))
        token_axis(panels[0].xaxis)
        _share_axis(panels[0], record)
        figure.supxlabel("language, by rank of tokens available", fontsize=10)
        _group_legend(figure, panels[-1], {entry["group"] for entry in languages.values()})
        return save(figure, path)


def _draw_share_panel(
    axes: Any, shares: dict[str, Any], rank_of: dict[str, int], languages: dict[str, Any], fixed: set[str]
) -> None:
    inside = sorted(shares, key=rank_of.__getitem__)
    by_temperature = [tag for tag in inside if tag not in fixed]
    for tag in fixed & set(inside) - {"code"}:  # code has a mark of its own
        place = (rank_of[tag], 100 * shares[tag]["target"])
        words = f"{tag}, fixed share"
        axes.annotate(words, place, xytext=(7, 0), textcoords="offset points", va="center", fontsize=8.5)
    axes.plot(
        [rank_of[tag] for tag in by_temperature],
        [100 * shares[tag]["target"] for tag in by_temperature],
        color=INK,
        linewidth=1.1,
        zorder=3,
    )
    size, edge = (17, 0.4) if len(rank_of) <= _MANY else (6, 0.0)
    for group in GROUPS:  # the line bridges languages of later phases, the dashes mark those that are in
        tags = [tag for tag in inside if languages[tag]["group"] == group]
        ranks = [rank_of[tag] for tag in tags]
        if len(rank_of) <= _MANY:
            target = [100 * shares[tag]["target"] for tag in tags]
            axes.scatter(ranks, target, s=20, marker="_", color=INK, linewidth=1.1)
        seen = [100 * shares[tag]["seen"] or np.nan for tag in tags]  # 0 has no place on a log axis: counted below
        colours = {"facecolor": COLOURS[group], "edgecolor": "white"}
        axes.scatter(ranks, seen, s=size, marker=MARKERS[group], linewidth=edge, zorder=4, **colours)
    unseen = sum(shares[tag]["seen"] == 0 for tag in inside)
    if unseen:
        words = f"not seen yet: {unseen}"
        axes.annotate(words, (0.02, 0.03), xycoords="axes fraction", ha="left", fontsize=8.5, color=QUIET)
    if by_temperature:
        _name_ends(axes, by_temperature[0], by_temperature[-1], shares, rank_of)


def _name_ends(axes: Any, first: str, last: str, shares: dict[str, Any], rank_of: dict[str, int]) -> None:
    """Name the language with most data over its mark, and the one with least under the cloud with a leader."""
    top = (rank_of[first], 100 * max(shares[first]["target"], shares[first]["seen"]))
    axes.annotate(first, top, xytext=(1, 9), textcoords="offset points", ha="left", va="center", fontsize=8.5)
    if last != first:
        least = min(100 * (share["seen"] or share["target"]) for share in shares.values())
        low = (rank_of[last], 100 * min(shares[last]["target"], shares[last]["seen"] or shares[last]["target"]))
        leader = {"arrowstyle": "-", "color": QUIET, "linewidth": 0.7, "shrinkB": 3}
        side = "right" if rank_of[last] > len(rank_of) / 3 else "left"
        below = {"xytext": (rank_of[last], least / 1.35), "va": "top", "ha": side}
        axes.annotate(last, low, fontsize=8.5, arrowprops=leader, **below)


def _share_axis(axes: Any, record: dict[str, Any]) -> None:
    """Leave room above and below the shares, and write plain percentages."""
    shares = [
        100 * share[kind]
        for phase in record["shares"].values()
        for share in phase.values()
        for kind in ("target", "seen")
        if share[kind] > 0
    ]
    axes.set_ylim(min(shares) / 2.2, max(shares) * 1.5)
    plain_log_axis(axes)


def _group_legend(figure: Any, axes: Any, present: set[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=INK, linewidth=1.1, label="target")]
    handles += [
        Line2D([], [], linestyle="", marker=MARKERS[group], color=COLOURS[group], label=f"seen, {NAMES[group]}")
        for group in GROUPS
        if group in present
    ]
    axes.legend(handles=handles, loc="upper right", fontsize=8.5, handletextpad=0.4)


def draw_retrieval(record: dict[str, Any], retrieval: dict[str, Any], path: str | Path) -> Path:
    """Draw each language's bitext retrieval accuracy before and after tuning on parallel text.

    Args:
        record: Run record, for the groups.
        retrieval: {"before": ..., "after": ...}, each from `bitext_accuracy`.
        path: PNG to write.

    Returns:
        The path written.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If no language was evaluated both times.
    """
    languages = record["data"]["languages"]
    before, after = retrieval["before"]["languages"], retrieval["after"]["languages"]
    tags = sorted(set(before) & set(after), key=lambda tag: (-after[tag]["accuracy"], tag))
    if not tags:
        raise ValueError("no language was evaluated both before and after: evaluate both on the same pairs")
    first = [100 * before[tag]["accuracy"] for tag in tags]
    last = [100 * after[tag]["accuracy"] for tag in tags]
    ranks = np.arange(1, len(tags) + 1)
    with style():
        figure = new_figure(
            max(7.5, min(14.0, 3 + 0.11 * len(tags))),
            5.6,
            "Bitext retrieval before and after tuning on parallel text",
            f"own translation found among all held-out pairs of the language · mean {np.mean(first):.0f} % before, "
            f"{np.mean(last):.0f} % after",
        )
        axes = figure.subplots()
        _draw_scores(axes, first, last, [languages.get(tag, {}).get("group") for tag in tags])
        axes.plot(ranks, [100 * after[tag]["chance"] for tag in tags], color=INK, linewidth=0.9, label="chance")
        axes.set(ylabel="accuracy (%)", ylim=(0, 104), xlim=(0.2, len(tags) + 0.8))
        legend = {"ncols": 6, "fontsize": 8.5, "handletextpad": 0.3, "columnspacing": 1.2, "borderaxespad": 0.2}
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), **legend)
        _name_languages(axes, tags)
        return save(figure, path)


def _draw_scores(axes: Any, first: list[float], last: list[float], groups: list[str | None]) -> None:
    """Join each language's two scores by a line; the second has its group's mark."""
    ranks = np.arange(1, len(first) + 1)
    many = len(ranks) > _MANY
    axes.vlines(ranks, first, last, color="#DDDDDD" if many else "#C4C4C4", linewidth=0.4 if many else 1.2, zorder=2)
    size, inside, edge = (4, QUIET, 0.0) if many else (16, "white", 1.0)
    axes.scatter(ranks, first, s=size, facecolor=inside, edgecolor=QUIET, linewidth=edge, zorder=3, label="before")
    for group in (*GROUPS, None):  # None: languages that the encoder's own training text did not have
        own = [index for index, found in enumerate(groups) if found == group]
        if not own:
            continue
        name, marker, colour = (NAMES[group], MARKERS[group], COLOURS[group]) if group else ("other", "o", QUIET)
        marks = {"marker": marker, "facecolor": colour, "edgecolor": "white", "label": f"after, {name}"}
        size, edge = (8, 0.0) if many else (28, 0.4)
        axes.scatter(ranks[own], [last[index] for index in own], s=size, linewidth=edge, zorder=4, **marks)


def _name_languages(axes: Any, tags: list[str]) -> None:
    """Name every language where a name has room (9 points of width each), otherwise every nth."""
    step = -(-len(tags) // _NAMES_THAT_FIT)
    places = range(0, len(tags), step)
    size = 8 if len(tags) <= 45 else 6.5
    axes.set_xticks([place + 1 for place in places], [tags[place] for place in places], rotation=90, fontsize=size)
    axes.set_xlabel("language, by accuracy after tuning" + ("" if step == 1 else f" (one name in {step})"))
    axes.grid(visible=False, axis="x")

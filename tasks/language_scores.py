"""Runs of several seeds as one table: a row a language, mean and spread over seeds, trained and zero-shot apart.

The spread is the standard deviation of a sample of seeds; of a group of languages, that of the group's mean over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common.files import write_json, write_text
from ..languages.tags import entry_phase, is_among
from ..model_cards.plots.style import FEW_ROWS
from .metrics.intervals import interval_over_seeds, share_interval

TRAINED, SEEN, UNSEEN = "trained", "zero-shot, seen in pre-training", "zero-shot, not seen"
GROUPS = (TRAINED, SEEN, UNSEEN)
_SHOWN = 40  # languages that a terminal lists
SHARES = ("accuracy", "exact", "official_exact")  # of rows; an F1 or a correlation is none


def language_table(
    records: Sequence[dict[str, Any]],
    data_set: str = "test",
    score: str | None = None,
    pretrained_on: Collection[str] | None = None,
) -> dict[str, Any]:
    """Put the records of several seeds together.

    Args:
        records: What `fine_tune` records, one a seed, of one task.
        data_set: Which of the evaluated data sets.
        score: Which score; None: the first, the task's main one.
        pretrained_on: Languages of pre-training; None: those of mmBERT, by their code.

    Returns:
        `score`, `data_set`, `seeds`; `languages` by tag, each with `rows`, `group`, `mean`, `sd` (None for one seed),
        `values` (one per seed) and `interval` (95 % over rows, the mean of the seeds'; None where none was recorded and
        the score is no share of rows); `groups` by name, each with `languages` (how many), `mean` and `sd`, and `all`;
        `overall`, over all rows together; `baselines` (over all rows), if the records have them.

    Raises:
        ValueError: If there is no record, or none of that data set or score.
    """
    if not records or data_set not in records[0]["scores"]:
        there = ", ".join(records[0]["scores"]) if records else "no record"
        raise ValueError(f"nothing was evaluated on {data_set!r}; there is {there}.")
    score = score or next(iter(records[0]["scores"][data_set]))
    if score not in records[0]["scores"][data_set]:
        raise ValueError(f"no score {score!r}; there are {', '.join(records[0]['scores'][data_set])}.")
    languages = {}
    for tag, first in records[0]["by_language"][data_set].items():
        values = [record["by_language"][data_set][tag][score] for record in records]
        known = entry_phase(tag) is not None if pretrained_on is None else is_among(tag, pretrained_on)
        group = TRAINED if first["trained"] else SEEN if known else UNSEEN
        found = _spread(values)
        found_ends = [record.get("intervals", {}).get(data_set, {}).get("languages", {}) for record in records]
        interval = interval_over_seeds(one.get(tag, {}).get(score) for one in found_ends)
        if interval is None and score in SHARES:  # records of 0.1
            interval = share_interval(found["mean"], first["rows"])
        languages[tag] = {"rows": first["rows"], "group": group, **found, "interval": interval}
    groups = {}
    for name in (*GROUPS, "all"):
        members = [row["values"] for row in languages.values() if name in (row["group"], "all")]
        if members:
            means = [statistics.fmean(seed) for seed in zip(*members, strict=True)]
            groups[name] = {"languages": len(members), **_spread(means)}
    baselines = records[0].get("baselines", {}).get(data_set, {})
    return {
        "score": score,
        "data_set": data_set,
        "seeds": [record["options"]["seed"] for record in records],
        "languages": languages,
        "groups": groups,
        "overall": _spread([record["scores"][data_set][score] for record in records]),
        "baselines": {name: scores[score] for name, scores in baselines.items()},
    }


def table_lines(table: dict[str, Any], *, every_language: bool = True) -> str:
    """Write a table as markdown: groups and baselines first, then the languages, best first within their group.

    Args:
        table: From `language_table`.
        every_language: Whether languages get rows, or groups only.

    Returns:
        The table, scores times 100.
    """
    seeds = len(table["seeds"])
    spread = " ± sd" if seeds > 1 else ""
    lines = [f"| {table['data_set']} | | rows | {table['score']} x 100{spread} | 95 % over rows |"]
    lines.append("|---|---|---:|---:|---:|")
    rows = {name: sum(row["rows"] for row in table["languages"].values() if name in (row["group"], "all"))
            for name in (*GROUPS, "all")}  # fmt: skip
    for name, group in table["groups"].items():
        lines.append(f"| **mean of {group['languages']}** | {name} | {rows[name]:,} | {written(group)} | |")
    for name, value in table["baselines"].items():
        lines.append(f"| guess: {name} | | | {100 * value:.1f} | |")
    if every_language:
        order = sorted(
            table["languages"].items(), key=lambda item: (GROUPS.index(item[1]["group"]), -item[1]["mean"], item[0])
        )
        lines += [
            f"| {tag} | {row['group']} | {row['rows']:,} | {written(row)} | {_interval(row)} |" for tag, row in order
        ]
    few = sum(row["rows"] < FEW_ROWS for row in table["languages"].values())
    if few:
        lines.append(
            f"\n{few} of {len(table['languages'])} languages have fewer than {FEW_ROWS} rows: see the intervals."
        )
    return "\n".join(lines)


def written(entry: Mapping[str, Any]) -> str:
    """Write a mean and its spread, times 100."""
    return f"{100 * entry['mean']:.1f}" + ("" if entry["sd"] is None else f" ± {100 * entry['sd']:.1f}")


def _interval(row: dict[str, Any]) -> str:
    ends = row.get("interval")
    return f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f}" if ends else ""


def _spread(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "values": list(values),
    }


def write_language_table(
    records: Sequence[dict[str, Any]],
    folder: Path,
    *,
    score: str | None = None,
    pretrained_on: Collection[str] | None = None,
    draw: Callable[[dict[str, Any], Path], Any] | None = None,
) -> str:
    """Write the table of a fine-tuning as `table.md`, `table.json` and, where something draws it, `table.png`.

    Args:
        records: One record a seed.
        folder: Where to write.
        score: As in `language_table`.
        pretrained_on: As in `language_table`.
        draw: Draws a table to a file, such as `mmbert.model_cards.draw_language_scores`; None for no picture.

    Returns:
        The table for the terminal: the groups of languages, and the languages if they are few.
    """
    table = language_table(records, score=score, pretrained_on=pretrained_on)
    write_text(folder / "table.md", table_lines(table) + "\n")
    write_json(folder / "table.json", table, indent=1)
    if draw is not None:
        draw(table, folder / "table.png")
    return table_lines(table, every_language=len(table["languages"]) <= _SHOWN)

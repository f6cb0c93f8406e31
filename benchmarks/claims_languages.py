"""How much text does a language need? Loss against the tokens of it that were read, over all models of the study.

A language that has been read more is predicted better, and so is one whose words fall into many easy pieces: a loss by
token flatters the second. So every line gives the tokens that 1,000 characters make, and the regression takes them, the
writing system and the tokens read together. Its intervals are of a bootstrap over languages: models and seeds of one
language are no independent witnesses.
"""

import math
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow.compute as pc
from claims_report import read_scores
from mmbert.data import TokenShards
from mmbert.languages import canonical_tag
from mmbert.model_cards.markdown import markdown_table
from mmbert.model_cards.plots import style
from pyarrow import parquet
from support import write_results

STEPS = (0, 1, 1_000, 3_000, 10_000, 30_000, math.inf)  # tokens read; the first step holds languages never read
DRAWS = 1000


def fertility(output: Path) -> dict[str, float]:
    """Return the tokens that 1,000 characters of a language make, over the whole corpus."""
    characters: dict[str, int] = defaultdict(int)
    for path in sorted((output / "corpus").glob("*.parquet")):
        table = parquet.read_table(path)
        lengths = (
            table.append_column("length", pc.utf8_length(table["text"])).group_by("lang").aggregate([("length", "sum")])
        )
        for tag, length in zip(lengths["lang"].to_pylist(), lengths["length_sum"].to_pylist(), strict=True):
            characters[canonical_tag(tag) or tag] += length
    tokens: dict[str, int] = defaultdict(int)
    for split in ("train", "heldout"):
        for tag, count in TokenShards(output / "tokenized" / split, verify=False).token_counts.items():
            tokens[tag] += count
    return {tag: 1000 * count / characters[tag] for tag, count in tokens.items() if characters.get(tag)}


def points_of(output: Path) -> list[dict[str, Any]]:
    """List loss, tokens read, fertility and script of every language, model and seed that read the study's shards."""
    pieces = fertility(output)
    points = []
    for model, by_seed in read_scores(output / "scores").items():
        for seed, scores in by_seed.items():
            if model.startswith("gemma") or "read" not in scores:
                continue
            for tag, loss in scores["loss"].items():
                if tag in pieces:
                    latin = tag.endswith("_Latn")
                    one = {"model": model, "seed": seed, "language": tag, "latin": latin, "loss": loss}
                    points.append({**one, "read": scores["read"].get(tag, 0.0), "pieces": pieces[tag]})
    return points


def regression(points: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Regress the loss of languages that were read; by name the slope and its 95 % interval."""
    seen = [one for one in points if one["read"] >= 1]
    columns = [[1, math.log2(one["read"]), math.log2(one["pieces"]), one["latin"]] for one in seen]
    left, right = np.array(columns, float), np.array([one["loss"] for one in seen])
    _, member = np.unique([one["language"] for one in seen], return_inverse=True)
    rows = [np.flatnonzero(member == number) for number in range(member.max() + 1)]
    draw = np.random.default_rng(0)
    slopes = [np.linalg.lstsq(left, right, rcond=None)[0]]
    for _ in range(DRAWS):
        chosen = np.concatenate([rows[number] for number in draw.integers(len(rows), size=len(rows))])
        slopes.append(np.linalg.lstsq(left[chosen], right[chosen], rcond=None)[0])
    low, high = np.percentile(slopes[1:], [2.5, 97.5], axis=0)
    names = "", "twice the tokens read", "twice the tokens a character", "Latin script"
    return {name: [float(slopes[0][n]), float(low[n]), float(high[n])] for n, name in enumerate(names) if name}


def write_language_report(output: Path) -> None:
    """Write languages.md, languages.json and languages.png beside the scores."""
    points = points_of(output)
    if not any(one["read"] >= 1 for one in points):
        return
    rows = []
    for low, high in pairwise(STEPS):
        for latin in (True, False):
            inside = [one for one in points if low <= one["read"] < high and one["latin"] == latin]
            if inside:
                tokens = f"{low:,} to {high:,}" if high < math.inf else f"{low:,} and more"
                name = ("none" if high == 1 else tokens, "Latin" if latin else "other")
                languages = len({one["language"] for one in inside})
                means = (
                    f"{mean(one[key] for one in inside):.{digits}f}" for key, digits in (("loss", 3), ("pieces", 0))
                )
                rows.append([*name, languages, *means])
    header = ["tokens of the language read", "script", "languages", "loss, nats a token", "tokens in 1,000 characters"]
    found = regression(points)
    lines = [[name, f"{value:+.3f}", f"{low:+.3f} to {high:+.3f}"] for name, (value, low, high) in found.items()]
    text = markdown_table(header, rows) + "\n\n" + markdown_table(["", "loss, nats a token", "95 % interval"], lines)
    write_results(output, "languages", [{"regression": found}, *points], text)
    draw(points, output / "languages.png")


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Draw the mean loss of each language against the tokens read."""
    by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in points:
        if one["model"] == "study-decay-all":
            by_language[one["language"]].append(one)
    subtitle = "the reference run, a dot a language, mean over seeds; held-out text at 15 % masking"
    figure = style.new_figure(8, 4.5, "Loss against tokens of the language read", subtitle)
    axes = figure.subplots()
    for latin, name in ((True, "Latin script"), (False, "other scripts")):
        shown = [ones for ones in by_language.values() if ones[0]["latin"] == latin]
        read = [max(1.0, mean(one["read"] for one in ones)) for ones in shown]
        axes.plot(read, [mean(one["loss"] for one in ones) for ones in shown], "o", markersize=3, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("tokens read (1: none)")
    axes.set_ylabel("nats a token")
    axes.legend()
    style.save(figure, path)

"""What the study's scores say: every claim as a paired difference over seeds, with its interval and its verdict."""

import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from mmbert.model_cards.markdown import markdown_table
from mmbert.model_cards.plots import style
from scipy.stats import t
from support import write_results

# Ways to merge the reference's variants; None: the plain average. The paper says neither density nor trim; 0.2 is that
# of TIES (arXiv 2306.01708).
MERGES: dict[str, dict[str, Any] | None] = {
    "ties-global": {"density": 0.2},
    "ties-tensor": {"density": 0.2, "trim": "tensor"},
    "ties-half": {"density": 0.5},
    "average": None,
}
CONFIDENCE = 0.95
Scores = dict[str, dict[int, dict[str, Any]]]  # by model, then by seed


MEASURES = ("loss", "tatoeba", "sib200")


@dataclass(frozen=True)
class Claim:
    """One thing against another.

    Attributes:
        text: What would have to be true.
        better: Model that is said to be better, "RUN-MODEL".
        than: Model that it is compared with.
        group: Resource group of the loss, which is then the only measure; empty: all languages.
        measures: What is compared.
    """

    text: str
    better: str
    than: str
    group: str = ""
    measures: tuple[str, ...] = MEASURES


STUDY = "study-decay-all"
CLAIMS = (
    Claim("a. languages that enter in the decay gain over never", STUDY, "study-decay-cont", group="low"),
    Claim("a. and cost the first 60 languages nothing against never", STUDY, "study-decay-cont", group="high"),
    Claim("a. entering in the decay is better for them than from the start", STUDY, "start-decay-all", group="low"),
    Claim("a. and better for the first 60 than all from the start", STUDY, "start-decay-all", group="high"),
    Claim("b. falling masking is better than 15 % throughout", STUDY, "mask15-decay-all"),
    Claim("b. falling masking is better than 30 % throughout", STUDY, "mask30-decay-all"),
    Claim("b. falling masking is better than rising, 5, 15, 30 %", STUDY, "rising-decay-all"),
    Claim("b. 5 % in the decay is better than 15 % there alone", STUDY, "study-decay-mask15"),
    Claim("c. falling temperature is better than 0.3 throughout", STUDY, "temp03-decay-all"),
    Claim("c. falling temperature is better than 0.5 throughout", STUDY, "temp05-decay-all"),
    Claim("c. falling temperature is better than 0.7 throughout", STUDY, "temp07-decay-all"),
    Claim("c. 0.3 in the decay is better than 0.7 there alone", STUDY, "study-decay-temp07"),
    Claim("d. TIES (global trim) is better than the best variant", "study-ties-global", STUDY),
    Claim("d. TIES (global trim) is better than the average", "study-ties-global", "study-average"),
    Claim("d. trimming by tensor is better than globally", "study-ties-tensor", "study-ties-global"),
    Claim("d. the average is better than the best variant", "study-average", STUDY),
    Claim(
        "f. a vocabulary trained on the text is better than mmBERT's trimmed to its size",
        STUDY,
        "gemma-decay-all",
        measures=("same_text", "tatoeba", "sib200"),
    ),
)


def read_scores(folder: Path) -> Scores:
    """Read `RUN-MODEL-SEED.json` of all models and seeds."""
    found: Scores = defaultdict(dict)
    for path in sorted(folder.glob("*.json")):
        model, _, seed = path.stem.rpartition("-")
        found[model][int(seed)] = json.loads(path.read_text(encoding="utf-8"))
    return found


def value_of(scores: dict[str, Any], measure: str, members: frozenset[str] | None = None) -> float:
    """Average a measure over languages, over some of them if they are named."""
    return mean(value for tag, value in scores[measure].items() if members is None or tag in members)


def members_of(group: str, scores: dict[str, Any]) -> frozenset[str] | None:
    """Return the languages of a resource group, none if all are meant."""
    return frozenset(tag for tag, one in scores["groups"].items() if one == group) if group else None


def effect_of(claim: Claim, measure: str, scores: Scores) -> dict[str, Any]:
    """Compare two models seed by seed; positive is better, whatever the measure."""
    sign = 1 if measure in ("tatoeba", "sib200") else -1
    seeds = sorted(set(scores.get(claim.better, {})) & set(scores.get(claim.than, {})))
    # as the better one's recipe groups them: where all languages are read from the start, all are of the first group
    members = [members_of(claim.group, scores[claim.better][seed]) for seed in seeds]
    one, other = (
        [value_of(scores[model][seed], measure, tags) for seed, tags in zip(seeds, members, strict=True)]
        for model in (claim.better, claim.than)
    )
    gains = [sign * (a - b) for a, b in zip(one, other, strict=True)]
    found: dict[str, Any] = {"seeds": seeds, "gains": gains, "verdict": "not run"}
    if gains:
        found |= {"effect": mean(gains), "relative": mean(gains) / mean(other), "verdict": "too small to tell"}
    if len(gains) > 1:
        half = float(t.ppf((1 + CONFIDENCE) / 2, len(gains) - 1)) * stdev(gains) / math.sqrt(len(gains))
        found["interval"] = [found["effect"] - half, found["effect"] + half]
        if found["interval"][0] > 0:
            found["verdict"] = "reproduced"
        elif found["interval"][1] < 0:
            found["verdict"] = "the opposite"
    return found


def write_report(output: Path) -> None:
    """Write claims.md, claims.json and claims.png beside the scores."""
    scores = read_scores(output / "scores")
    effects = [
        (claim, measure, effect_of(claim, measure, scores))
        for claim in CLAIMS
        for measure in (("loss",) if claim.group else claim.measures)  # the probes' languages are other ones
    ]
    rows = [
        [claim.text, claim.group or "all", measure, *_cells(found), len(found["seeds"]), found["verdict"]]
        for claim, measure, found in effects
    ]
    header = ["claim", "languages", "measure", "gain (positive is better)", "95 % interval", "seeds", "verdict"]
    models = [
        [model, len(by_seed), *(_spread(by_seed, measure) for measure in MEASURES)] for model, by_seed in scores.items()
    ]
    text = markdown_table(header, rows) + "\n\n" + markdown_table(["model", "seeds", *MEASURES], models)
    figures = [{**claim.__dict__, "measure": measure, **found} for claim, measure, found in effects]
    write_results(output, "claims", figures, text)
    draw(
        [(claim, found) for claim, measure, found in effects if measure in ("loss", "same_text")], output / "claims.png"
    )


def _cells(found: dict[str, Any]) -> list[str]:
    if "effect" not in found:
        return ["", ""]
    interval = found.get("interval")
    shown = f"{interval[0]:+.4f} to {interval[1]:+.4f}" if interval else "one seed"
    return [f"{found['effect']:+.4f} ({100 * found['relative']:+.1f} %)", shown]


def _spread(by_seed: dict[int, dict[str, Any]], measure: str) -> str:
    values = [value_of(scores, measure) for scores in by_seed.values()]
    return f"{mean(values):.4f}" + (f" +- {stdev(values):.4f}" if len(values) > 1 else "")


def draw(effects: list[tuple[Claim, dict[str, Any]]], path: Path) -> None:
    """Draw the gains in loss with their intervals, a line a claim."""
    shown = [(claim, found) for claim, found in effects if "effect" in found]
    if not shown:
        return
    subtitle = (
        "difference in nats on held-out text at 15 % masking, paired by seed; dots are seeds, lines 95 % intervals"
    )
    figure = style.new_figure(9, 0.4 * len(shown) + 1.5, "What each claim gains", subtitle)
    axes = figure.subplots()
    for place, (_, found) in enumerate(shown):
        if "interval" in found:
            axes.plot(found["interval"], [place, place], color="0.4")
        axes.plot(found["gains"], [place] * len(found["gains"]), "o", markersize=4)
    axes.axvline(0, color="0.7", linewidth=1)
    axes.set_yticks(range(len(shown)), [f"{claim.text} [{claim.group or 'all'}]" for claim, _ in shown])
    axes.invert_yaxis()
    axes.set_xlabel("gain (right of zero: the claim holds)")
    style.save(figure, path)

"""The official language mixture without the corpus at hand: what published token counts say about the text there was.

A phase reads a language in proportion to n**temperature, n being its natural amount of text, so a published count c
gives n ~ c**(1 / temperature), up to one factor per phase. Where two phases read the same languages the factors can be
matched and the phases checked against each other. They agree: from pre-training's counts the formula foretells the
shares of mid-training within 2 % for 57 of 59 languages, and to the digit Russian's fall from 9.6 to 6.8 to 4.3 % of
the text of these languages, which the paper draws.

What it gives up: most languages that enter with Decay-All are so small that all of their text was read, about once,
instead of being sampled (the 907,395 published tokens of Arifama-Miniafia are FineWeb2's 2.7 MB of it). For them n is
the amount of text that would give the published share, not the amount there is. English and code stand outside the
sampling and have no n.
"""

import math
from collections.abc import Iterable, Mapping
from functools import cache
from statistics import median

from ...languages.mixture import LanguageMixture
from ...languages.tags import CODE, published_token_counts
from ...recipes import Phase

# Sampling temperature of each published column (arXiv 2509.06888 section 3.2).
TEMPERATURES = {"pretrain": 0.7, "ext": 0.5, "decay-eng": 0.3, "decay-mid": 0.3, "decay-all": 0.3}
OUTSIDE_SAMPLING = ("eng", CODE)
_ENTRANCES = ("pretrain", "ext", "decay-all")  # each reads the languages of the one before it, and more


@cache
def natural_token_counts() -> Mapping[str, float]:
    """Relative amounts of text behind the published counts, for all languages that mmBERT samples.

    Each language's amount comes from the phase in which it enters, where it is sampled at the highest temperature and
    so least blurred; the phases are put on one scale by the median over the languages that they share.

    Returns:
        ISO 639-3 code to amount, Russian 1 by definition; 1,832 codes, all but English and `code`.
    """
    logarithms: dict[str, float] = {}
    for phase in _ENTRANCES:
        found = {code: math.log(n) for code, n in implied_token_counts(phase).items()}
        shared = [logarithms[code] - found[code] for code in found if code in logarithms]
        shift = median(shared) if shared else 0.0
        logarithms.update({code: value + shift for code, value in found.items() if code not in logarithms})
    return {code: math.exp(value) for code, value in logarithms.items()}


@cache
def implied_token_counts(phase: str) -> Mapping[str, float]:
    """Amounts of text that a phase's published counts imply, by ISO 639-3 code, Russian 1; no English, no code."""
    counts = published_token_counts(phase)
    sampled = {code: tokens for code, tokens in counts.items() if code not in OUTSIDE_SAMPLING}
    return {code: (tokens / counts["rus"]) ** (1 / TEMPERATURES[phase]) for code, tokens in sampled.items()}


def published_mixture(phase: str, amounts: Mapping[str, float] | None = None) -> LanguageMixture:
    """The mixture of a published phase: English and code as published, the others at the phase's temperature.

    Args:
        phase: "pretrain", "ext", "decay-eng", "decay-mid" or "decay-all".
        amounts: Amount of text by code; None: those that this phase's own counts imply, which give back its shares
            exactly. `natural_token_counts()` foretells them instead.

    Returns:
        The mixture over codes.

    Raises:
        ValueError: The phase is none of the five, or the amounts lack a language of it.
    """
    counts = published_token_counts(phase)
    amounts = implied_token_counts(phase) if amounts is None else amounts
    total = sum(counts.values())
    fixed = {code: counts[code] / total for code in OUTSIDE_SAMPLING}
    return LanguageMixture(_amounts(counts, amounts, fixed), TEMPERATURES[phase], fixed)


def planned_mixture(phase: Phase) -> LanguageMixture:
    """The mixture that a recipe's phase has over text in natural amounts, for a look at it before there is a corpus.

    Args:
        phase: A phase of a recipe.

    Returns:
        The mixture over the phase's tags; over the 1,833 codes and `code` for a phase that reads `all`. Two tags of
        one language have half of its text each.

    Raises:
        ValueError: The statistics know nothing of a language that the phase samples.
    """
    shares = dict(phase.shares)
    if phase.reads_all:
        shares = {tag.partition("_")[0]: share for tag, share in shares.items()}
        tags = [*natural_token_counts(), *OUTSIDE_SAMPLING]
    else:
        tags = list(phase.languages)
    return LanguageMixture(_amounts(tags, natural_token_counts(), shares), phase.temperature, shares)


def _amounts(names: Iterable[str], amounts: Mapping[str, float], fixed: Mapping[str, float]) -> dict[str, float]:
    tags = list(names)
    codes = [tag.partition("_")[0] for tag in tags]
    found = {}
    for tag, code in zip(tags, codes, strict=True):
        if tag not in fixed and code not in amounts:
            raise ValueError(f"nothing is published on the amount of text in {tag}; give it a fixed share, or drop it.")
        # A fixed share is a share of any amount above 0.
        found[tag] = 1.0 if tag in fixed else amounts[code] / codes.count(code)
    return found

"""What is published about mmBERT's languages: tokens by language and phase, and the scripts of their texts.

language_counts.csv is statistics/language_counts.csv of JHU-CLSP/mmBERT (commit 108ffb3): tokens by ISO 639-3 code and
phase for 1,833 languages and `code`. It has no scripts; scripts.csv has them, most text first, from the language table
and the configurations of FineWeb-2 (huggingface/fineweb-2 at d0defb2, ODC-By), where these texts are from; a language
that is not in it is written in Latin letters alone.
"""

import csv
from functools import cache
from importlib.resources import files

CODE = "code"  # the tag of programming source
PHASES = ("pretrain", "ext", "decay-eng", "decay-mid", "decay-all")  # columns of language_counts.csv, in training order


def _rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((files(__package__) / name).read_text(encoding="utf-8").splitlines()))


@cache
def published_token_counts(phase: str = "pretrain") -> dict[str, int]:
    """Tokens per language that mmBERT's authors published for one training phase.

    Args:
        phase: "pretrain" (60 languages), "ext" (109), "decay-eng", "decay-mid" (the same 109) or "decay-all" (1,833).

    Returns:
        ISO 639-3 code, or "code", to tokens; only those with any in this phase.

    Raises:
        ValueError: The phase is none of the five.
    """
    if phase not in PHASES:
        raise ValueError(f"no token counts for phase {phase!r}; the published phases are {', '.join(PHASES)}.")
    counts = {row["language"]: int(row[phase]) for row in _rows("language_counts.csv")}
    return {code: tokens for code, tokens in counts.items() if tokens > 0}


@cache
def known_codes() -> frozenset[str]:
    """The 1,833 language codes of mmBERT's statistics, without `code`."""
    return frozenset(code for phase in PHASES for code in published_token_counts(phase)) - {CODE}


@cache
def _scripts() -> dict[str, tuple[str, ...]]:
    return {row["language"]: tuple(row["scripts"].split()) for row in _rows("scripts.csv")}


def known_scripts(code: str) -> tuple[str, ...]:
    """The scripts in which mmBERT's corpora have a language, the one with most text first.

    Args:
        code: ISO 639-3 code.

    Returns:
        ISO 15924 codes; none for a language that is not among the 1,833.
    """
    return _scripts().get(code, ("Latn",)) if code in known_codes() else ()

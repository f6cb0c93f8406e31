"""The official mixture against published counts, tables and figure: exact where it must be, foretold where it can."""

from dataclasses import replace

import pytest
from mmbert import Recipe
from mmbert.data.pretraining.published_counts import (
    OUTSIDE_SAMPLING,
    TEMPERATURES,
    implied_token_counts,
    natural_token_counts,
    planned_mixture,
    published_mixture,
)
from mmbert.languages.tags import published_token_counts

FIRST = [code for code in published_token_counts("pretrain") if code not in OUTSIDE_SAMPLING]


def published_shares(phase):
    counts = published_token_counts(phase)
    return {code: tokens / sum(counts.values()) for code, tokens in counts.items()}


def of_the_first(shares):
    """Shares among the 59 languages that every phase samples: FineWeb2's part of pre-training."""
    total = sum(shares[code] for code in FIRST)
    return {code: shares[code] / total for code in FIRST}


@pytest.mark.parametrize("phase", TEMPERATURES)
def test_a_phase_gives_back_its_own_shares(phase):
    assert published_mixture(phase).probabilities() == pytest.approx(published_shares(phase), rel=1e-9)


def test_english_and_code_are_the_published_shares():
    found = {phase: published_mixture(phase).probabilities() for phase in TEMPERATURES}
    in_percent = {phase: (round(100 * p["eng"], 1), round(100 * p["code"], 2)) for phase, p in found.items()}
    assert in_percent == {
        "pretrain": (34.5, 5.13),
        "ext": (12.1, 3.33),
        "decay-mid": (13.2, 3.15),
        "decay-eng": (17.9, 3.12),
        "decay-all": (10.1, 5.51),  # 10.15 to two digits
    }


def test_russian_falls_as_the_paper_draws_it():
    """Its figure is the formula on the languages of pre-training: 9.6, 6.8, 4.3 % of their text."""
    natural = natural_token_counts()
    foretold = [of_the_first(published_mixture(phase, natural).probabilities())["rus"] for phase in TEMPERATURES]
    assert [round(100 * share, 1) for share in foretold] == [9.6, 6.8, 4.3, 4.3, 4.3]
    # What was then read, by the counts: the decays are a little steeper than the figure.
    read = {phase: round(100 * of_the_first(published_shares(phase))["rus"], 1) for phase in TEMPERATURES}
    assert read == {"pretrain": 9.6, "ext": 6.8, "decay-eng": 4.5, "decay-mid": 4.6, "decay-all": 4.4}


# Foretold from the counts of the phase in which a language enters: median and largest error of a share among the first
# 59, and the mass in the wrong place over all languages. Mid-training is exact but for Xhosa; the decays exchanged part
# of the text (FineWeb2-HQ, Wikipedia) and read their smallest languages whole, so they can only be near.
@pytest.mark.parametrize(
    ("phase", "median", "largest", "misplaced"),
    [
        ("ext", 0.003, 0.18, 0.002),
        ("decay-eng", 0.035, 0.13, 0.02),
        ("decay-mid", 0.055, 0.22, 0.03),
        ("decay-all", 0.055, 0.48, 0.04),
    ],
)
def test_later_phases_are_foretold(phase, median, largest, misplaced):
    read, foretold = published_shares(phase), published_mixture(phase, natural_token_counts()).probabilities()
    errors = sorted(abs(foretold[code] / read[code] - 1) for code in FIRST)
    assert errors[len(errors) // 2] < median
    assert errors[-1] < largest
    assert sum(abs(foretold[code] - read[code]) for code in read) / 2 < misplaced


def test_mid_training_is_foretold_within_two_percent():
    read = published_shares("ext")
    foretold = published_mixture("ext", natural_token_counts()).probabilities()
    assert sorted(code for code in FIRST if abs(foretold[code] / read[code] - 1) > 0.02) == ["por", "xho"]


def test_a_wrong_temperature_would_be_seen():
    """The check above means something: at twice the temperature it fails by far."""
    amounts = implied_token_counts("pretrain")
    shares = published_mixture("ext", {**natural_token_counts(), **{code: n**2 for code, n in amounts.items()}})
    read = published_shares("ext")
    errors = [abs(shares.probabilities()[code] / read[code] - 1) for code in FIRST]
    assert sum(error > 0.02 for error in errors) > 50


def test_every_language_has_an_amount():
    natural = natural_token_counts()
    assert len(natural) == 1832 and not set(OUTSIDE_SAMPLING) & set(natural)
    assert set(natural) | set(OUTSIDE_SAMPLING) == set(published_token_counts("decay-all"))
    assert natural["rus"] == pytest.approx(1.0)
    assert all(amount > 0 for amount in natural.values())


OFFICIAL = {
    "pretrain": "pretrain",
    "pretrain-late": "pretrain",
    "midtrain": "ext",
    "decay-eng": "decay-eng",
    "decay-cont": "decay-mid",
    "decay-all": "decay-all",
}


@pytest.mark.parametrize(
    ("name", "phase"),
    [("mmbert-base", phase) for phase in OFFICIAL if phase != "pretrain-late"]
    + [("mmbert-small", phase) for phase in OFFICIAL],
)
def test_the_official_recipes_read_the_official_mixture(name, phase):
    recipe = Recipe.load(name)
    phases = {**{one.name: one for one in recipe.phases}, **recipe.variants}
    published = OFFICIAL[phase]
    read = published_shares(published)
    planned = {tag.partition("_")[0]: p for tag, p in planned_mixture(phases[phase]).probabilities().items()}
    assert set(planned) == set(read)
    assert sum(planned.values()) == pytest.approx(1)
    for code in OUTSIDE_SAMPLING:
        assert planned[code] == pytest.approx(read[code], abs=6e-5)  # the YAML has four digits
    assert sum(abs(planned[code] - read[code]) for code in read) / 2 < 0.04
    new = set(read) - set(published_token_counts("ext"))  # 1,724 languages, a tenth of Decay-All
    assert sum(planned[code] for code in new) == pytest.approx(sum(read[code] for code in new), rel=0.1)


def test_two_scripts_share_the_text_of_a_language():
    recipe = Recipe.load("mmbert-base")
    phase = recipe.phases[0]
    languages = ("cmn_Hans", "cmn_Hant", *(tag for tag in phase.languages if tag != "cmn_Hani"))
    two = planned_mixture(replace(phase, languages=languages)).probabilities()
    assert two["cmn_Hans"] == two["cmn_Hant"]
    assert two["cmn_Hans"] / two["rus_Cyrl"] == pytest.approx(
        planned_mixture(phase).probabilities()["cmn_Hani"] / planned_mixture(phase).probabilities()["rus_Cyrl"] / 2**0.7
    )
    with pytest.raises(ValueError, match=r"nothing is published on the amount of text in hau_Latn"):
        planned_mixture(replace(phase, languages=(*languages, "hau_Latn")))


def test_unknown_phases_are_refused():
    with pytest.raises(ValueError, match="the published phases are pretrain, ext"):
        implied_token_counts("decay")

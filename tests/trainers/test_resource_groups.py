"""Resource groups follow the phase at which a language enters, however many phases there are."""

from dataclasses import replace

import pytest
from mmbert import Recipe
from mmbert.trainers.pretraining.eval_loss import resource_groups

LANGUAGES = ["code", "deu_Latn", "eng_Latn", "fao_Latn", "isl_Latn"]


@pytest.mark.parametrize("name", ["mmbert-base", "mmbert-small"])
def test_the_official_phases_make_the_three_groups(name):
    groups = resource_groups(Recipe.load(name), LANGUAGES, ["hau_Latn"])
    assert groups == {
        "code": "code",
        "deu_Latn": "high",
        "eng_Latn": "high",
        "fao_Latn": "low",  # decay-all only
        "hau_Latn": "low",  # held out, in no phase
        "isl_Latn": "mid",
    }


def test_a_phase_that_adds_nothing_makes_no_group(recipe):
    trained = ["deu_Latn", "ell_Grek", "eng_Latn", "fao_Latn", "rus_Cyrl"]
    plain = resource_groups(recipe, trained, [])
    assert plain == {"deu_Latn": "high", "eng_Latn": "high", "rus_Cyrl": "mid", "ell_Grek": "low", "fao_Latn": "low"}
    first, *rest = recipe.phases
    longer = replace(recipe, phases=(first, replace(first, name="again"), *rest))
    assert resource_groups(longer, trained, []) == plain


def test_one_phase_of_everything_is_one_group(recipe):
    alone = replace(recipe, phases=(recipe.phases[-1],), variants={})
    assert set(resource_groups(alone, LANGUAGES, []).values()) == {"high", "code"}

"""The study of the recipe's claims: its recipes differ in what they say, its intervals are a paired t-test's."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmbert.recipes import Recipe
from scipy.stats import ttest_rel

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RECIPES = sorted((BENCHMARKS / "claims").glob("*.yaml"))


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("claims_report")
    for name in ("claims_report", "support"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_all_runs_read_as_many_tokens_with_one_network(path):
    study, recipe = Recipe.from_yaml(BENCHMARKS / "claims" / "study.yaml"), Recipe.from_yaml(path)
    assert [phase.tokens for phase in recipe.phases] == [phase.tokens for phase in study.phases]
    assert recipe.model == study.model and "decay-all" in recipe.variants
    for name, variant in recipe.variants.items():
        assert variant.tokens == study.variants["decay-all"].tokens, name


def test_languages_are_grouped_by_the_better_ones_recipe(report):
    late = {"loss": {"a": 2.0, "b": 5.0}, "groups": {"a": "high", "b": "low"}}
    early = {"loss": {"a": 3.0, "b": 4.5}, "groups": {"a": "high", "b": "high"}}  # all are read from the start
    scores = {"study-decay-all": {1: late}, "start-decay-all": {1: early}}
    found = [report.effect_of(one, "loss", scores) for one in report.CLAIMS if one.than == "start-decay-all"]
    assert [one["effect"] for one in found] == [-0.5, 1.0], "the low ones, then the high ones"


def test_an_interval_is_that_of_a_paired_t_test(report, tmp_path):
    draw = np.random.default_rng(3)
    better = draw.normal(2.0, 0.1, 4)
    than = better + draw.normal(0.1, 0.01, 4)
    (tmp_path / "scores").mkdir()
    for model, losses in (("study-decay-all", better), ("mask15-decay-all", than)):
        for seed, loss in enumerate(losses.tolist(), 1):
            scores = {"loss": {"a": loss - 0.1, "b": loss + 0.1}, "groups": {"a": "high", "b": "low"}}
            path = tmp_path / "scores" / f"{model}-{seed}.json"
            path.write_text(json.dumps(scores | {"tatoeba": {"a": 0.5}, "sib200": {"a": 0.25}}))
    report.write_report(tmp_path)
    found = json.loads((tmp_path / "claims.json").read_text())
    (claim,) = (one for one in found if one["than"] == "mask15-decay-all" and one["measure"] == "loss")
    expected = ttest_rel(than, better).confidence_interval(0.95)
    np.testing.assert_allclose(claim["interval"], [expected.low, expected.high], rtol=1e-9)
    assert claim["seeds"] == [1, 2, 3, 4] and claim["verdict"] == "reproduced"
    (level,) = (one for one in found if one["than"] == "mask15-decay-all" and one["measure"] == "tatoeba")
    assert level["verdict"] == "too small to tell"
    assert {one["verdict"] for one in found if one["than"] == "start-decay-all"} == {"not run"}
    assert "falling masking is better than 15 % throughout" in (tmp_path / "claims.md").read_text()
    assert (tmp_path / "claims.png").stat().st_size > 5000

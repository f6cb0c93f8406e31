"""The outline and `mmbert recipe`: what they say of a plan, against the recipe itself and closed forms."""

import pytest
import typer
from mmbert import Recipe
from mmbert.cli.text.recipe import recipe as command
from mmbert.recipes.outline import outline
from typer.testing import CliRunner

app = typer.Typer()
app.command()(command)


def show(*arguments, columns="120"):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": columns})
    assert result.exit_code == 0, result.output
    return result.output


def test_the_outline_is_the_road():
    recipe = Recipe.load("mmbert-small")
    plan = outline(recipe)
    assert [s["name"] for s in plan["stable"]] == ["pretrain", "pretrain-late", "midtrain"]
    assert [s["name"] for s in plan["variants"]] == list(recipe.variants)
    assert [s["languages"] for s in plan["stable"]] == [60, 60, 109]
    assert {s["name"]: s["languages"] for s in plan["variants"]}["decay-all"] is None
    assert plan["stable"][0]["rows"] == (48, 4608)
    for phase in (*plan["stable"], *plan["variants"]):
        assert phase["tokens"] == pytest.approx({"p": 1.15e12, "m": 6e11, "d": 1e11}[phase["name"][0]], rel=0.05)
    ends = {s["first_token"] for s in plan["variants"]}
    assert ends == {plan["stable"][-1]["first_token"] + plan["stable"][-1]["tokens"]}


@pytest.mark.parametrize("name", ["demo", "mmbert-base"])
def test_a_curve_follows_the_closed_form(name):
    phase, outlined = Recipe.load(name).phases[0], outline(Recipe.load(name))["stable"][0]
    curve = outlined["curve"]
    assert curve["tokens"] == sorted(set(curve["tokens"])) and curve["tokens"][0] == 0
    for tokens, rate, rows in zip(*(curve[key] for key in ("tokens", "learning_rate", "rows")), strict=True):
        reached = tokens + rows * phase.context_length  # a step of the warm-up has the rate of where it ends
        warm = tokens < phase.warmup_tokens
        assert rate == pytest.approx(phase.learning_rate * (min(1, reached / phase.warmup_tokens) if warm else 1))
    # The picture shows the warm-ups: they have points of their own, however short they are.
    assert sum(tokens < phase.warmup_tokens for tokens in curve["tokens"]) >= 20
    if phase.batch_warmup_tokens:
        assert len(set(curve["rows"])) == phase.batch_rows // phase.batch_warmup_rows


def test_a_recipe_without_variants_has_its_phases_only(recipe):
    from dataclasses import replace

    plan = outline(replace(recipe, variants={}))
    assert [s["name"] for s in plan["stable"]] == ["pretrain", "midtrain", "decay"] and plan["variants"] == []


def test_the_command_shows_plan_and_sources():
    said = show("mmbert-base")
    rows = {line.strip()[:17].strip(): line.split() for line in said.splitlines() if line.strip()}
    assert rows["steps"][1:] == ["2,649"] * 3  # the last table with steps: the variants
    assert "500,164" in said and "15,895" in said
    assert "48 to 4,608" in said and "1,833 + code" in said and "1.6e-05 1-sqrt" in said
    assert rows["share of eng_Latn"][-3:] == ["17.9%", "13.2%", "10.2%"]
    for source in Recipe.load("mmbert-base").data.sources:
        assert source.id in said and source.licence in said
    words = " ".join(said.split())
    assert "pretrain 600B, midtrain 10B" in words and "gated, accept the terms" in words


def test_ids_can_be_copied_from_a_narrow_terminal():
    said = show("mmbert-small", columns="80")
    assert max(map(len, said.splitlines())) <= 80
    assert all(source.id in said for source in Recipe.load("mmbert-small").data.sources)


def test_a_recipe_of_ones_own_is_shown_and_drawn(recipe, tmp_path):
    said = show(tmp_path / "tiny.yaml", "--plot", tmp_path / "plans" / "tiny.png")
    assert "all" in said and "decay-eng" in said and "data sets" not in said
    assert (tmp_path / "plans" / "tiny.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

"""`extends`: what a file changes, what it leaves, and whose line an error names."""

import pytest
from mmbert import Recipe


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_changes_lie_over_the_recipe_below(tmp_path):
    path = write(
        tmp_path,
        "mine.yaml",
        """
extends: mmbert-base
data: {corpus: texts, sources: null}
optimizer: {eps: 1e-6}
phases:
  pretrain: {tokens: 20B, batch_rows: 512, batch_warmup_rows: null, batch_warmup_tokens: null}
  decay: {tokens: 1B}
variants: {decay-eng: null}
""",
    )
    mine, below = Recipe.from_yaml(path), Recipe.load("mmbert-base")
    assert mine.name == "mine"
    assert (mine.data.corpus, mine.data.tokenizer, mine.data.sources) == ("texts", below.data.tokenizer, ())
    assert (mine.optimizer.eps, mine.optimizer.betas) == (1e-6, (0.9, 0.95))
    assert mine.phases[0].tokens == 20_000_000_000 and mine.phases[0].batch_warmup_rows == 0
    assert mine.phases[0].languages == below.phases[0].languages
    # What a phase leaves out comes from the one before, as in any recipe: the batch goes on, the rate was stated.
    assert [phase.batch_rows for phase in mine.phases] == [512] * 3
    assert list(mine.variants) == ["decay-cont", "decay-all"]
    assert {phase.tokens for phase in mine.variants.values()} == {1_000_000_000}


def test_a_list_of_phases_replaces_them(tmp_path, recipe):
    write(tmp_path, "below.yaml", (tmp_path / "tiny.yaml").read_text(encoding="utf-8"))
    path = write(
        tmp_path,
        "mine.yaml",
        """
extends: below.yaml
name: other
phases:
  - {name: one, languages: all, temperature: 1, masking_ratio: 0.2, context_length: 64, rope_theta: 10000,
     tokens: 1k, batch_rows: 2, learning_rate: 1e-3}
variants: null
""",
    )
    mine = Recipe.from_yaml(path)
    assert (mine.name, [phase.name for phase in mine.phases], mine.variants) == ("other", ["one"], {})
    assert mine.model == recipe.model and mine.seed == 7


def test_recipes_extend_each_other(tmp_path):
    write(tmp_path, "a.yaml", "extends: mmbert-base-mask25\nseed: 5\n")
    top = Recipe.from_yaml(write(tmp_path, "b.yaml", "extends: a.yaml\nphases: {midtrain: {tokens: 1B}}\n"))
    assert (top.seed, top.phases[0].masking_ratio, top.phases[1].tokens) == (5, 0.25, 1_000_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "seed: 1\nextends: nothing",
            r"mine.yaml line 2, extends: no recipe 'nothing'; shipped recipes are",
        ),
        ("extends: mine.yaml", r"mine.yaml line 1, extends: recipes extend each other in a circle"),
        ("extends: list.yaml", r"mine.yaml line 1, extends: list.yaml is no recipe"),
        (
            "extends: mmbert-base\nphases:\n  midtrain:\n    masking_ratio: 15",
            r"mine.yaml line 4, phases\[1\].masking_ratio: must be a ratio between 0 and 1, got 15.0",
        ),
        (
            "extends: mmbert-base\nphases:\n  middle: {}",
            r"mine.yaml line 3, phases.middle: changes no phase",
        ),
        ("extends: mmbert-base\nphases:\n  decay: 5", r"mine.yaml line 3, phases.decay: must be a mapping"),
        ("extends: mmbert-base\ncolour: red", r"mine.yaml line 2, colour: unknown key"),
        (
            "extends: mmbert-base\nvariants:\n  decay-all:\n    temperature: -1",
            r"mine.yaml line 4, variants.decay-all.temperature: must be a number >= 0",
        ),
    ],
)
def test_errors_name_the_line_of_the_file_that_extends(tmp_path, text, message):
    write(tmp_path, "list.yaml", "- 1")
    with pytest.raises(ValueError, match=message) as caught:
        Recipe.from_yaml(write(tmp_path, "mine.yaml", text))
    assert "\n" not in str(caught.value)

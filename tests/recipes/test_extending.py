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


def sources(recipe):
    return {(source.id, source.part): source for source in recipe.data.sources}


@pytest.mark.parametrize("name", ["mmbert-base", "mmbert-small"])
def test_sources_forget_the_variants_that_are_gone(tmp_path, name):
    below = Recipe.load(name)
    for gone in below.variants:
        text = f"extends: {name}\nvariants: {{{gone}: null}}\n"
        mine = Recipe.from_yaml(write(tmp_path, "mine.yaml", text))
        assert set(mine.variants) == set(below.variants) - {gone}
        for place, source in sources(below).items():
            left = tuple(phase for phase in source.phases if phase != gone)
            assert (place in sources(mine)) == bool(left)
            if left:
                assert sources(mine)[place].phases == left
                assert dict(sources(mine)[place].tokens) == {k: v for k, v in source.tokens.items() if k != gone}
    mine = Recipe.from_yaml(write(tmp_path, "mine.yaml", f"extends: {name}\nvariants: null\n"))
    assert not mine.variants and mine.data.sources
    assert {phase for source in mine.data.sources for phase in source.phases} <= {phase.name for phase in mine.phases}


LISTED = """
data:
  sources:
    - {id: some/web, phases: [one, two, late], licence: mit, tokens: {one: 1k, two: 2k}}
    - {id: some/books, phases: [two], licence: mit}
phases:
  - {name: one, languages: [eng_Latn], temperature: 1, masking_ratio: 0.2, context_length: 64, rope_theta: 10000,
     tokens: 1k, batch_rows: 2, learning_rate: 1e-3}
  - {name: two, masking_ratio: 0.1}
  - {name: three, masking_ratio: 0.05}
variants: {late: {tokens: 2k}}
"""


def test_a_phase_is_taken_away_with_what_only_it_read(tmp_path):
    write(tmp_path, "below.yaml", LISTED)
    text = "extends: below.yaml\nphases:\n  two: null\n  three: {masking_ratio: 0.15}\n"
    mine = Recipe.from_yaml(write(tmp_path, "mine.yaml", text))
    assert [(phase.name, phase.masking_ratio) for phase in mine.phases] == [("one", 0.2), ("three", 0.15)]
    web, *others = mine.data.sources
    assert (web.phases, dict(web.tokens), others) == (("one", "late"), {"one": 1000}, [])
    # The line of what changes in a phase that has moved up
    with pytest.raises(ValueError, match=r"mine.yaml line 4, phases\[1\].masking_ratio: must be a ratio"):
        Recipe.from_yaml(write(tmp_path, "mine.yaml", text.replace("0.15", "15")))
    # Sources of one's own are as they are written
    with pytest.raises(ValueError, match=r"line 3, data.sources\[0\].phases: names 'two', which is no phase"):
        own = "extends: below.yaml\ndata:\n  sources: [{id: my/text, phases: [two], licence: mit}]\nphases: {two: null}"
        Recipe.from_yaml(write(tmp_path, "mine.yaml", own))


def test_null_takes_away_only_what_is_below(tmp_path):
    write(tmp_path, "below.yaml", LISTED)
    text = "extends: below.yaml\nvariants:\n  decay-mine:\n  late: null\n"
    mine = Recipe.from_yaml(write(tmp_path, "mine.yaml", text))
    plain = Recipe.from_yaml(
        write(tmp_path, "plain.yaml", LISTED.replace("{late: {tokens: 2k}}", "{decay-mine: }").replace(", late]", "]"))
    )
    assert dict(mine.variants) == dict(plain.variants) and list(mine.variants) == ["decay-mine"]
    with pytest.raises(ValueError, match=r"mine.yaml line 2, optimizer.bettas: unknown key"):
        Recipe.from_yaml(write(tmp_path, "mine.yaml", "extends: below.yaml\noptimizer: {bettas: null}"))


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("phases: [{languages: all}]", r"below.yaml line 2, phases\[0\]: must be a mapping with a name, got \{'lang"),
        ("phases:\n  - name: one\n  - 5", r"below.yaml line 4, phases\[1\]: must be a mapping with a name, got 5"),
        ("phases:\n  - name: one\n  - name: one", r"below.yaml line 4, phases\[1\]: has the name one of an earlier"),
        ("phases: {one: {tokens: 1k}}", r"below.yaml line 2, phases: must be a list, got \{'one'"),
        ("phases: [{name: one}]\nvariants: [late]", r"below.yaml line 3, variants: must be a mapping, got \['late'\]"),
        ("seed: 3", r"mine.yaml line 2, phases.one: changes no phase; there are none"),
    ],
)
def test_a_recipe_below_without_shape_is_named(tmp_path, below, message):
    write(tmp_path, "below.yaml", f"name: below\n{below}\n")
    with pytest.raises(ValueError, match=message) as caught:
        Recipe.from_yaml(write(tmp_path, "mine.yaml", "extends: below.yaml\nphases: {one: {tokens: 2k}}\n"))
    assert "\n" not in str(caught.value)


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

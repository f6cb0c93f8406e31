"""Recipes: what they hold, what they inherit, and what they refuse, with the file, line and key."""

import pytest
from mmbert import Recipe
from mmbert.recipes import Phase
from mmbert.recipes.recipe import shipped_recipes

GOOD = """
name: good
phases:
  - name: pretrain
    languages: [eng_Latn, deu_Latn]
    temperature: 0.7
    masking_ratio: 0.3
    context_length: 1024
    rope_theta: 10000
    tokens: 2.3T
    batch_rows: 4608
    learning_rate: 8e-4
  - name: midtrain
    languages: {add: [fao_Latn]}
    temperature: 0.5
    masking_ratio: 0.15
    context_length: 8192
    rope_theta: 160000
    tokens: 600B
"""


def write(tmp_path, text):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_holds_what_the_file_says(tmp_path):
    recipe = Recipe.from_yaml(write(tmp_path, GOOD))
    first, second = recipe.phases
    assert (first.tokens, first.learning_rate, first.languages) == (2_300_000_000_000, 8e-4, ("eng_Latn", "deu_Latn"))
    assert second.languages == ("eng_Latn", "deu_Latn", "fao_Latn")
    assert (second.batch_rows, second.learning_rate) == (4608, 8e-4)  # taken from the phase before
    assert (second.temperature, second.masking_ratio, second.context_length, second.rope_theta) == (
        0.5,
        0.15,
        8192,
        160000,
    )


def test_numbers_and_tags_as_people_write_them(tmp_path, caplog):
    text = GOOD.replace("2.3T", "10,000,000").replace("[eng_Latn, deu_Latn]", "[eng_Latn, deu_Latn, qaa_Latn]")
    (tmp_path / "my.yaml").write_text(text)
    read = Recipe.from_yaml(tmp_path / "my.yaml")
    assert (read.phases[0].tokens, read.phases[0].languages[-1]) == (10_000_000, "qaa_Latn")
    assert "phases[0].languages: language tag 'qaa_Latn' is not known" in caplog.text
    caplog.clear()
    (tmp_path / "my.yaml").write_text(text + "data: {corpus: x, extra_languages: [qaa]}\n")
    assert Recipe.from_yaml(tmp_path / "my.yaml") and not caplog.text


def test_steps_are_tokens_over_batch(tmp_path):
    second = Recipe.from_yaml(write(tmp_path, GOOD)).phases[1]
    assert second.steps == round(600e9 / (4608 * 8192))  # recipe.md 3.5: about 15.9k steps


def test_warm_up_and_decay_are_not_inherited(recipe):
    pretrain, midtrain, decay = recipe.phases
    assert pretrain.warmup_tokens == 1024
    assert (midtrain.warmup_tokens, midtrain.decay, decay.decay) == (0, "none", "1-sqrt")


def test_variants_replace_the_last_phase(recipe):
    assert [phase.name for phase in recipe.schedule().phases] == ["pretrain", "midtrain"]
    assert [phase.name for phase in recipe.schedule("decay-eng").phases] == ["pretrain", "midtrain", "decay-eng"]
    english = recipe.variants["decay-eng"]
    assert english.languages == ("eng_Latn", "deu_Latn", "rus_Cyrl")
    assert (english.shares, english.decay, english.masking_ratio) == ({"eng_Latn": 0.5}, "1-sqrt", 0.05)
    with pytest.raises(ValueError, match=r"no variant 'decay-fra'; did you mean decay-"):
        recipe.schedule("decay-fra")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("temperature: 0.7", "temprature: 0.7", r"my.yaml line 6, phases\[0\].temprature: unknown key"),
        ("masking_ratio: 0.3", "masking_ratio: 30", r"line 7, phases\[0\].masking_ratio: .*between 0 and 1, got 30"),
        ("masking_ratio: 0.3", "masking_ratio: 0", r"line 7, phases\[0\].masking_ratio: .*write 0.15 for 15 %"),
        ("temperature: 0.7", "temperature: -1", r"line 6, phases\[0\].temperature: .*>= 0, got -1"),
        ("temperature: 0.7", "temperature: warm", r"line 6, phases\[0\].temperature: expected a finite number"),
        ("tokens: 2.3T", "tokens: 2.3X", r"line 10, phases\[0\].tokens: expected a finite number, got '2.3X'"),
        ("tokens: 2.3T", "tokens: 10.5", r"line 10, phases\[0\].tokens: expected a whole number"),
        ("    tokens: 2.3T\n", "", r"phases\[0\].tokens: missing key"),
        ("languages: [eng_Latn, deu_Latn]", "languages: []", r"line 5, .*at least one language"),
        ("languages: [eng_Latn, deu_Latn]", "languages: [eng_Latn, eng_Latn]", r"line 5, .*eng_Latn twice"),
        ("languages: [eng_Latn, deu_Latn]", "languages: eng_Latn", r"line 5, .*`all` or a list"),
        (
            "languages: {add: [fao_Latn]}",
            "languages: [fao_Latn]",
            r"line 14, .*out of order: 'midtrain' drops deu",
        ),
        ("masking_ratio: 0.15", "masking_ratio: 0.5", r"line 16, .*out of order: goes from 0.3 in 'pretrain' to 0.5"),
        ("context_length: 8192", "context_length: 512", r"line 17, .*out of order: goes from 1024"),
        ("name: good", "name: good\ncheck_order: maybe", r"line 3, check_order: expected true or false, got 'maybe'"),
        ("name: good", "name: yes", r"line 2, name: expected text, got True; put it in quotes"),
        ("name: midtrain", "name: no", r"name: expected text, got False; put it in quotes"),
        ("name: midtrain", "name: pretrain", r"phases: must have names of their own"),
        ("name: good", "colour: red", r"line 2, colour: unknown key; a recipe knows name"),
        ("learning_rate: 8e-4", "learning_rate: 8e-4\n    decay: cosine", r"line 13, .*one of none, linear, 1-sqrt"),
        ("learning_rate: 8e-4", "shares: {fra_Latn: 0.1}\n    learning_rate: 8e-4", r"does not read"),
        ("learning_rate: 8e-4", "shares: {eng_Latn: 1.1}\n    learning_rate: 8e-4", r"between 0 and 1, got 1.1"),
        ("name: good", "name: good\nname: better", r"line 3, name: given twice"),
        ("name: good", "name: [", r"my.yaml is not YAML"),
        ("name: good", "on: true", r"line 2, on: unknown key"),
        ("name: good", "5: x", r"line 2, 5: unknown key"),
        ("learning_rate: 8e-4", "no: 1\n    learning_rate: 8e-4", r"line 12, phases\[0\].no: unknown key"),
        ("learning_rate: 8e-4", "shares: {no: 0.1}\n    learning_rate: 8e-4", r"shares.no: is a share of a language"),
        ("name: good", "? [a]\n: 1", r"line 2, the recipe: a key must be a word"),
        ("languages: [eng_Latn", "languages: [no, eng_Latn", r"languages: holds False.*such as nob_Latn"),
        ("languages: [eng_Latn", "languages: [xx, eng_Latn", r"line 5, phases\[0\].languages: .*'xx' is not known"),
        ("tokens: 2.3T", "tokens: 10,00", r"line 10, phases\[0\].tokens: expected a finite number, got '10,00'"),
        ("languages: [eng_Latn", "languages: [n, eng_Latn", r"languages: holds 'n'.*such as nob_Latn"),
        (
            "languages: [eng_Latn",
            "languages: [eng_Latn deu_Latn",
            r"languages: holds 'eng_Latn deu_Latn'.*no language tag",
        ),
    ],
)
def test_a_wrong_entry_is_refused_by_line_and_key(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message) as caught:
        Recipe.from_yaml(write(tmp_path, GOOD.replace(old, new, 1)))
    assert "\n" not in str(caught.value)


def test_no_file_and_no_mapping(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"shipped recipes are .*demo"):
        Recipe.from_yaml(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match=r"must be a mapping"):
        Recipe.from_yaml(write(tmp_path, "- 1"))
    with pytest.raises(ValueError, match=r"at least one phase"):
        Recipe.from_yaml(write(tmp_path, "name: empty"))
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: café".encode("latin-1"))
    with pytest.raises(ValueError, match=r"latin\.yaml is not UTF-8"):
        Recipe.from_yaml(path)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads(name):
    recipe = Recipe.load(name)
    assert recipe.phases
    assert all(isinstance(phase, Phase) for phase in recipe.variants.values())


def test_phases_out_of_order_are_for_studies(tmp_path):
    rising = GOOD.replace("masking_ratio: 0.15", "masking_ratio: 0.5").replace("name: good", "check_order: false")
    recipe = Recipe.from_yaml(write(tmp_path, rising))
    assert [phase.masking_ratio for phase in recipe.phases] == [0.3, 0.5]
    usual, told = (Recipe.from_yaml(write(tmp_path, GOOD + more)) for more in ("", "check_order: true\n"))
    assert usual.fingerprint() == told.fingerprint() != recipe.fingerprint()


def test_the_fingerprint_sees_every_change(tmp_path):
    one = Recipe.from_yaml(write(tmp_path, GOOD))
    same = Recipe.from_yaml(write(tmp_path, GOOD))
    other = Recipe.from_yaml(write(tmp_path, GOOD.replace("0.15", "0.16")))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("name", ["stable", "data", "pretrain", "../x"])
def test_a_variant_may_not_take_a_name_that_the_run_needs(tmp_path, name):
    text = GOOD + f"variants: {{'{name}': {{}}}}\n"
    with pytest.raises(ValueError, match=r"choose another|must be a file name"):
        Recipe.from_yaml(write(tmp_path, text))

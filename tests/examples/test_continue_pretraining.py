"""examples/continue_pretraining.py: which shares it plans, what it makes, what it says of every language."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import mmbert
import pytest
import torch
from mmbert import Recipe
from mmbert.data import ReadOptions, tokenize_corpus
from mmbert.data.heldout import HeldOut
from mmbert.modeling.tokenizer import build_tokenizer, save_tokenizer
from mmbert.trainers import RecipeRun
from safetensors.torch import load_file
from tests_support import TINY_RECIPE, documents

EXAMPLES = Path(mmbert.__file__).parent / "examples"
CONTINUED = """
model: {{checkpoint: {checkpoint}}}
data: {{corpus: {home}/corpus.jsonl, tokenizer: {tokenizer}, heldout_fraction: 0.1}}
phases:
  - name: adapt
    languages: {languages}
    temperature: 0.3
    masking_ratio: 0.15
    context_length: 32
    rope_theta: 160000
    tokens: 12k
    batch_rows: 16
    learning_rate: 3e-3
    warmup_tokens: 2k
  - name: decay
    masking_ratio: 0.05
    tokens: 6k
    decay: 1-sqrt
"""


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        yield importlib.import_module("continue_pretraining")


@pytest.fixture(scope="module")
def home(tmp_path_factory, tokenizer):
    """A corpus of five languages, and the tokenizer of a model on it."""
    folder = tmp_path_factory.mktemp("continue")
    save_tokenizer(tokenizer, folder / "words")
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as file:
        for document in documents(scale=2.0):
            file.write(json.dumps({"lang": document.language, "text": document.text}, ensure_ascii=False) + "\n")
    return folder


def plan(home, languages="[ell_Grek, fao_Latn, eng_Latn, deu_Latn]", checkpoint="words", tokenizer="words"):
    places = {"home": home, "checkpoint": home / checkpoint, "tokenizer": home / tokenizer}
    (home / "more.yaml").write_text(CONTINUED.format(languages=languages, **places), encoding="utf-8")
    return Recipe.from_yaml(home / "more.yaml")


def test_the_template_is_a_recipe_for_any_folder():
    recipe = Recipe.load("continue")
    adapt, decay = recipe.phases
    assert (adapt.masking_ratio, decay.masking_ratio) == (0.15, 0.05)
    assert adapt.reads_all and decay.reads_all and decay.decay == "1-sqrt"
    assert recipe.model["checkpoint"] == recipe.data.tokenizer
    assert recipe.road().learning_rate(recipe.road().steps - 1) < 0.1 * adapt.learning_rate


@pytest.mark.parametrize(
    ("languages", "replayed"),
    [
        ("[ell_Grek, fao_Latn, eng_Latn, deu_Latn]", ["deu_Latn", "eng_Latn"]),
        ("all", ["deu_Latn", "eng_Latn", "rus_Cyrl"]),
    ],
)
def test_old_languages_get_equal_parts_of_their_share(script, home, languages, replayed):
    recipe = script.with_replay(plan(home, languages), ["ell_Grek", "fao_Latn"], 0.3)
    for phase in recipe.phases:
        assert sorted(phase.shares) == replayed
        assert set(phase.shares.values()) == {0.3 / len(replayed)}
        assert {"ell_Grek", "fao_Latn"} < set(phase.languages)


@pytest.mark.parametrize(
    ("new", "share", "message"),
    [
        (["swh_Latn"], 0.3, "the recipe does not read swh_Latn; it reads ell_Grek"),
        ([], 0.3, "there are 0 new"),
        (["ell_Grek"], 1.0, "--replay_share 1.0"),
        (["ell_Grek", "fao_Latn", "eng_Latn", "deu_Latn"], 0.3, "0 old languages"),
    ],
)
def test_what_makes_no_sense_is_refused(script, home, new, share, message):
    with pytest.raises(ValueError, match=message):
        script.with_replay(plan(home), new, share)


def test_another_tokenizer_is_refused_before_anything_is_trained(script, home):
    save_tokenizer(mmbert.train_tokenizer([document.text for document in documents()], 500), home / "others")
    with pytest.raises(ValueError, match="must be given and belong together"):
        script.with_replay(plan(home, tokenizer="others"), ["ell_Grek"], 0.3)


@pytest.fixture(scope="module")
def tokenized(home):
    """The corpus as `mmbert tokenize` leaves it."""
    options = ReadOptions(heldout_fraction=0.1)
    tokenize_corpus([str(home / "corpus.jsonl")], home / "tokens", build_tokenizer(home / "words"), options=options)
    return home / "tokens"


def over(tokenized, home, languages, data=""):
    text = CONTINUED.format(languages=languages, home=home, checkpoint=home / "words", tokenizer="?")
    head, _, tail = text.partition("data: {")
    path = home / "tokenized.yaml"
    path.write_text(f"{head}data: {{corpus: {tokenized}{data}}}{tail.partition('}')[2]}", encoding="utf-8")
    return Recipe.from_yaml(path)


@pytest.mark.parametrize("data", ["", ", tokenizer: nobody/unreachable"])
def test_a_tokenized_folder_brings_its_tokenizer_and_its_languages(script, home, tokenized, data):
    recipe = script.with_replay(over(tokenized, home, "all", data), ["ell_Grek", "fao_Latn"], 0.3)
    assert sorted(recipe.phases[0].shares) == ["deu_Latn", "eng_Latn", "rus_Cyrl"]


def test_another_tokenizer_than_that_of_the_folder_is_refused(script, home, tokenized):
    save_tokenizer(mmbert.train_tokenizer([document.text for document in documents()], 500), home / "fewer")
    recipe = over(tokenized, home, "all")
    with pytest.raises(ValueError, match=r"data\.tokenizer .*tokens/tokenizer must be given and belong together"):
        script.with_replay(replace(recipe, model={"checkpoint": str(home / "fewer")}), ["ell_Grek"], 0.3)


def test_of_a_tokenized_folder_only_what_is_read_or_watched_is_scored(script, home, tokenized):
    recipe = over(tokenized, home, "[deu_Latn, fao_Latn]")
    run = RecipeRun(recipe, home / "scored", tokens_a_language=300)
    assert run.heldout().languages == ["deu_Latn", "fao_Latn"] and set(run.groups()) == {"deu_Latn", "fao_Latn"}
    (extra,) = script.watched(run, ["rus_Cyrl"])
    everything = HeldOut(
        run.data.heldout, run.data.tokenizer, context_length=32, tokens_a_language=300, seed=recipe.seed
    )
    assert extra.languages == ["rus_Cyrl"] and not (home / "scored").exists()
    for one, language in ((extra, "rus_Cyrl"), (run.heldout(), "fao_Latn")):  # whatever stands beside it
        assert (one.rows(language).input_ids == everything.rows(language).input_ids).all()
        assert (one.rows(language).labels == everything.rows(language).labels).all()
    with pytest.raises(ValueError, match=r"--watch: .*heldout has no text in swh_Latn"):
        script.watched(run, ["swh_Latn"])
    with pytest.raises(ValueError, match=r"has no held-out text in swh_Latn; it has deu_Latn"):
        HeldOut(run.data.heldout, run.data.tokenizer, languages=["swh_Latn"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_trains_merges_and_compares(script, home, monkeypatch, capsys):
    data = f"data: {{corpus: {home / 'corpus.jsonl'}, vocabulary_size: 600, heldout_fraction: 0.1}}\n"
    (home / "base.yaml").write_text(TINY_RECIPE + data, encoding="utf-8")
    base = RecipeRun(Recipe.from_yaml(home / "base.yaml"), home / "base", arguments={"use_cpu": True})
    original = base.run([])["trunk"]
    plan(home, checkpoint="base/trunk/final", tokenizer="base/data/tokenizer")
    options = ["--recipe", home / "more.yaml", "--new", "ell_Grek,fao_Latn", "--watch", "rus_Cyrl", "--use_cpu"]
    arguments = [str(option) for option in ("continue", *options, "--output_dir", home / "out")]
    for _ in range(2):  # the second time everything is there
        monkeypatch.setattr(sys, "argv", arguments)
        script.main()
    printed = capsys.readouterr().out
    losses = json.loads((home / "out" / "before_after.json").read_text(encoding="utf-8"))
    assert list(losses) == ["before", "continued", "TIES", "average"]
    assert set(losses["before"]) == {"ell_Grek", "fao_Latn", "eng_Latn", "deu_Latn", "rus_Cyrl"}
    for language in ("ell_Grek", "fao_Latn"):
        assert losses["continued"][language] < losses["before"][language]
    rows = {line.split(" | ")[0].strip("| ") for line in printed.splitlines() if line.startswith("| ")}
    assert set(losses["before"]) < rows
    weights = [
        load_file(folder / "model.safetensors") for folder in (original, home / "out/trunk/final", home / "out/average")
    ]
    for before, after, average in zip(*(w.values() for w in weights), strict=True):
        torch.testing.assert_close(average, (before + after) / 2)

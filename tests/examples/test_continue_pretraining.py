"""mmbert continue: which shares it plans, what it makes, what it says of every language."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, Recipe, train_tokenizer
from mmbert.cli.training import continue_pretraining as script
from mmbert.common.options import comma_list
from mmbert.data import ReadOptions, tokenize_corpus
from mmbert.data.pretraining.heldout import HeldOut
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer
from mmbert.trainers import RecipeRun
from safetensors.torch import load_file
from tests_support import TINY_RECIPE, documents

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
    assert recipe.schedule().learning_rate(recipe.schedule().steps - 1) < 0.1 * adapt.learning_rate


@pytest.mark.parametrize(
    ("languages", "replayed"),
    [
        ("[ell_Grek, fao_Latn, eng_Latn, deu_Latn]", ["deu_Latn", "eng_Latn"]),
        ("all", ["deu_Latn", "eng_Latn", "rus_Cyrl"]),
    ],
)
def test_old_languages_get_equal_parts_of_their_share(home, languages, replayed):
    recipe = script.with_replay(plan(home, languages), ["ell_Grek", "fao_Latn"], 0.3)
    for phase in recipe.phases:
        assert sorted(phase.shares) == replayed
        assert set(phase.shares.values()) == {0.3 / len(replayed)}
        assert {"ell_Grek", "fao_Latn"} < set(phase.languages)


def changed(home, old, new):
    plan(home)
    text = (home / "more.yaml").read_text(encoding="utf-8")
    assert old in text
    (home / "changed.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    return Recipe.from_yaml(home / "changed.yaml")


def test_every_phase_keeps_its_own_languages(home):
    more = changed(home, "  - name: decay", "  - name: decay\n    languages: {add: [rus_Cyrl]}")
    adapt, decay = script.with_replay(more, ["ell_Grek", "fao_Latn"], 0.3).phases
    assert set(decay.languages) - set(adapt.languages) == {"rus_Cyrl"}
    assert adapt.shares == pytest.approx({"eng_Latn": 0.15, "deu_Latn": 0.15})
    assert decay.shares == pytest.approx({"eng_Latn": 0.1, "deu_Latn": 0.1, "rus_Cyrl": 0.1})
    later = script.with_replay(more, ["ell_Grek", "rus_Cyrl"], 0.3)
    assert "rus_Cyrl" in later.phases[1].languages and "rus_Cyrl" not in later.phases[1].shares
    with pytest.raises(ValueError, match=r"there are 0 new and 4 old languages in phase 'adapt'"):
        script.with_replay(more, ["rus_Cyrl"], 0.3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    temperature: 0.3",
            "    temperature: 0.3\n    shares: {eng_Latn: 0.1}",
            r"phase 'adapt' has shares for eng_Latn, but --replay_share 0.3 .*remove `shares`",
        ),
        (
            "    decay: 1-sqrt",
            "    decay: 1-sqrt\nvariants: {late: {}, later: {}}",
            r"recipe 'changed' has variants late, later, but one model is continued; make one",
        ),
    ],
)
def test_what_would_be_overwritten_is_refused(home, old, new, message):
    with pytest.raises(ValueError, match=message) as caught:
        script.with_replay(changed(home, old, new), ["ell_Grek"], 0.3)
    assert "\n" not in str(caught.value)


def test_other_options_make_other_merges_and_the_same_ones_none(home, tokenizer):
    size = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 8}
    for name in ("old", "new"):
        MmBertForMaskedLM(MmBertConfig(vocab_size=len(tokenizer), **size)).save_pretrained(home / name)
        save_tokenizer(tokenizer, home / name)
    old, new = (load_file(home / name / "model.safetensors") for name in ("old", "new"))
    output, times, changed = home / "merges", {}, {}
    for density, average in [(0.6, 0.5), (0.2, 0.5), (0.2, 0.75), (0.6, 0.5)]:
        options = script.ContinueOptions(new="ell_Grek", density=density, average=average)
        found = script.merged(plan(home, checkpoint="old"), home / "new", output, options)
        ties, mean = (load_file(found[name] / "model.safetensors") for name in ("TIES", "average"))
        for name, before in old.items():
            torch.testing.assert_close(mean[name], (1 - average) * before + average * new[name])
        changed[density] = sum(int((ties[name] != before).sum()) for name, before in old.items())
        for path in output.iterdir():  # what is there is not made again
            now = (path / "model.safetensors").stat().st_mtime_ns
            assert times.setdefault(path.name, now) == now
    assert 0 < changed[0.2] < changed[0.6]
    assert set(times) == {"ties-0.6", "ties-0.2", "average-0.5", "average-0.75"}


def test_what_is_watched_is_what_is_asked_for_now(home):
    run = RecipeRun(plan(home, "[deu_Latn, fao_Latn]"), home / "watching", tokens_per_language=300)
    for watch, held in [("rus_Cyrl", 1), ("ell_Grek,rus_Cyrl", 2), ("ell_Grek", 2)]:
        (extra,) = script.watched(run, comma_list(watch))
        assert extra.languages == list(comma_list(watch))
        assert len(extra.shards.languages) == held  # the last time nothing is written
    assert script.watched(run, []) == []


@pytest.mark.parametrize(
    ("new", "share", "message"),
    [
        (["swh_Latn"], 0.3, "the recipe does not read swh_Latn; it reads ell_Grek"),
        ([], 0.3, "there are 0 new"),
        (["ell_Grek"], 1.0, "--replay_share 1.0"),
        (["ell_Grek", "fao_Latn", "eng_Latn", "deu_Latn"], 0.3, "0 old languages"),
    ],
)
def test_what_makes_no_sense_is_refused(home, new, share, message):
    with pytest.raises(ValueError, match=message):
        script.with_replay(plan(home), new, share)


def test_another_tokenizer_is_refused_before_anything_is_trained(home):
    save_tokenizer(train_tokenizer([document.text for document in documents()], 500), home / "others")
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
def test_a_tokenized_folder_brings_its_tokenizer_and_its_languages(home, tokenized, data):
    recipe = script.with_replay(over(tokenized, home, "all", data), ["ell_Grek", "fao_Latn"], 0.3)
    assert sorted(recipe.phases[0].shares) == ["deu_Latn", "eng_Latn", "rus_Cyrl"]


def test_another_tokenizer_than_that_of_the_folder_is_refused(home, tokenized):
    save_tokenizer(train_tokenizer([document.text for document in documents()], 500), home / "fewer")
    recipe = over(tokenized, home, "all")
    with pytest.raises(ValueError, match=r"data\.tokenizer .*tokens/tokenizer must be given and belong together"):
        script.with_replay(replace(recipe, model={"checkpoint": str(home / "fewer")}), ["ell_Grek"], 0.3)


def test_of_a_tokenized_folder_only_what_is_read_or_watched_is_scored(home, tokenized):
    recipe = over(tokenized, home, "[deu_Latn, fao_Latn]")
    run = RecipeRun(recipe, home / "scored", tokens_per_language=300)
    assert run.heldout().languages == ["deu_Latn", "fao_Latn"] and set(run.groups()) == {"deu_Latn", "fao_Latn"}
    (extra,) = script.watched(run, ["rus_Cyrl"])
    everything = HeldOut(
        run.data.heldout, run.data.tokenizer, context_length=32, tokens_per_language=300, seed=recipe.seed
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
def test_it_trains_merges_and_compares(home, monkeypatch, capsys):
    data = f"data: {{corpus: {home / 'corpus.jsonl'}, vocabulary_size: 600, heldout_fraction: 0.1}}\n"
    (home / "base.yaml").write_text(TINY_RECIPE + data, encoding="utf-8")
    base = RecipeRun(Recipe.from_yaml(home / "base.yaml"), home / "base", arguments={"use_cpu": True})
    original = base.run([])["stable"]
    plan(home, checkpoint="base/stable/final", tokenizer="base/data/tokenizer")
    options = ["--recipe", home / "more.yaml", "--new", "ell_Grek,fao_Latn", "--watch", "rus_Cyrl", "--use_cpu"]
    arguments = [str(option) for option in ("continue", *options, "--output_dir", home / "out")]
    for more in (["--density", "0.2"], [], []):  # the second time only a merge is new, the third nothing
        monkeypatch.setattr(sys, "argv", [*arguments, *more])
        capsys.readouterr()
        script.main()
    printed = capsys.readouterr().out
    assert {path.name for path in (home / "out").glob("*-*")} == {"ties-0.2", "ties-0.6", "average-0.5"}
    losses = json.loads((home / "out" / "before_after.json").read_text(encoding="utf-8"))
    assert list(losses) == ["before", "continued", "TIES", "average"]
    assert set(losses["before"]) == {"ell_Grek", "fao_Latn", "eng_Latn", "deu_Latn", "rus_Cyrl"}
    for language in ("ell_Grek", "fao_Latn"):
        assert losses["continued"][language] < losses["before"][language]
    rows = {line.split(" | ")[0].strip("| ") for line in printed.splitlines() if line.startswith("| ")}
    assert set(losses["before"]) < rows
    weights = [
        load_file(folder / "model.safetensors")
        for folder in (original, home / "out/stable/final", home / "out/average-0.5")
    ]
    for before, after, average in zip(*(w.values() for w in weights), strict=True):
        torch.testing.assert_close(average, (before + after) / 2)

"""From a data plan to tokenizer and shards: once, in the languages of the phases, and refused for another plan."""

import json
from dataclasses import replace

import pytest
from mmbert.common.messages import speaking
from mmbert.data import ReadOptions, ShardOptions, tokenize_corpus, write_shards
from mmbert.data.corpora.base import is_heldout
from mmbert.data.pretraining import HeldOut
from mmbert.data.tokenization import balanced_texts, open_planned_corpus, prepare
from mmbert.recipes import Recipe
from tests_support import TINY_RECIPE, documents


@pytest.fixture
def planned(tmp_path):
    """Return a function that writes the corpus and a recipe over it."""

    def write(data="vocabulary_size: 600, heldout_fraction: 0.2", recipe=TINY_RECIPE):
        corpus = tmp_path / "corpus.jsonl"
        rows = [json.dumps({"lang": d.language, "text": d.text}, ensure_ascii=False) for d in documents()]
        corpus.write_text("\n".join(rows), encoding="utf-8")
        path = tmp_path / "planned.yaml"
        path.write_text(f"{recipe}\ndata: {{corpus: {corpus}, {data}}}\n", encoding="utf-8")
        return Recipe.from_yaml(path)

    return write


def test_a_plan_is_carried_out_once(planned, tmp_path):
    recipe = planned()
    first = prepare(recipe, tmp_path / "data")
    stamp = (tmp_path / "data" / "train" / "index.json").stat().st_mtime_ns
    second = prepare(recipe, tmp_path / "data")
    assert (tmp_path / "data" / "train" / "index.json").stat().st_mtime_ns == stamp
    assert first.train.fingerprint == second.train.fingerprint
    assert len(first.tokenizer) == 600
    assert first.train.tokenizer_fingerprint == first.heldout.tokenizer_fingerprint


def test_it_is_what_the_tokenize_command_makes(planned, tmp_path):
    """One pipeline: any number of processes, resumed after a failure, the same bytes."""
    recipe = planned()
    data = prepare(recipe, tmp_path / "data")
    options = ReadOptions(heldout_fraction=0.2)
    made = tokenize_corpus(
        recipe.data.corpus, tmp_path / "made", data.tokenizer, options=options, shard_options=ShardOptions()
    )
    assert {split: made[split].index["languages"] for split in made} == {
        "train": data.train.index["languages"],
        "heldout": data.heldout.index["languages"],
    }
    again = prepare(recipe, tmp_path / "again", processes=2)
    assert (again.train.fingerprint, again.heldout.fingerprint) == (data.train.fingerprint, data.heldout.fingerprint)


def test_an_interrupted_preparation_goes_on_with_its_tokenizer(planned, tmp_path, monkeypatch):
    recipe = planned()
    expected = prepare(recipe, tmp_path / "whole").train.fingerprint
    with monkeypatch.context() as patch:
        patch.setattr("mmbert.data.tokenization.pipeline.write_languages", lambda *_, **__: 1 / 0)  # a kill
        with pytest.raises(ZeroDivisionError):
            prepare(recipe, tmp_path / "data")
    assert not (tmp_path / "data").exists() and (tmp_path / ".data.tokenizing" / "tokenizer").is_dir()
    monkeypatch.setattr("mmbert.data.tokenization.recipe_data.train_tokenizer", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # another plan trains its own
        prepare(replace(recipe, data=replace(recipe.data, vocabulary_size=500)), tmp_path / "data")
    assert prepare(recipe, tmp_path / "data").train.fingerprint == expected
    assert not (tmp_path / ".data.tokenizing").exists()


@pytest.mark.slow
def test_the_catalogues_are_a_source_like_any_other(tmp_path):
    """Shards of the demo's corpus against its own documents, in two processes."""
    pytest.importorskip("pycountry")
    text = TINY_RECIPE.split("variants:")[0].replace("languages: all", "languages: {add: [fao_Latn]}")
    (tmp_path / "small.yaml").write_text(
        f"{text}\ndata: {{corpus: catalogues, packages: [pycountry], heldout_fraction: 0.2, vocabulary_size: 600}}\n"
    )
    recipe = Recipe.from_yaml(tmp_path / "small.yaml")
    data = prepare(recipe, tmp_path / "data", processes=2)
    corpus = open_planned_corpus(recipe)
    for split, shards in (("train", data.train), ("heldout", data.heldout)):
        own = write_shards(corpus.documents(split), data.tokenizer, tmp_path / split)
        assert own.index["languages"] == shards.index["languages"] and "fao_Latn" in shards.languages


def test_without_heldout_text_the_remedy_is_named(planned, tmp_path):
    with pytest.raises(ValueError, match=r"data has no heldout/index.json: .*`heldout_fraction` in the `data` section"):
        prepare(planned("vocabulary_size: 600, heldout_fraction: 0.0"), tmp_path / "data")


def test_a_corpus_without_a_training_document_is_told(planned, tmp_path):
    recipe = planned()
    (tmp_path / "corpus.jsonl").write_text('{"lang": "eng_Latn", "text": "hi"}\n')
    assert is_heldout("hi", 0.2)
    with pytest.raises(ValueError, match="holds no text to train on: it is empty, or held out as a whole"):
        prepare(recipe, tmp_path / "data")


def test_remedies_are_in_the_words_of_a_recipe(planned, tmp_path):
    """Whatever command runs it, and in worker processes too: `mmbert pretrain` has no --on-bad-row."""
    recipe = planned()
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(corpus.read_text(encoding="utf-8") + '\n{"lang": "eng_Latn", "text": ""}\n', encoding="utf-8")
    with speaking("command"), pytest.raises(ValueError, match=r"empty document; .* `on_bad_row: skip` in the recipe's"):
        prepare(recipe, tmp_path / "data")
    again = planned("vocabulary_size: 600, heldout_fraction: 0.2, on_bad_row: skip, extra_languages: qaa")
    corpus.write_text(corpus.read_text(encoding="utf-8") + '\n{"lang": "eng_Latn", "text": ""}\n', encoding="utf-8")
    assert "eng_Latn" in prepare(again, tmp_path / "again", processes=2).train.languages


def test_an_unfinished_preparation_is_done_again(planned, tmp_path):
    recipe = planned()
    first = prepare(recipe, tmp_path / "data").train.fingerprint
    (tmp_path / "data" / "plan.json").unlink()  # what a kill before the last file leaves
    (tmp_path / "data" / "preparing").touch()
    (tmp_path / "data" / "train" / "eng_Latn.tokens").unlink()
    assert prepare(recipe, tmp_path / "data").train.fingerprint == first


def test_another_plan_is_refused(planned, tmp_path):
    prepare(planned(), tmp_path / "data")
    with pytest.raises(ValueError, match="holds the data of another plan"):
        prepare(planned("vocabulary_size: 500"), tmp_path / "data")


def test_a_damaged_plan_is_named(planned, tmp_path):
    prepare(planned(), tmp_path / "data")
    (tmp_path / "data" / "plan.json").write_text('{"corpus":', encoding="utf-8")
    with pytest.raises(ValueError, match=r"data/plan\.json: not valid JSON .* to prepare the data again"):
        prepare(planned(), tmp_path / "data")


def test_only_the_languages_of_the_phases_are_read(planned, tmp_path):
    recipe = planned(recipe=TINY_RECIPE.replace("languages: all", "languages: {add: [fao_Latn]}").split("variants:")[0])
    assert recipe.languages == ["deu_Latn", "eng_Latn", "fao_Latn", "rus_Cyrl"]
    assert prepare(recipe, tmp_path / "data").train.languages == recipe.languages


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("colour: red", r"data.colour: unknown key; this corpus knows language_column"),
        ("heldout_fraction: 2", "heldout"),
    ],
)
def test_bad_plans(planned, data, message):
    with pytest.raises(ValueError, match=message):
        open_planned_corpus(planned(data))


def test_no_corpus(tmp_path, recipe):
    with pytest.raises(ValueError, match=r"data\.corpus is missing"):
        prepare(recipe, tmp_path / "data")


def test_a_recipe_of_data_sets_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"lists 20 data sets and no corpus .*mmbert tokenize.*mmbert recipe"):
        prepare(Recipe.load("mmbert-base"), tmp_path / "data")


def test_small_languages_are_lifted_for_the_vocabulary(planned):
    corpus = open_planned_corpus(planned())
    everything = sum(len(document.text) for document in corpus.documents("train"))
    texts = list(balanced_texts(corpus, everything // 4))
    sizes = {d.language: 0 for d in documents()}
    language_of = {d.text: d.language for d in documents()}
    for text in texts:
        sizes[language_of[text]] += len(text)
    assert len(texts) == len(set(texts))
    assert sum(sizes.values()) == pytest.approx(everything / 4, rel=0.25)
    assert sizes["eng_Latn"] < 6 * sizes["fao_Latn"]  # 20 times as large in the corpus, 4.5 times after the root


def test_heldout_rows_are_the_same_every_time_and_masked_at_the_fixed_ratio(heldout_shards, tokenizer):
    def rows(language):
        return HeldOut(heldout_shards, tokenizer, context_length=32, tokens_per_language=500).rows(language)

    for language in heldout_shards.languages:
        one, two = rows(language), rows(language)
        assert (one.input_ids == two.input_ids).all() and (one.labels == two.labels).all()
        assert one.lengths.sum() == len(one.input_ids)
    one = rows("eng_Latn")
    assert (one.labels != -100).sum() / (len(one.labels) - 2 * len(one.lengths)) == pytest.approx(0.15, abs=0.08)


def test_a_directory_of_something_else_is_left_alone(planned, tmp_path):
    (tmp_path / "mine" / "train").mkdir(parents=True)  # a corpus often lies in a folder of this name
    (tmp_path / "mine" / "train" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds other files \(train\); choose an empty directory"):
        prepare(planned(), tmp_path / "mine")
    assert (tmp_path / "mine" / "train" / "thesis.txt").read_text() == "years of work"

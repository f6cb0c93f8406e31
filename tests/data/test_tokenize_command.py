"""`mmbert tokenize`: sources and options of the command line, parts and their joining, one line for bad input."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mmbert.cli import app
from mmbert.data import TokenShards
from mmbert.data.tokenization.recipe_data import planned_languages, prepare
from mmbert.modeling.tokenization_mmbert import save_tokenizer, train_tokenizer
from mmbert.recipes import Recipe
from tests_support import TINY_RECIPE, documents
from typer.testing import CliRunner


@pytest.fixture
def place(tmp_path, tokenizer, monkeypatch):
    """A folder with a corpus and a tokenizer, which is the current one."""
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"lang": d.language, "body": d.text}, ensure_ascii=False) for d in documents()]
    Path("corpus.jsonl").write_text("\n".join(rows), encoding="utf-8")
    save_tokenizer(tokenizer, "tok")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, ["tokenize", *arguments])


COMMON = ["--tokenizer", "tok", "--text-column", "body", "--heldout-fraction", "0.1"]


def test_a_corpus_becomes_a_folder_that_recipes_read(place):
    done = run("corpus.jsonl", "out", *COMMON, "--source-name", "words", "--licence", "CC0-1.0")
    assert done.exit_code == 0, done.exception
    assert "train: " in done.output and "heldout: " in done.output
    shards = TokenShards("out/train")
    source = {"name": "words", "version": "local files", "licence": "CC0-1.0", "url": ""}
    assert shards.index["sources"] == [source] and shards.index["deduplicated"]
    Path("r.yaml").write_text(f"{TINY_RECIPE}\ndata: {{corpus: out}}\n")
    data = prepare(Recipe.from_yaml("r.yaml"), Path("run"))
    assert data.train.fingerprint == shards.fingerprint and not Path("run").exists()
    Path("r.yaml").write_text(f"{TINY_RECIPE}\ndata: {{corpus: out, heldout_fraction: 0.5}}\n")
    with pytest.raises(ValueError, match=r"data\.heldout_fraction cannot change out, which is tokenized"):
        prepare(Recipe.from_yaml("r.yaml"), Path("run"))


def over(name, data, **changes):
    """Write a recipe that extends an official one over the tokenized folder, and prepare it."""
    path = Path(f"{name}.yaml")
    path.write_text(json.dumps({"extends": name, "data": {"corpus": "out", **data}, **changes}))
    return prepare(Recipe.from_yaml(path), Path("run"))


@pytest.mark.parametrize("name", ["mmbert-base", "mmbert-small"])
def test_an_official_recipe_reads_the_folder_with_the_tokenizer_that_made_it(place, name, caplog):
    assert run("corpus.jsonl", "out", *COMMON).exit_code == 0
    with caplog.at_level("INFO", logger="mmbert"):
        data = over(name, {})
    assert data.train.fingerprint == TokenShards("out/train").fingerprint and len(data.tokenizer) == 600
    said = [record.getMessage() for record in caplog.records if "data.tokenizer" in record.getMessage()]
    assert len(said) == 1 and f"jhu-clsp/{name.replace('mmbert', 'mmBERT')}" in said[0] and "out/tokenizer" in said[0]


def test_a_named_tokenizer_must_be_that_of_the_folder(place):
    assert run("corpus.jsonl", "out", *COMMON).exit_code == 0
    for same in ("tok", "tok/tokenizer.json", str(place / "out" / "tokenizer"), "nobody/unreachable"):
        assert len(over("mmbert-base", {"tokenizer": same, "vocabulary_size": 600}).tokenizer) == 600
    save_tokenizer(train_tokenizer([d.text for d in documents()], 500), "others")
    refused = r"data\.tokenizer others \(500 tokens\) is not out/tokenizer \(600 tokens\), which out is tokenized with"
    with pytest.raises(ValueError, match=refused):
        over("mmbert-base", {"tokenizer": "others"})
    with pytest.raises(FileNotFoundError, match=r"gone/away/tok does not exist"):
        over("mmbert-base", {"tokenizer": "gone/away/tok"})
    with pytest.raises(ValueError, match=r"vocabulary_size is 700, but out is tokenized with 600 tokens"):
        over("mmbert-base", {"vocabulary_size": 700})


def test_the_languages_of_a_tokenized_folder_are_known(place):
    assert run("corpus.jsonl", "out", *COMMON).exit_code == 0
    Path("r.yaml").write_text(f"{TINY_RECIPE}\ndata: {{corpus: out}}\n")
    recipe = Recipe.from_yaml("r.yaml")
    assert planned_languages(recipe) == ["deu_Latn", "ell_Grek", "eng_Latn", "fao_Latn", "rus_Cyrl"]
    first = replace(recipe, phases=recipe.phases[:1], variants={})
    assert planned_languages(first) == ["deu_Latn", "eng_Latn"]


def test_the_first_rank_alone_compares_checksums(place, monkeypatch):
    assert run("corpus.jsonl", "out", *COMMON).exit_code == 0
    Path("r.yaml").write_text(f"{TINY_RECIPE}\ndata: {{corpus: out}}\n")
    path = Path("out/train/deu_Latn.tokens")
    path.write_bytes(bytes(4) + path.read_bytes()[4:])
    monkeypatch.setenv("RANK", "1")
    assert prepare(Recipe.from_yaml("r.yaml"), Path("run")).train.tokens("deu_Latn")[0] == 0
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match=r"deu_Latn\.tokens is not what was written"):
        prepare(Recipe.from_yaml("r.yaml"), Path("run"))


def test_what_is_tokenized_already_is_not_tokenized_again(place):
    assert run("corpus.jsonl", "out", *COMMON).exit_code == 0
    Path("r.yaml").write_text(f"{TINY_RECIPE}\ndata: {{corpus: out}}\n")
    done = run("r.yaml", "--output", "again")
    assert done.exit_code != 0 and "out, the corpus of r.yaml, is tokenized already" in str(done.exception)
    assert not Path("again").exists()


def test_parts_are_joined(place):
    assert run("corpus.jsonl", "whole", *COMMON).exit_code == 0
    for number in (1, 2):
        done = run("corpus.jsonl", "-o", f"p{number}", *COMMON, "--part", f"{number}/2")
        assert done.exit_code == 0 and "join all parts" in done.output
    assert run("--join", "p2", "p1", "joined").exit_code == 0
    assert TokenShards("joined/train").fingerprint == TokenShards("whole/train").fingerprint


def test_cuts_are_told(place):
    done = run("corpus.jsonl", "out", *COMMON, "--chunk-size", "34", "--languages", "fao_Latn,ell_Grek")
    assert done.exit_code == 0, done.exception
    assert "documents into" in done.output and TokenShards("out/train").languages == ["ell_Grek", "fao_Latn"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["corpus.jsonl"], "give SOURCE and OUTPUT"),
        (["corpus.jsonl", "out"], "corpus.jsonl is no recipe; name a --tokenizer"),
        (["a", "b", "out"], "2 sources need a --tokenizer"),
        (["corpus.jsonl", "out", "--tokenizer", "tok", "--part", "x"], "--part is 'x', but must be I/N"),
        (["corpus.jsonl", "out", "--tokenizer", "tok", "--on-bad-row", "x"], "on_bad_row='x' is none of error, skip"),
        (
            ["corpus.jsonl", "out", "--tokenizer", "tok"],
            "row 1: no text (no column 'text'; there are 'lang', 'body'; name the right one, text_column='COLUMN')",
        ),
        (["corpus.jsonl", "out", *COMMON, "--languages", "fra_Latn"], "holds no document in fra_Latn; check languages"),
        (["few.jsonl", "out", *COMMON[:-1], "0.9999999"], "all documents are held out; hold out fewer"),
        (
            ["blank.jsonl", "out", *COMMON, "--on-bad-row", "skip"],
            "the corpus has no text; left out: 2 x empty document.",
        ),
        (["nowhere.jsonl", "out", "--tokenizer", "tok"], "nowhere.jsonl does not exist"),
        (["corpus.jsonl", "out", *COMMON, "--chunk-size", "9"], "chunk_size is 9"),
        (["--join", "tok", "out"], "tok is no part of a tokenization"),
        (
            ["demo", "-o", "out", "--chunk-size", "64"],
            "section of a recipe decides; leave out --chunk-size.",
        ),
        (["demo", "-o", "out", "--heldout-fraction", "0.01", "--part", "1/2"], "leave out --heldout-fraction, --part."),
        (["demo", "-o", "out", "--no-deduplicate"], "leave out --deduplicate."),
        (["demo", "-o", "out", "--languages", "eng_Latn", "--processes", "1"], "leave out --languages."),
        (["--join", "p1", "p2", "out", "--tokenizer", "tok"], "--join takes parts as they are; leave out --tokenizer."),
    ],
)
def test_bad_input(place, arguments, message):
    Path("few.jsonl").write_text('{"lang": "eng_Latn", "body": "the house"}\n')
    Path("blank.jsonl").write_text('{"lang": "eng_Latn", "body": " "}\n' * 2)
    done = run(*arguments)
    assert isinstance(done.exception, (ValueError, OSError)) and message in str(done.exception)
    assert "\n" not in str(done.exception) and not Path("out").exists()


def test_languages_without_heldout_text_are_named(place, caplog):
    Path("two").mkdir()
    Path("two/eng_Latn.txt").write_text("\n\n".join(f"the river rises {n} feet" for n in range(500)))
    Path("two/fao_Latn.txt").write_text("\n\n".join(f"the river {n}" for n in range(3)))
    with caplog.at_level("WARNING", logger="mmbert"):
        assert run("two", "out", *COMMON, "--heldout-fraction", "0.02").exit_code == 0
    assert "no held-out text in fao_Latn: no loss is reported there; raise the held-out fraction" in caplog.text

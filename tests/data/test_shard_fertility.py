"""Fertility of token shards: counts from ids equal those of the texts."""

import json

import mmbert
import pytest
from mmbert.data import Document, TokenShards, write_shards
from mmbert.data.tokenization.fertility import fertility_line, shard_fertility

TEXTS = {
    "eng_Latn": ["the river rises", "bread and salt"],
    "chr_Cher": ["ᎣᏏᏲ ꮳꮃꭹ"],  # no letter of it is in the vocabulary: three bytes each
    "deu_Latn": ["Größe 12", "the river " * 200],
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards") / "train"
    tokenizer = mmbert.train_tokenizer(["the river rises", "bread and salt"] * 20, vocab_size=300)
    documents = [Document(tag, text, "test") for tag, texts in TEXTS.items() for text in texts]
    write_shards(documents, tokenizer, folder)
    return shard_fertility(TokenShards(folder), tokenizer), tokenizer


def test_counts_are_those_of_the_texts(measured):
    found, tokenizer = measured
    for tag, texts in TEXTS.items():
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        pieces = [piece for one in ids for piece in tokenizer.convert_ids_to_tokens(one)]
        assert found[tag]["documents"] == len(texts)
        assert found[tag]["tokens"] == len(pieces)
        assert found[tag]["characters"] == sum(len(text) + 1 for text in texts)  # every document begins with a mark
        bytes_in = sum(piece.startswith("<0x") for piece in pieces)
        assert found[tag]["byte_tokens"] == pytest.approx(bytes_in / len(pieces))
        assert found[tag]["over_128"] == sum(len(one) + 2 > 128 for one in ids) / len(texts)
    assert found["chr_Cher"]["byte_tokens"] > 0.8


def test_the_line_names_the_finest_first(measured):
    line = fertility_line(measured[0])
    assert line.index("chr_Cher") < line.index("eng_Latn") and "byte tokens" in line
    assert fertility_line({}) == ""


def test_the_command_writes_it(tmp_path, measured):
    from mmbert.cli import app
    from typer.testing import CliRunner

    measured[1].save_pretrained(tmp_path / "tokenizer")
    rows = [{"lang": tag, "text": text} for tag, texts in TEXTS.items() for text in texts]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    call = ["tokenize", tmp_path / "rows.jsonl", tmp_path / "out", "--tokenizer", tmp_path / "tokenizer"]
    done = CliRunner().invoke(app, [*map(str, call), "--heldout-fraction", "0"])
    assert done.exit_code == 0, done.output
    assert "chr_Cher 2." in done.output and "byte tokens" in done.output
    assert set(json.loads((tmp_path / "out" / "fertility_train.json").read_text(encoding="utf-8"))) == set(TEXTS)

"""What a vocabulary does to a language: counts against counting by hand, the shipped table, and the command."""

import json
import unicodedata

import pytest
from mmbert.languages import LanguageFacts, cut_texts, length_report, measure_texts, reading_facts, shipped_facts
from mmbert.languages.fertility import by_script
from mmbert.modeling import train_tokenizer
from typer.testing import CliRunner

ENGLISH = ["the river rises", "the river rises by two feet in the night", "night"]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(ENGLISH * 5, vocab_size=330)


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    place = tmp_path_factory.mktemp("checkpoint")
    tokenizer.save_pretrained(place)
    return place


def test_counts_are_those_of_the_tokenizer(tokenizer):
    texts = [*ENGLISH, "Ꮳꮃꭹ", unicodedata.normalize("NFD", "é" * 5), " ", "the " * 400]
    facts = measure_texts("eng_Latn", texts, tokenizer)
    kept = [text for text in texts if text.strip()]
    ids = [tokenizer(text)["input_ids"][1:-1] for text in kept]
    tokens = sum(map(len, ids))
    names = [tokenizer.convert_ids_to_tokens(one) for one in ids]
    assert isinstance(facts, LanguageFacts) and facts.texts == 6 and facts.source == "measured"
    assert facts.tokens_per_word == pytest.approx(tokens / sum(len(text.split()) for text in kept))
    assert facts.tokens_per_character == pytest.approx(tokens / sum(map(len, kept)))
    assert facts.byte_share == pytest.approx(sum(n.startswith("<0x") for one in names for n in one) / tokens) != 0
    assert facts.over == {128: 1 / 6, 512: 0.0, 8192: 0.0} and max(map(len, ids)) + 2 > 128
    normal = sum(len(tokenizer(unicodedata.normalize("NFC", text))["input_ids"]) - 2 for text in kept)
    assert facts.not_nfc == pytest.approx(1 / 6) and facts.nfc_saves == pytest.approx(1 - normal / tokens)
    assert any("NFC" in line for line in facts.advice) and any("128 tokens" in line for line in facts.advice)
    assert (facts.phase, facts.name, facts.script) == (1, "English", "Latn")
    json.dumps(facts.to_dict())


def test_texts_without_blanks_or_in_another_script_or_language(tokenizer):
    thai = measure_texts("tha_Thai", ["แม่น้ำสูงขึ้น"], tokenizer)
    assert thai.tokens_per_word is None and thai.byte_share > 0.9 and any("byte by byte" in x for x in thai.advice)
    assert any("Cyrl, not Latn: check the tag" in x for x in measure_texts("deu_Latn", ["Река"], tokenizer).advice)
    assert measure_texts("und", ["река"], tokenizer).script == "Cyrl"
    assert any("not read" in line for line in measure_texts("hau_Latn", ["kogi"], tokenizer).advice)
    with pytest.raises(ValueError, match="no text of deu_Latn"):
        measure_texts("deu_Latn", ["", " "], tokenizer)


def test_shipped_table_agrees_with_what_was_measured_before():
    """Tokens for one English one on the declaration, as an independent measurement of the same texts gave them."""
    facts = {one.tag: one for one in shipped_facts()}
    assert len(facts) >= 450 and facts["eng_Latn"].relative_to_english == 1.0
    for tag, ratio in {"mya_Mymr": 6.4, "khm_Khmr": 5.4, "lao_Laoo": 5.1, "div_Thaa": 9.6, "san_Gran": 19.4}.items():
        assert facts[tag].relative_to_english == pytest.approx(ratio, abs=0.06), tag
    shares = {"chr_Cher": 0.67, "fuf_Adlm": 0.43, "vai_Vaii": 0.81, "khm_Khmr": 0.0}
    assert {tag: facts[tag].byte_share for tag in shares} == pytest.approx(shares, abs=0.01)
    ratios = sorted(one.relative_to_english for one in facts.values())
    assert ratios[len(ratios) // 2] == pytest.approx(2.1, abs=0.1)
    assert facts["khm_Khmr"].english_tokens_in_510 == pytest.approx(95, abs=1) and facts["khm_Khmr"].phase == 1
    assert list(by_script(facts.values()))[-1] in ("Latn", "Hans", "Jpan", "Hant", "Kore", "Hang")
    assert [one.tag for one in shipped_facts(["swh_Latn", "qqq_Latn", "deu_Latn"])] == ["swh_Latn", "deu_Latn"]
    assert shipped_facts(["kor_Kore", "cmn_Hani"])[0].tokens_per_character == facts["kor_Hang"].tokens_per_character
    unmeasured = reading_facts("aai_Latn")
    assert (unmeasured.name, unmeasured.phase, unmeasured.tokens_read) == ("Arifama-Miniafia", 3, 907395)


def test_cut_texts_are_told_by_language():
    lengths = {"eng_Latn": [10, 20], "khm_Khmr": [100, 200, 300, 50], "mya_Mymr": [200]}
    assert cut_texts(lengths, 128) == {
        "mya_Mymr": {"texts": 1, "cut": 1, "share": 1.0, "longest": 200},
        "khm_Khmr": {"texts": 4, "cut": 2, "share": 0.5, "longest": 300},
    }
    line = length_report(lengths, 128)
    assert line.startswith("3 of 7 texts are cut at 128 tokens: mya_Mymr 100% of 1 (longest 200), khm_Khmr 50% of 4")
    assert "300 would hold all" in line and length_report(lengths, 300) == "" == length_report({}, 10)
    assert "and 1 more languages" in length_report(lengths, 128, most=1)


def run(*arguments):
    import typer
    from mmbert.cli.text.languages import languages

    app = typer.Typer()
    app.command()(languages)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_tells_tags_texts_and_files_apart(folder, tmp_path, caplog):
    pytest.importorskip("matplotlib")
    table = run("km", "German", "aai_Latn", "hau")
    assert table.exit_code == 0, table.output
    assert "German as deu_Latn, hau as hau_Latn, km as khm_Khmr" in caplog.text
    assert all(word in table.output for word in ("khm_Khmr", "Khmer", "deu_Latn", "Arifama", "never", "Declaration"))
    by_script_ = run("--plot", tmp_path / "fertility.png")
    assert by_script_.exit_code == 0 and "Cher" in by_script_.output and (tmp_path / "fertility.png").is_file()
    (text,) = json.loads(run(folder, "Das Wasser steigt", "--language", "de", "--json").output)
    assert (text["tag"], text["texts"], text["source"]) == ("deu_Latn", 1, "measured")
    rows = [
        {"lang": "sw", "text": "mto unapanda"},
        {"lang": "eng_Latn", "text": "the river"},
        {"lang": "xx", "text": "x"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = run(folder, tmp_path / "rows.jsonl", "--json")
    found = json.loads(result.stdout)
    assert [one["tag"] for one in found] == [
        "eng_Latn",
        "swh_Latn",
    ] and "left out 1 x unknown language" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Das Wasser steigt"], "needs a tokenizer"),
        (["nowhere/rows.jsonl"], "does not exist"),
        (["germna"], "Did you mean"),
    ],
)
def test_command_refuses_in_one_line(arguments, message):
    failed = run(*arguments)
    assert isinstance(failed.exception, (ValueError, OSError)) and message in str(failed.exception)
    assert "\n" not in str(failed.exception)

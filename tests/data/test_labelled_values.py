"""What stands in a row comes out as it was meant: gaps stay gaps, and a column is what the user says it is."""

import json

import pytest
from mmbert.data import read_labelled
from mmbert.data.features.passages import answer_spans
from mmbert.languages import is_among
from mmbert.tasks.text_classification import problem_of


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_target_that_the_user_names_is_the_only_one(tmp_path):
    stsb = write(tmp_path / "stsb.jsonl", [{"sentence1": "a", "sentence2": "b", "label": 3.5, "labels": ["x"]}])
    rows = read_labelled(stsb, columns={"score": "label"})
    assert rows.column_names == ["language", "text", "text_pair", "score"]
    assert problem_of(rows) == "regression" and rows["score"][:] == [3.5]
    assert problem_of(read_labelled(stsb, columns={"labels": "labels"})) == "multi_label_classification"
    alone = read_labelled(stsb, columns={"text": "sentence2"})  # a text is not its own pair
    assert alone["text"][:] == ["b"] and "text_pair" not in alone.column_names


def test_rows_that_do_not_say_their_language_stay(tmp_path):
    rows = [{"text": "a", "lang": "eng_Latn"}, {"text": "b", "lang": None}, {"text": "c"}, {"text": "d", "lang": ""}]
    path = write(tmp_path / "some.jsonl", rows)
    assert read_labelled(path)["language"][:] == ["eng_Latn", "und", "und", "und"]
    assert read_labelled(path, language="deu_Latn")["language"][:] == ["eng_Latn", "deu_Latn", "deu_Latn", "deu_Latn"]
    assert read_labelled(path, languages=["eng_Latn"])["text"][:] == ["a"]
    named = write(tmp_path / "swh_Latn.jsonl", rows)
    assert read_labelled(named)["language"][:] == ["eng_Latn", "swh_Latn", "swh_Latn", "swh_Latn"]


def test_words_and_rows_without_a_label_get_no_label_called_none(tmp_path):
    path = write(tmp_path / "d.jsonl", [{"tokens": ["Anna", "."], "tags": ["B-PER", None], "labels": ["x", None]}])
    (row,) = read_labelled(path)
    assert row["tags"] == ["B-PER", None] and row["labels"] == ["x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "question,context,answers,answer_start\nWhere?,Anna lives in New York.,New York,14\n"),
        ("b.jsonl", {"answers": "New York", "answer_start": 14.0}),
        ("c.jsonl", {"answers": [{"text": "New York"}]}),
        ("d.jsonl", {"answers": {"text": ["New York"], "answer_start": [None]}}),
        ("e.jsonl", {"answers": {"text": ["New York"]}, "answer_start": ""}),
    ],
)
def test_answers_are_found_however_their_start_is_written(tmp_path, name, text):
    row = {"question": "Where?", "context": "Anna lives in New York."}
    (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps({**row, **text}), encoding="utf-8")
    (read,) = read_labelled(tmp_path / name)
    assert answer_spans(read) == [(14, 22)]


def test_a_start_that_is_no_number_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"context": "Oslo", "answers": "Oslo", "answer_start": "first"}])
    with pytest.raises(ValueError, match=r"a.jsonl, row 1: answer_start is 'first', but must be a number"):
        read_labelled(path)


def test_one_language_may_be_written_in_two_ways():
    assert is_among("eng_Latn", ["deu_Latn", "en"]) and is_among("sw", ["swh_Latn"])
    assert not is_among("srp_Cyrl", ["srp_Latn"]) and not is_among("und", ["en"])

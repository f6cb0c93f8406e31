"""What stands in a row comes out as it was meant: gaps stay gaps, and a column is what the user says it is."""

import json

import pyarrow.parquet
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


ANNA = "Anna Berg lives"
BIO = {"tokens": [["Anna", "Berg", "lives"]], "tags": [["B-PER", "I-PER", "O"]]}


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        (
            "a.jsonl",
            [{"text": "a", "label": [1, 0, 1]}, {"text": "b", "label": [0, 0, 0]}],
            {"labels": [["0", "2"], []]},
        ),
        ("a.jsonl", [{"text": "a", "labels": [0, 1]}, {"text": "b", "labels": [1, 0]}], {"labels": [["1"], ["0"]]}),
        ("a.csv", "text,labels\na,1 0 1\nb,0 0 1\n", {"labels": [["0", "2"], ["2"]]}),
        ("a.jsonl", [{"text": "a", "labels": {"joy": 1, "sad": 0}}], {"labels": [["joy"]]}),
        ("a.csv", "text,labels\na,joy;sad\nb,sad\nc,joy\n", {"labels": [["joy", "sad"], ["sad"], ["joy"]]}),
        ("a.csv", "text,labels\na,joy|sad\nb,sad\n", {"labels": [["joy", "sad"], ["sad"]]}),
        ("a.csv", "text,label\na,\"['joy', 'love']\"\nb,\"['sad']\"\n", {"labels": [["joy", "love"], ["sad"]]}),
        ("a.jsonl", [{"text": "a", "label": ["pos"]}, {"text": "b", "label": ["neg"]}], {"label": ["pos", "neg"]}),
        (
            "a.jsonl",
            [{"text": "a", "label": {"choices": ["pos", "joy"]}}, {"text": "b", "label": "neg"}],
            {"labels": [["pos", "joy"], ["neg"]]},
        ),
        ("a.csv", "text,label\na,1\nb,1.0\nc,0\n", {"label": ["1", "1", "0"]}),
        ("a.csv", "text,label\na,x\nb,nan\n", {"label": ["x", None]}),
        (
            "a.jsonl",
            [{"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}],
            {"choices": [["a", "b"]], "label": ["B"]},
        ),
        ("a.conll", "Anna b\nBerg i\nlives o\n", {"tags": [["B-ENT", "I-ENT", "O"]]}),
        ("a.conll", "-DOCSTART- -X- O\nAnna -X- _ B-PER\nBerg -X- _ I-PER\nlives -X- _ O\n", BIO),
        ("a.csv", f"id,text,label\n1,{ANNA},\"[[0, 9, 'PER']]\"\n", BIO),
        ("a.csv", f'text,label\n{ANNA},"[{{""start"": 0, ""end"": 9, ""labels"": [""PER""]}}]"\n', BIO),
        ("a.json", [[ANNA, {"entities": [[0, 9, "PER"]]}]], BIO),
        ("a.json", {"classes": ["PER"], "annotations": [[ANNA, {"entities": [[0, 9, "PER"]]}]]}, BIO),
        ("a.jsonl", [{"text": ANNA, "entities": {"start": [0], "end": [9], "label": ["PER"]}}], BIO),
        ("a.jsonl", [{"text": ANNA, "entities": [["PER", "0", 9.0]]}], BIO),
        (
            "a.json",
            [
                {"data": {"text": "nobody looked"}, "annotations": []},
                {
                    "data": {"text": ANNA},
                    "annotations": [{"result": [{"value": {"start": 0, "end": 9, "labels": ["PER"]}}]}],
                },
            ],
            BIO,
        ),
        ("a.csv", "text,labels\na,101\nb,001\n", {"labels": [["0", "2"], ["2"]]}),
        (
            "a.jsonl",
            [{"text": "a", "labels": [1, -1, 1]}, {"text": "b", "labels": [-1, -1, 1]}],
            {"labels": [["0", "2"], ["2"]]},
        ),
        ("a.jsonl", [{"text": "a", "labels": [{"label": "joy"}, {"name": "sad"}]}], {"labels": [["joy", "sad"]]}),
        ("a.csv", "text,labels\na,\"{'sad', 'joy'}\"\n", {"labels": [["joy", "sad"]]}),
        ("a.csv", "text,label\na,caf\u00e9\nb,cafe\u0301\n", {"label": ["caf\u00e9", "caf\u00e9"]}),
        ("a.csv", 'tokens,tags\n"Anna,Berg,lives","B-PER,I-PER,O"\n', BIO),
        ("a.csv", f'tokens,tags\n{ANNA},"B-PER, I-PER, O"\n', BIO),
        ("a.csv", "tokens,tags\n\"('Anna', 'Berg', 'lives')\",\"('B-PER', 'I-PER', 'O')\"\n", BIO),
        ("a.csv", "tokens,tags\n\"array(['Anna', 'Berg', 'lives'], dtype=object)\",\"['B-PER' 'I-PER' 'O']\"\n", BIO),
        ("a.jsonl", [{"text": ANNA, "ents": [{"start": 0, "end": 9, "label": "PER"}]}], BIO),
        (  # Label Studio counts as JavaScript does, an emoji as two
            "a.jsonl",
            [{"text": "\U0001f600 Anna", "entities": [{"start": 3, "end": 7, "label": "PER", "text": "Anna"}]}],
            {"tokens": [["\U0001f600", "Anna"]], "tags": [["O", "B-PER"]]},
        ),
        (  # Prodigy: what was rejected is no example
            "a.jsonl",
            [
                {"text": ANNA, "spans": [{"start": 0, "end": 9, "label": "PER"}], "answer": "accept"},
                {"text": ANNA, "spans": [{"start": 10, "end": 15, "label": "PER"}], "answer": "reject"},
            ],
            BIO,
        ),
        (
            "a.json",
            [
                {"data": {"text": "t"}, "annotations": [{"result": [{"value": {"choices": choices}}]}]}
                for choices in (["a"], ["a", "b"], [])
            ],
            {"labels": [["a"], ["a", "b"], []]},
        ),
        (
            "a.json",
            [
                {"data": {"text": "t"}, "annotations": [{"result": [{"value": {"choices": choices}}]}]}
                for choices in (["a"], [])
            ],
            {"label": ["a", None]},
        ),
    ],
)
def test_values_mean_what_their_tools_mean(tmp_path, name, content, found):
    path = tmp_path / name
    if name.endswith(".jsonl"):
        write(path, content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    rows = read_labelled(path)
    assert {column: rows[column][:] for column in found} == found


def test_columns_of_classes_may_be_marked_by_words_or_by_blanks(tmp_path):
    for yes, no in (("yes", "no"), ("TRUE", "FALSE"), ("x", ""), ("1", "")):
        path = tmp_path / "c.csv"
        path.write_text(f"text,joy,sad\na,{yes},{no}\nb,{yes},{yes}\nc,{no},{no}\n", encoding="utf-8")
        assert read_labelled(path, columns={"labels": ["joy", "sad"]})["labels"][:] == [["joy"], ["joy", "sad"], []]
    path.write_text("text,first,second\na,joy,\nb,sad,joy\n", encoding="utf-8")
    assert read_labelled(path, columns={"labels": ["first", "second"]})["labels"][:] == [["joy"], ["sad", "joy"]]


def test_ends_that_are_the_last_letter_are_asked_about(tmp_path, caplog):
    for end, asked in ((8, True), (9, False)):
        caplog.clear()
        read_labelled(write(tmp_path / "a.jsonl", [{"text": ANNA, "entities": [[0, end, "PER"]]}] * 3))
        assert ("3 of 3 spans end inside a word and 0 begin in one" in caplog.text) == asked


def test_a_class_for_every_row_is_asked_about(tmp_path, caplog):
    for count, asked in ((5, False), (11, True)):
        caplog.clear()
        read_labelled(write(tmp_path / "a.jsonl", [{"text": "a", "label": f"c{n}"} for n in range(count)]))
        assert ("each of the 11 rows has a class of its own" in caplog.text) == asked


def test_texts_that_a_table_holds_as_bytes_are_texts(tmp_path):
    table = pyarrow.table({"text": [b"caf\xc3\xa9"], "label": [b"x"]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert read_labelled(tmp_path / "a.parquet")["text"][:] == ["caf\u00e9"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "a", "labels": [0.2, 0.8]}\n', "row 1: labels holds 0.2, a share and no class; write 1"),
        ("a.csv", b"text,labels\na,\"['joy']\"\nb,sad\n", "row 2: labels is 'sad', while other rows hold lists"),
        ("a.jsonl", b'{"text": "a", "labels": [2, 2, 0]}\n', "row 1: labels is .2, 2, 0.; a vector of 0 and 1"),
        ("a.jsonl", b'{"text": "a", "labels": [{"x": 1}]}\n', "row 1: labels holds {'x': 1}, which is no class"),
        ("a.csv", b"tokens,tags\n\"['a', 'b']\",\"['O', 'O']\"\na b,O O\n", "row 2: tokens is 'a b', while other rows"),
        ("a.csv", b"tokens,tags\n\"['a' ... 'b']\",\"['O' ... 'O']\"\n", "row 1: tokens is .*numpy left out"),
        (
            "a.jsonl",
            b'{"text": "a b", "entities": [[0, 1, ""]]}\n',
            "row 1: entities holds .0, 1, ''., which is no span",
        ),
        (
            "a.jsonl",
            b'{"text": "a b", "entities": [[0, 1, null]]}\n',
            "row 1: entities holds .0, 1, None., which is no span",
        ),
        (
            "a.jsonl",
            b'{"text": "Anna", "entities": [{"start": 0, "end": 3, "label": "PER", "text": "Anna"}]}\n',
            "row 1: span .* is 'Ann' in the text, but its own text is 'Anna': an end is the place behind",
        ),
        (
            "a.csv",
            b"text,label\n" + b"".join(b"a,%.1f\n" % (n / 2) for n in range(12)),
            "row 2: label is '0.5', one of 12 numbers: these are scores and no classes; say so, columns=",
        ),
        (
            "few.csv",
            b"text,label\na,0.25\nb,0.75\nc,0.25\n",
            "row 1: label is '0.25', one of 2 numbers: these are scores and no classes; say so, columns=.*words for",
        ),
        ("a.json", b'[{"data": {"text": "a"}, "annotations": []}]', "nobody has annotated any of its 1 tasks"),
        ("a.jsonl", b'{"text": "a\\ud83d", "label": "x"}\n', "a.jsonl: character 1 of .* is half a surrogate pair"),
        ("a.jsonl", b'[{"text": "a", "label": "x"}]', "one JSON list is read by the name .json"),
        (
            "a.jsonl",
            b'{"text": "a", "entities": [[0, 99, "PER"]]}\n',
            "row 1: span .* must hold characters of the text",
        ),
        ("a.json", b'{"data": null}', "a.json: it holds data: null, not rows; write a list of objects"),
        ("a.json", b"{}", "a.json: it holds an empty object, not rows"),
        ("a.json", b"", "a.json: it is empty"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a.csv: it is a Git LFS pointer"),
        (
            "a.parquet",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "it is a Git LFS pointer, not the",
        ),
        (
            "a.jsonl",
            b"<!DOCTYPE html>\n<html></html>\n",
            "a.jsonl: it is a page of HTML, such as an error of a download",
        ),
        ("a.csv", b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(1, 99)), "it is a spreadsheet or ZIP archive; save the"),
        ("a.csv", b"PAR1\x15\x04\x15", "a.csv: it is parquet; rename it to .parquet"),
        ("a.tar.gz", b"\x1f\x8b", "a.tar.gz cannot be read: unpack it"),
        ("a.txt", b"__label__pos good\n", "a.txt is no .parquet, .* Name it by what its lines hold: .csv"),
        ("a.csv", b"Anna,B-PER\nlives,O\n", "its columns are Anna, B-PER; .* The first line of the file must name its"),
        ("a.jsonl", b'{"data": {"text": "a"}}\n', "its columns are data.text; name the one that holds it"),
    ],
)
def test_what_is_no_table_is_told_with_its_remedy(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_labelled(tmp_path / name, require=("text",))


def test_classes_that_may_be_one_or_none_are_told(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("text,label\na,Good\nb,good\nc,None\n")
    read_labelled(tmp_path / "a.csv")
    assert "'Good' and 'good' differ only in capitals" in caplog.text
    assert "'None' is taken as a class (1 rows)" in caplog.text


def test_rows_whose_spans_do_not_fit_are_left_out_and_counted(tmp_path, caplog):
    rows = [{"text": ANNA, "entities": [[0, 99, "PER"]]}, {"text": ANNA, "entities": [[0, 9, "PER"]]}]
    assert len(read_labelled(write(tmp_path / "a.jsonl", rows), on_bad_row="skip")) == 1
    assert "left out 1 rows (spans that do not fit)" in caplog.text


@pytest.mark.parametrize(
    "row",
    [
        {"id": 1, "data": {"text": "Anna sings"}, "annotations": [{"result": True}]},
        {"id": 1, "data": {"text": "Anna"}, "annotations": [{"result": [{"value": {"choices": 1}}]}]},
        {"text": "Anna sings", "entities": [{"start": 0, "end": 4, "labels": True}]},
        {"question": "Who?", "context": "Anna", "answers": {"text": ["Anna"], "answer_start": ["INF"]}},
        {"text": "a", "score": 10**400},
        {"question": "What?", "choices": {"label": ["A", False]}, "answerKey": "A"},
        {"question": "What?", "choices": {"label": [False, "B"]}, "answerKey": "B"},
        {"question": "What?", "choices": {"": 2**63}, "answerKey": "B"},
        {"question": "Who?", "context": "Anna", "answers": {"text": ["Anna"], "answer_start": [2.0**63]}},
    ],
)
def test_a_value_of_another_kind_is_told_with_its_file(tmp_path, row):
    path = write(tmp_path / "odd.jsonl", [row])
    try:
        read_labelled(path)
    except ValueError as error:
        assert "odd.jsonl" in str(error) and "\n" not in str(error)


def test_a_row_whose_classes_are_no_list_is_told(tmp_path):
    rows = [{"text": "good", "labels": False}, {"text": "bad", "labels": [0, 1]}, {"text": "bad", "labels": [1, 0]}]
    path = write(tmp_path / "hot.jsonl", rows)
    with pytest.raises(ValueError, match=r"hot\.jsonl, row 1: classes are lists of 0 and 1, but here is False"):
        read_labelled(path)

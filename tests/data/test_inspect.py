"""`mmbert inspect`: what every task would take from a file, what it would leave out, and why it can take nothing."""

import json

import pytest
from mmbert.cli import app
from typer.testing import CliRunner


def rows(*values):
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


SQUAD = {"context": "Oslo lies in Norway.", "qas": [{"question": "Where?", "answers": [{"text": "Norway"}]}]}
CASES = {
    "topics.jsonl": (
        rows(
            {"text": "mto", "label": "water", "lang": "sw"}, {"text": "", "label": "x"}, {"text": "pain", "label": "y"}
        ),
        [
            "topics.jsonl: 3 rows; columns (values, where some are missing): text (2), label, lang (1)",
            "note: language tags are read as mmBERT writes them: sw as swh_Latn.",
            "classification: 2 rows; columns: language <- lang, text <- text, label <- label",
            "languages: swh_Latn 1, und 1",
            "classes: water 1, y 1",
            "left out: 1 rows that lack a value",
            "tagging: no. has no tokens: its columns are text, label, lang",
            "train embedder: no. ",
        ],
    ),
    "ner.jsonl": (
        rows({"text": "Anna Berg", "label": [[0, 9, "PER"]]}, {"text": "x", "label": [[0, 99, "PER"]]}),
        ["note: left out 1 rows (spans that do not fit)", "tagging: 1 rows;", "tags: B-PER 1, I-PER 1"],
    ),
    "none.jsonl": (
        rows({"text": "", "label": "a"}, {"text": "  ", "label": "b"}),
        ["classification: no. has no usable row: left out 2 rows without text; repair them"],
    ),
    "qa.json": (json.dumps({"data": [{"paragraphs": [SQUAD]}]}), ["qa: 1 rows;", "answers: {'text': ['Norway']"]),
    "copa.jsonl": (
        rows({"premise": "It rained", "choice1": "wet", "choice2": "dry", "label": 0}),
        ["choice: 1 rows; columns: text <- premise, label <- label, choices <- choice1, choice2"],
    ),
    "bge.jsonl": (
        rows(*({"query": f"q{n}", "pos": [f"a{n}", f"b{n}"], "neg": ["x"]} for n in "12"), {"query": "q", "pos": []}),
        ["train embedder: 4 triplets; left out: 1 x no text", "q1 | a1 | x"],
    ),
    "ragged.csv": (
        "text,label\na,x\nb\nc,y\n",
        ["cannot be read: 1 rows, the first: row 2: wrong number of fields", "classification: 2 rows"],
    ),
    "hot.csv": ("text,joy,sad\na,1,0\nb,1,1\nc,0,1\n", ["joy, sad hold 0 and 1: if they are classes, name them by"]),
    "notes.txt": ("running text\n", ["holds running text: no rows of a task, but a corpus for `mmbert tokenize`"]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_task_says_what_it_would_take(tmp_path, monkeypatch, name):
    content, expected = CASES[name]
    (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["inspect", name])
    assert result.exit_code == 0, result.output
    assert [line for line in expected if line not in result.output] == [], result.output
    notes = [line for line in result.output.splitlines() if "note:" in line]
    assert len(set(notes)) == len(notes)  # though every task reads the file


def test_named_columns_count_in_every_task(tmp_path):
    (tmp_path / "hot.csv").write_text(CASES["hot.csv"][0])
    arguments = ["inspect", str(tmp_path / "hot.csv"), "--columns", "labels=joy,sad", "--language", "deu_Latn"]
    result = CliRunner().invoke(app, arguments)
    assert "classification: 3 rows; columns: text <- text, labels <- joy, sad" in result.output
    assert "languages: deu_Latn 3" in result.output and "classes: joy 2, sad 2" in result.output

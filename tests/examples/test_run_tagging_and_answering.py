"""The scripts for tagging and answering: from files to networks, tables and predictions, in full and by LoRA."""

import json
import runpy
import sys
from pathlib import Path

import mmbert
import pytest
from mmbert import MmBertForQuestionAnswering, MmBertForTokenClassification
from tests_support import WORDS, save_model

EXAMPLES = Path(mmbert.__file__).parent / "examples"
FAST = ["--max_steps", "2", "--seeds", "1", "--use_cpu", "--per_device_train_batch_size", "4", "--disable_tqdm", "true"]


@pytest.fixture(scope="module")
def home(tokenizer, tmp_path_factory):
    """An encoder, sentences in CoNLL, and questions in jsonl, some without an answer, one with a wrong one."""
    folder = tmp_path_factory.mktemp("home")
    save_model(folder / "encoder", tokenizer)
    for split, tag in (("train", "eng_Latn"), ("test", "deu_Latn")):
        lines = [f"{word} {'B-LONG' if len(word) > 4 else 'O'}" for word in WORDS[tag]]
        text = "\n".join([*lines[:8], "", *lines[8:], ""])
        (folder / f"{split}.conll").write_text(text, encoding="utf-8")
    rows = []
    for number, (tag, words) in enumerate(WORDS.items()):
        context, answer = " ".join(words), words[3]
        answers = {"text": [answer], "answer_start": [context.index(f" {answer} ") + 1]}
        silent = {"text": [], "answer_start": []}
        for split in ("train", "test"):
            row = {"split": split, "language": tag, "question": "which?", "context": context}
            rows.append({**row, "id": f"{split}{number}", "answers": answers})
            rows.append({**row, "id": f"{split}{number}x", "answers": silent})
    write(folder / "questions.jsonl", rows)
    write(folder / "wrong.jsonl", [*rows, {**rows[0], "id": "w", "answers": {"text": ["Oslo"], "answer_start": [0]}}])
    return folder


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")


@pytest.mark.parametrize("options", [[], ["--lora", "--max_length", "8192"], ["--max_length", "8", "--stride", "2"]])
def test_tagging(home, tmp_path, monkeypatch, capsys, options):
    sources = ["--train", home / "train.conll", "--test", home / "test.conll", "--dev_split", "none"]
    run(
        "run_token_classification.py", monkeypatch, "--model", home / "encoder", *sources, "--language", "eng_Latn",
        "--output_dir", tmp_path, *FAST, *options,
    )  # fmt: skip
    assert "| guess: word memory |" in capsys.readouterr().out
    assert MmBertForTokenClassification.from_pretrained(tmp_path).config.id2label == {0: "O", 1: "B-LONG"}
    assert (tmp_path / "adapter" / "adapter_config.json").is_file() == ("--lora" in options)
    lines = (tmp_path / "predictions_test.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["words"] for line in lines] == [WORDS["deu_Latn"][:8], WORDS["deu_Latn"][8:]]
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))["score"] == "f1"


@pytest.mark.parametrize("options", [[], ["--unanswerable", "--lora"], ["--max_length", "16", "--stride", "4"]])
def test_answering(home, tmp_path, monkeypatch, capsys, options):
    run(
        "run_question_answering.py", monkeypatch, "--model", home / "encoder", "--data", home / "questions.jsonl",
        "--train_languages", "eng_Latn,deu_Latn", "--dev_split", "none", "--output_dir", tmp_path, *FAST, *options,
    )  # fmt: skip
    shown = capsys.readouterr().out
    silent = "--unanswerable" in options
    assert "| fao_Latn |" in shown and ("| guess: no answer |" in shown) == silent
    MmBertForQuestionAnswering.from_pretrained(tmp_path)
    folder = tmp_path / "predictions_test"
    assert len(json.loads((folder / "predictions.json").read_text(encoding="utf-8"))) == 5 * (1 + silent)
    assert (folder / "null_odds.json").is_file() == silent
    record = json.loads((tmp_path / "fine_tune_record.json").read_text(encoding="utf-8"))
    assert record["left_out"]["test"]["no_answer"] == 5 * (not silent)


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("run_question_answering.py", ["--data", "wrong.jsonl"], "id w): answer 'Oslo' is not at character 0"),
        ("run_question_answering.py", ["--data", "train.conll"], "has no question"),
        ("run_question_answering.py", ["--data", "questions.jsonl", "--max_length", "64"], "the stride of 128"),
        (
            "run_token_classification.py",
            ["--train", "train.conll", "--train_languages", "fao_Latn"],
            "has no row in fao_Latn; there are und",
        ),
        ("run_token_classification.py", [], "there is nothing to train on"),
    ],
)
def test_bad_input_is_told_in_a_line(home, tmp_path, monkeypatch, capsys, script, arguments, message):
    monkeypatch.chdir(home)
    with pytest.raises(SystemExit) as stopped:
        common = ["--model", "encoder", "--output_dir", tmp_path / "nowhere", "--dev_split", "none"]
        run(script, monkeypatch, *common, *arguments, *FAST)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mmbert: ")]
    assert stopped.value.code == 2 and len(told) == 1 and message in told[0]
    assert not (tmp_path / "nowhere").exists()

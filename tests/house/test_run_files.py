"""`run.yaml` beside every result: `mmbert VERB --config FOLDER/run.yaml --output OTHER` makes the same again."""

import hashlib
import os

import numpy as np
import pytest
import yaml
from mmbert.common.files import read_json
from mmbert.common.run_file import read_run_file, remember_words, write_run_file
from tests_support import TINY_RECIPE, documents, run_verb, save_model, sentences, write_rows

TRAIN = ["--learning_rate", "2e-3", "--max_steps", "2"]
VERBS = {  # verb: the command line, what of the result must be the same again
    "merge": (["merge", "model", "other", "-o", "{out}", "--density", "0.5"], "model.safetensors"),
    "trim": (["trim", "model", "-o", "{out}", "--corpus", "corpus.jsonl", "--languages", "deu"], "model.safetensors"),
    "export": (["export", "model", "{out}"], "model.safetensors"),
    "embed": (["embed", "model", "corpus.jsonl", "{out}.npy", "--dtype", "float32", "--dims", "16"], ""),
    "tokenize": (["tokenize", "corpus.jsonl", "{out}", "--tokenizer", "model", "--seed", "3"], "train/index.json"),
}  # fmt: skip
SLOW = {
    "finetune": (
        ["finetune", "classification", "--model", "model", "--data", "rows.jsonl", "--dev_split", "none", "--bs", "8",
         "--output", "{out}", "--seeds", "1", "--use_cpu", *TRAIN],
        "model.safetensors",
    ),
    "train": (
        ["train", "embedder", "--model", "model", "--output", "{out}", "--train", "pairs.jsonl", "--heldout", "0",
         "--bs", "8", "--seed", "1", "--device", "cpu", *TRAIN],
        "model.safetensors",
    ),
    "evaluate": (
        ["evaluate", "model", "--tasks", "sib200", "--data", "sib200=sib.jsonl", "-o", "{out}", "--seeds", "1",
         "--epochs", "1", "--max-train", "8"],
        "report.json",
    ),
    "pretrain": (["pretrain", "--recipe", "tiny.yaml", "--output_dir", "{out}", "--variants", "none", "--use_cpu"],
                 "stable/final/model.safetensors"),
    "continue": (["continue", "--recipe", "more.yaml", "--new", "fao_Latn", "--output_dir", "{out}", "--use_cpu",
                  "--tokens_per_language", "256"], "average-0.5/model.safetensors"),
}  # fmt: skip
MORE = """
model: {checkpoint: model}
data: {corpus: corpus.jsonl, tokenizer: model, heldout_fraction: 0.1}
phases:
  - {name: adapt, languages: [fao_Latn, eng_Latn], temperature: 0.3, masking_ratio: 0.15, context_length: 32,
     rope_theta: 160000, tokens: 2k, batch_rows: 16, learning_rate: 3e-3}
  - {name: decay, masking_ratio: 0.05, tokens: 1k, decay: 1-sqrt}
"""


@pytest.fixture(scope="module")
def home(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("model", "other")):
        save_model(folder / name, tokenizer, seed=seed)
    rows = [{"lang": one.language, "text": one.text} for one in documents(scale=0.5)]
    labelled = [
        {"lang": tag, "split": split, "text": text, "label": tag[:3], "category": "ab"[place % 2]}
        for split, count in (("train", 8), ("dev", 4), ("test", 4))
        for tag in ("deu_Latn", "eng_Latn")
        for place, text in enumerate(sentences(tag, count, len(split)))
    ]
    pairs = [{"anchor": one, "positive": one.upper()} for one in sentences("eng_Latn", 40)]
    themes = [{**row, "label": row["category"]} for row in labelled]
    tables = {"corpus": rows, "rows": labelled, "sib": themes, "pairs": pairs}
    for name, table in tables.items():
        write_rows(folder / f"{name}.jsonl", table)
    data = "data: {corpus: corpus.jsonl, tokenizer: model, heldout_fraction: 0.1}\n"
    (folder / "tiny.yaml").write_text(TINY_RECIPE.split("  - name: midtrain")[0] + data, encoding="utf-8")
    (folder / "more.yaml").write_text(MORE, encoding="utf-8")
    return folder


def mmbert_command(*words):
    done = run_verb(*words)
    assert done.exit_code == 0, done.output
    return done.output


def content(path):
    """What must be equal: the bytes, of a report all but times."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.name != "report.json" else lasting(read_json(path))


def lasting(value):
    if isinstance(value, dict):
        return {key: lasting(one) for key, one in value.items() if key not in ("seconds", "cpu_seconds", "date")}
    return [lasting(one) for one in value] if isinstance(value, list) else value


def repeats(verb, line, result, home):
    os.chdir(home)
    first, second = [word.format(out=f"{verb}-1") for word in line], f"{verb}-2"
    mmbert_command(*first)
    one = home / f"{verb}-1" if result else home / f"{verb}-1.npy"
    written = one / "run.yaml" if result else home / f"{verb}-1.run.yaml"
    options = yaml.safe_load(written.read_text(encoding="utf-8"))
    words = [word for word in line[:2] if word in ("finetune", "classification", "train", "embedder")] or line[:1]
    assert options["command"] == " ".join(words)
    assert str(home) not in written.read_text(encoding="utf-8"), "a path that was given relative stays so"
    output = next(name for name in ("output_dir", "output") if name in options)
    mmbert_command(*words, "--config", str(written), f"--{output}", second if result else f"{second}.npy")
    if result:
        assert content(one / result) == content(home / second / result)
    else:
        assert np.array_equal(np.load(one), np.load(home / f"{second}.npy"))
        second = f"{second}.run"
    again = home / second / "run.yaml" if result else home / f"{second}.yaml"
    repeated = yaml.safe_load(again.read_text(encoding="utf-8"))
    assert {**repeated, output: None} == {**options, output: None}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_repeated_by_its_file(verb, home, monkeypatch):
    monkeypatch.chdir(home)
    repeats(verb, *VERBS[verb], home)


@pytest.mark.slow
@pytest.mark.parametrize("verb", SLOW)
def test_a_training_is_repeated_by_its_file(verb, home, monkeypatch):
    monkeypatch.chdir(home)
    repeats(verb, *SLOW[verb], home)


def test_a_file_of_another_verb_is_refused(tmp_path):
    (tmp_path / "run.yaml").write_text("command: finetune qa\nlr: 1e-5\n", encoding="utf-8")
    with pytest.raises(ValueError, match="is of `mmbert finetune qa`, not of `mmbert embed`"):
        read_run_file(tmp_path, "mmbert embed")
    assert read_run_file(tmp_path / "run.yaml", "mmbert finetune qa") == {"lr": "1e-5"}


def test_values_are_words(tmp_path):
    text = "language: no\nlr: 2e-5\ncolumns: {text: review}\nseeds: [1, 2]\nbf16: true\ndevice:\n"
    (tmp_path / "my.yaml").write_text(text, encoding="utf-8")
    assert read_run_file(tmp_path / "my.yaml", "mmbert x") == {
        "language": "no", "lr": "2e-5", "columns": ["text=review"], "seeds": ["1", "2"], "bf16": "true", "device": None,
    }  # fmt: skip


def test_tokens_of_services_are_not_written(tmp_path):
    words = ["--output_dir", str(tmp_path), "--hub_token", "secret", "--use_cpu", "--languages", "no", "yes"]
    remember_words("mmbert finetune qa", words)
    write_run_file()
    text = (tmp_path / "run.yaml").read_text(encoding="utf-8")
    assert "secret" not in text
    found = read_run_file(tmp_path, "mmbert finetune qa")
    assert found["languages"] == ["no", "yes"] and found["use_cpu"] == "true"


def test_arguments_may_be_written_like_options(home, monkeypatch):
    monkeypatch.chdir(home)
    mmbert_command("embed", "--model", "model", "--input", "corpus.jsonl", "--out", "like.npy", "--dtype", "float32")
    assert np.load("like.npy").ndim == 2


def test_a_wrong_key_names_the_file(home, monkeypatch):
    monkeypatch.chdir(home)
    (home / "bad.yaml").write_text("tokeniser: model\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"--config bad.yaml.* no option --tokeniser; did you mean --tokenizer\?"):
        mmbert_command("tokenize", "corpus.jsonl", "nowhere", "--config", "bad.yaml")

"""The four training scripts run as a user runs them, and say in one line what is wrong."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import mmbert
import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM
from mmbert.embeddings.training.options import rows_of, settings_of, training_parser
from mmbert.modeling import train_tokenizer
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from tests_support import run_forked

EXAMPLES = Path(mmbert.__file__).parent / "examples"
WORDS = "red blue old new small big river house tree dog bread snow".split()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    draw = random.Random(0)
    rows = []
    for n in range(300):
        words = draw.choices(WORDS, k=4)
        rows.append({"question": " ".join(words), "context": " ".join(w[::-1] for w in words), "lang": f"l{n % 2}"})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "excluded.jsonl").write_text(json.dumps({"any": rows[0]["question"].upper()}) + "\n", encoding="utf-8")
    tokenizer = train_tokenizer([text for row in rows for text in row.values()], 300)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = MmBertConfig(vocab_size=len(tokenizer), **sizes, local_attention=8, max_position_embeddings=128)
    MmBertForMaskedLM(config).save_pretrained(folder / "model")
    save_tokenizer(tokenizer, folder / "model")
    return folder


def options(*given):
    return training_parser("").parse_args(["--model", "model", "--output", "out", *map(str, given)])


def test_what_is_named_wins_over_the_preset():
    settings = settings_of(options("--preset", "parallel", "--learning_rate", 3e-4, "--heldout", 7))
    assert (settings.learning_rate, settings.heldout, settings.both_directions) == (3e-4, 7, True)
    assert settings_of(options("--preset", "msmarco")).bf16 and not settings_of(options()).bf16


def test_rows_are_read_excluded_and_held_out(workspace):
    given = options("--train", workspace / "pairs.jsonl", "--exclude", workspace / "excluded.jsonl", "--heldout", 20)
    train, dev = rows_of(given, settings_of(given))
    assert len(dev) == 20 and train.skipped["excluded"] >= 1
    same = options("--train", workspace / "pairs.jsonl", "--dev", workspace / "pairs.jsonl")
    with pytest.raises(ValueError, match=r"0 rows are left to train on .*in --dev"):
        rows_of(same, settings_of(same))
    bare = options()
    with pytest.raises(ValueError, match="--train is missing"):
        rows_of(bare, settings_of(bare))


def test_a_handful_of_rows_is_trained_on_without_held_out_ones(tmp_path):
    rows = [{"question": f"who is {n}?", "context": f"{n} is a person"} for n in range(6)]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = options("--train", tmp_path / "few.jsonl")
    train, dev = rows_of(given, settings_of(given))
    assert len(train) == 6 and dev is None


@pytest.mark.parametrize(
    "named, message",
    [
        (("--heldout", -5), "heldout must be at least 0, got -5"),
        (("--max_seq_length", 2), "max_seq_length must be at least 3, got 2"),
        (("--mini_batch_tokens", 0), "mini_batch_tokens must be at least 1, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_read(named, message):
    given = options("--train", "nowhere.jsonl", *named)
    with pytest.raises(ValueError, match=message):
        rows_of(given, settings_of(given))


def run(script, folder, *given):
    command = [EXAMPLES / script, "--model", "model", "--train", "pairs.jsonl", "--device", "cpu"]
    return run_forked(*command, *given, cwd=folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, more",
    [
        ("train_embeddings.py", ["--preset", "parallel", "--matryoshka", "16,8"]),
        ("train_reranker.py", ["--mine_with", "model", "--negatives", "1"]),
        ("train_colbert.py", ["--dims", "16"]),
        ("train_sparse.py", ["--mini_batch_tokens", "60"]),
    ],
)
def test_a_script_trains_scores_and_saves(workspace, script, more):
    name = script.removesuffix(".py")
    done = run(script, workspace, "--output", name, "--max_steps", "4", "--batch_size", "8", "--heldout", "20", *more)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (workspace / name / "model.safetensors").is_file() and "| step |" in done.stdout
    assert json.loads((workspace / name / "report.json").read_text())["steps"] == 4
    assert json.loads((workspace / name / "config.json").read_text())["model_type"] == "modernbert"
    again = run(script, workspace, "--output", name)
    assert again.returncode == 2 and "Traceback" not in again.stderr and "exists and is not empty" in again.stderr


@pytest.mark.slow
def test_two_processes_train_one_model_and_save_it_once(workspace):
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
    ]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no", str(EXAMPLES / "train_embeddings.py")]
    command += ["--model", "model", "--train", "pairs.jsonl", "--output", "two", "--max_steps", "3", "--heldout", "20"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [*command, "--batch_size", "8"], capture_output=True, text=True, cwd=workspace, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (workspace / "two" / "model.safetensors").is_file() and done.stdout.count("| step |") == 1
    assert json.loads((workspace / "two" / "report.json").read_text())["steps"] == 3
    assert not list(workspace.glob(".two*"))


@pytest.fixture(scope="module")
def wrong_kinds(workspace):
    """Folders that no training can start from, by name, made of the small model."""
    from mmbert import MmBertForSequenceClassification, MmBertModel

    folder = workspace / "kinds"
    for name, kind in (("encoder", MmBertModel), ("classifier", MmBertForSequenceClassification)):
        kind.from_pretrained(
            workspace / "model", **({"num_labels": 3} if name == "classifier" else {})
        ).save_pretrained(folder / name)
        save_tokenizer(train_tokenizer(["red blue old"], 300), folder / name)
    bert = folder / "bert"
    bert.mkdir()
    for file in ("config.json", "model.safetensors"):
        (bert / file).write_bytes((folder / "encoder" / file).read_bytes())
    told = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(told | {"model_type": "bert"}))
    (folder / "static").mkdir()
    (folder / "static" / "model.safetensors").write_bytes((bert / "model.safetensors").read_bytes())
    (folder / "static" / "modules.json").write_text("[]")
    (folder / "graph" / "onnx").mkdir(parents=True)
    (folder / "graph" / "onnx" / "model.onnx").write_bytes(b"0")
    (folder / "graph" / "config.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    "kind, model, told",
    [
        ("embedder", "bert", "bert is a bert checkpoint; give one of mmBERT or ModernBERT"),
        ("reranker", "classifier", "a reranker has one output, kinds/classifier has 3"),
        ("colbert", "graph", "is a model for ONNX, for running only; give the one it is made of"),
        ("splade", "classifier", "is a MmBertForSequenceClassification without the masked-LM head"),
        ("splade", "encoder", "is a MmBertModel without the masked-LM head"),
        ("splade", "static", "static is an embedder without a network"),
        ("distilled", "static", "static is an embedder without a network"),
    ],
)
def test_a_model_of_the_wrong_kind_is_told_before_any_row_is_read(workspace, wrong_kinds, kind, model, told):
    more = ["--teacher", "model"] if kind == "distilled" else []
    command = ["mmbert", "train", kind, "--model", f"kinds/{model}", "--train", "nowhere.jsonl", "--output", "x", *more]
    done = run_forked(*command, cwd=workspace)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert told in done.stderr


def test_training_without_held_out_rows_says_so_and_shows_rate_and_time_left(workspace):
    command = ["mmbert", "train", "embedder", "--model", "model", "--train", "pairs.jsonl", "--output", "bare"]
    done = run_forked(*command, "--heldout", "0", "--max-steps", "1", "--device", "cpu", cwd=workspace)
    assert "no rows were held out" in done.stdout and "1 step in" in done.stdout and "| step |" not in done.stdout
    assert "rows/s" in done.stderr and "0:00:00 left" in done.stderr and "{" not in done.stderr

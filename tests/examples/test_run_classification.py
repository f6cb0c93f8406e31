"""The scripts end to end: table, picture and networks from a CSV file; on two processes as on one; bad input told."""

import contextlib
import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import mmbert
import numpy as np
import psutil
import pytest
from tests_support import save_model, sentences
from transformers import AutoModelForSequenceClassification, pipeline

EXAMPLES = Path(mmbert.__file__).parent / "examples"
TRAINING = ["--use_cpu", "--learning_rate", "2e-3", "--per_device_train_batch_size", "8", "--num_train_epochs", "3"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tokenizer, tmp_path_factory):
    """A masked language model, and sentences of three languages with their language's first letter as label."""
    path = tmp_path_factory.mktemp("classification")
    save_model(path / "base", tokenizer, num_hidden_layers=4)
    with (path / "data.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["review", "stars", "lang", "split"])
        for seed, (split, count) in enumerate((("train", 32), ("dev", 8), ("test", 16))):
            for language in ("deu_Latn", "eng_Latn", "fao_Latn"):
                if (split, language) != ("train", "fao_Latn"):
                    label = "1" if language == "eng_Latn" else "5"
                    table.writerows([text, label, language, split] for text in sentences(language, count, seed))
    return path


def start(folder, *arguments, processes=1):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    launch = (
        [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    )
    command = [sys.executable, *launch, str(EXAMPLES / "run_classification.py"), "--model", "base", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, cwd=folder, env=environment)


def kill(running):
    """Kill a command and the processes that it started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]:
            process.kill()


def script(folder, *arguments, processes=1):
    with start(folder, *arguments, processes=processes) as running:
        try:
            out, errors = running.communicate(timeout=250)
        finally:
            kill(running)
    return subprocess.CompletedProcess(running.args, running.returncode, out, errors)


def test_from_a_file_to_a_table_and_a_pipeline(folder):
    columns = ["--columns", "text=review", "label=stars"]
    done = script(folder, "--data", "data.csv", *columns, "--output_dir", "run", "--seeds", "2", "--dev_languages",
                  "eng_Latn,deu_Latn", *TRAINING)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "| fao_Latn | zero-shot, seen in pre-training | 16 |" in done.stdout and "guess: majority" in done.stdout
    table = json.loads((folder / "run" / "table.json").read_text())
    assert table["seeds"] == [0, 1] and table["groups"]["trained"]["mean"] > 0.9
    assert (folder / "run" / "table.png").stat().st_size > 10_000
    assert (folder / "run" / "table.md").read_text() == done.stdout.partition("2 networks,")[0]
    labels = AutoModelForSequenceClassification.from_pretrained(folder / "run" / "seed-1").config.id2label
    assert labels == {0: "1", 1: "5"}
    classify = pipeline("text-classification", model=str(folder / "run" / "seed-0"), device="cpu")
    assert classify(sentences("eng_Latn", 1, 2)[0])[0]["label"] == "1"


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_in_its_second_seed_it_goes_on_to_the_same_end(folder, processes):
    peace, killed = f"peace{processes}", f"killed{processes}"
    common = ["--data", "data.csv", "--columns", "text=review", "label=stars", "--seeds", "2", "--dev_split", "none",
              "--use_cpu", "--learning_rate", "2e-3", "--per_device_train_batch_size", "8", "--num_train_epochs", "40",
              "--save_steps", "30"]  # fmt: skip
    peaceful = script(folder, *common, "--output_dir", peace, processes=processes)
    assert peaceful.returncode == 0, peaceful.stderr[-2000:]
    with start(folder, *common, "--output_dir", killed, processes=processes) as running:
        deadline = time.monotonic() + 200
        while not list((folder / killed / "seed-1").glob("checkpoint-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        kill(running)
    assert running.returncode < 0 and not (folder / killed / "seed-1" / "fine_tune_record.json").exists()
    before = (folder / killed / "seed-0" / "model.safetensors").stat().st_mtime_ns
    done = script(folder, *common, "--output_dir", killed, processes=processes)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{killed}/seed-0 is finished: read back" in done.stderr
    assert f"{killed}/seed-1 goes on from checkpoint-" in done.stderr
    assert (folder / killed / "seed-0" / "model.safetensors").stat().st_mtime_ns == before
    for name in ("table.json", *(f"seed-{seed}/{file}" for seed in (0, 1) for file in
                 ("model.safetensors", "predictions.safetensors", "predictions_test.jsonl"))):  # fmt: skip
        assert (folder / killed / name).read_bytes() == (folder / peace / name).read_bytes(), name
    refused = script(folder, *common, "--output_dir", killed, "--weight_decay", "0.5")
    assert refused.returncode != 0 and "Traceback" not in refused.stderr
    assert "options.weight_decay was 0.01 and is now 0.5; give another output folder" in refused.stderr


def test_two_processes_train_as_one(folder):
    common = ["--data", "data.csv", "--columns", "text=review", "label=stars", "--seeds", "1", "--dev_split", "none",
              "--use_cpu", "--learning_rate", "2e-3", "--max_steps", "6"]  # fmt: skip
    one = script(folder, *common, "--output_dir", "one", "--per_device_train_batch_size", "8")
    two = script(folder, *common, "--output_dir", "two", "--per_device_train_batch_size", "4", processes=2)
    table = ["--active_vocabulary", "False", "--output_dir", "table", "--per_device_train_batch_size", "4"]
    whole = script(folder, *common, *table, processes=2)
    for done in (one, two, whole):
        assert done.returncode == 0, done.stderr[-2000:]
    assert "embedding rows are trained" in two.stderr and "embedding rows" not in whole.stderr
    records = [json.loads((folder / name / "fine_tune_record.json").read_text()) for name in ("one", "two")]
    assert [record["processes"] for record in records] == [1, 2]
    assert records[0]["scores"]["test"] == pytest.approx(records[1]["scores"]["test"])
    networks = [
        AutoModelForSequenceClassification.from_pretrained(folder / name).state_dict()
        for name in ("one", "two", "table")
    ]
    for name, weight in networks[0].items():
        np.testing.assert_allclose(weight.numpy(), networks[1][name].numpy(), atol=1e-4, err_msg=name)
        np.testing.assert_allclose(networks[2][name].numpy(), networks[1][name].numpy(), atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "data.csv", "--output_dir", "x"], "has no label or labels or score: its columns are review, stars"),
        (["--data", "nowhere.csv", "--output_dir", "x"], "nowhere.csv does not exist"),
        (["--data", "data.csv"], "--output_dir is missing"),
        (["--data", "data.csv", "--columns", "text=review", "label=stars", "--output_dir", "x", "--train_languages",
          "swh_Latn"], "has no row in swh_Latn; there are deu_Latn, eng_Latn."),
        (["--data", "data.csv", "--columns", "text=review", "label=stars", "--output_dir", "x", "--lora_dropout", "2"],
         "lora_dropout is 2.0"),
        (["--data", "data.csv", "--columns", "text=review", "label=stars", "--dev_split", "none", "--output_dir", "x",
          "--table_score", "bleu"], "--table_score bleu is none of accuracy"),
    ],
)  # fmt: skip
def test_bad_input_gets_one_line(folder, arguments, message):
    done = script(folder, *arguments)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert message in done.stderr.strip().splitlines()[-1]
    assert not (folder / "x").exists()

"""Every folder that we write has a card with metadata and lines of use, and these lines run."""

import json
import os
import re
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard
from tests_support import run_verb, save_model, sentences, write_rows

RETRIEVAL = ["--train", "pairs.jsonl", "--heldout", "0", "--batch_size", "4", "--max_steps", "1", "--device", "cpu"]
FAST = {  # folder: the command that writes it
    "merged": ["merge", "model", "other", "--output", "merged"],
    "trimmed": ["trim", "model", "--languages", "eng_Latn", "--output", "trimmed"],
    "exported": ["export", "model", "exported"],
    "gguf": ["export", "model", "gguf", "--format", "gguf"],
}
SLOW = {
    "onnx": ["export", "model", "onnx", "--format", "onnx"],
    "openvino": ["export", "model", "openvino", "--format", "openvino"],
    "embedding-onnx": ["export", "model", "embedding-onnx", "--format", "onnx", "--task", "embedding"],
    "tuned": ["finetune", "classification", "--model", "model", "--data", "rows.jsonl", "--dev_split", "none",
              "--seeds", "1", "--max_steps", "1", "--use_cpu", "--output_dir", "tuned"],
    "embedder": ["train", "embedder", "--model", "model", *RETRIEVAL, "--output", "embedder"],
    "reranker": ["train", "reranker", "--model", "model", *RETRIEVAL, "--output", "reranker"],
    "colbert": ["train", "colbert", "--model", "model", *RETRIEVAL, "--dims", "8", "--output", "colbert"],
    "splade": ["train", "splade", "--model", "model", *RETRIEVAL, "--output", "splade"],
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cards")
    for seed, name in enumerate(("model", "other")):
        save_model(folder / name, tokenizer, seed=seed)
    english = sentences("eng_Latn", 16)
    rows = [{"split": "test" if n % 4 == 0 else "train", "text": text, "label": "ab"[n % 2]}
            for n, text in enumerate(english)]  # fmt: skip
    pairs = [{"anchor": text, "positive": text.upper(), "negative": english[n - 1]} for n, text in enumerate(english)]
    for name, table in {"rows": rows, "pairs": pairs}.items():
        write_rows(folder / f"{name}.jsonl", table)
    return folder


def command(*words):
    done = run_verb(*words)
    assert done.exit_code == 0, done.output
    return done.output


def lines_of_use(folder):
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\n") and ModelCard(text).data.license
    assert text.count("## How to use") == 1 and str(folder.parent) not in text
    return re.findall(r"^```(\w+)\n(.*?)^```$", text.partition("## How to use")[2], re.MULTILINE | re.DOTALL)


def run(block, folder):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, f"{block}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.parametrize("name", FAST)
def test_a_folder_has_a_card(name, home, monkeypatch):
    monkeypatch.chdir(home)
    command(*FAST[name])
    found = lines_of_use(home / name)
    assert found and all(f'"{name}"' in body or f"{name}/" in body for _, body in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FAST, *SLOW])
def test_the_lines_of_a_card_run(name, home, monkeypatch):
    monkeypatch.chdir(home)
    if not (home / name).exists():
        command(*{**FAST, **SLOW}[name])
    for language, body in lines_of_use(home / name):
        if language == "python":
            assert run(body, home).strip()


def test_push_to_a_folder_and_dry(home, monkeypatch):
    monkeypatch.chdir(home)
    told = command("push", "model", "me/mine", "--dry-run")
    assert "model.safetensors" in told and "would be sent to me/mine" in told and not (home / "mine").exists()
    assert "published: shared" in command("push", "model", "./shared")
    (_, body), *_ = lines_of_use(home / "shared")
    assert (
        '"shared"' in body and json.loads((home / "shared" / "config.json").read_text())["model_type"] == "modernbert"
    )
    with pytest.raises(ValueError, match="shared exists and is not empty"):
        command("push", "model", "./shared")
    with pytest.raises(ValueError, match="--tag and --revision belong to the Hub"):
        command("push", "model", "./elsewhere", "--tag", "v1")

"""`--report_to` and `--logging_steps` in every trainer; services that are not installed are named with the remedy."""

import os

import pytest
from mmbert.common.checkpoints.integrity import verify_checksums
from tests_support import TINY_RECIPE, documents, run_verb, save_model, sentences, write_rows

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
RETRIEVERS = ["--train", "pairs.jsonl", "--heldout", "0", "--batch_size", "4", "--max_steps", "2", "--device", "cpu"]
TRAININGS = {
    "pretrain": ["pretrain", "--recipe", "tiny.yaml", "--variants", "none", "--use_cpu", "--output_dir"],
    "classification": ["finetune", "classification", "--model", "model", "--data", "rows.jsonl", "--dev_split", "none",
                       "--seeds", "1", "--max_steps", "2", "--use_cpu", "--output_dir"],
    "embedder": ["train", "embedder", "--model", "model", *RETRIEVERS, "--output"],
    "reranker": ["train", "reranker", "--model", "model", *RETRIEVERS, "--output"],
    "colbert": ["train", "colbert", "--model", "model", *RETRIEVERS, "--dims", "8", "--output"],
    "splade": ["train", "splade", "--model", "model", *RETRIEVERS, "--output"],
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reporting")
    save_model(folder / "model", tokenizer)
    english = sentences("eng_Latn", 24)
    tables = {
        "corpus": [{"lang": one.language, "text": one.text} for one in documents(scale=0.3)],
        "rows": [
            {"lang": "eng_Latn", "split": "test" if place % 4 == 0 else "train", "text": text, "label": "ab"[place % 2]}
            for place, text in enumerate(english)
        ],
        "pairs": [
            {"anchor": one, "positive": one.upper(), "negative": english[place - 1]}
            for place, one in enumerate(english)
        ],
    }
    for name, rows in tables.items():
        write_rows(folder / f"{name}.jsonl", rows)
    data = "data: {corpus: corpus.jsonl, tokenizer: model, heldout_fraction: 0.1}\n"
    (folder / "tiny.yaml").write_text(TINY_RECIPE.split("  - name: midtrain")[0] + data, encoding="utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAININGS)
def test_every_trainer_reports_every_step(name, home, monkeypatch):
    tensorboard = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.chdir(home)
    run_verb(*TRAININGS[name], name, "--report_to", "tensorboard", "--logging_steps", "1")
    assert "TENSORBOARD_LOGGING_DIR" not in os.environ
    events = sorted({path.parent for path in home.rglob("events.out.*") if name in path.parts})
    steps = set()
    for folder in events:
        found = tensorboard.EventAccumulator(str(folder))
        found.Reload()
        steps |= {one.step for one in found.Scalars("train/loss")} if "train/loss" in found.Tags()["scalars"] else set()
    assert {1, 2} <= steps, events
    verify_checksums(home / name)  # what a service writes belongs to no checkpoint


@pytest.mark.parametrize("name", ["pretrain", "classification", "embedder"])
def test_a_service_that_is_not_installed_is_named(name, home, monkeypatch):
    monkeypatch.chdir(home)
    monkeypatch.setattr("mmbert.common.options.find_spec", lambda _: None)
    run_without = pytest.raises((ValueError, SystemExit))
    with run_without as told:
        done = run_verb(*TRAININGS[name], f"{name}-none", "--report_to", "wandb")
        raise SystemExit(done.output)
    assert "pip install wandb" in str(told.value)
    assert not (home / f"{name}-none").exists()

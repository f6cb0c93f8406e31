"""Fine-tuned networks are published as what loads everywhere, with card and adapters, against a Hub on this machine."""

import json
import logging

import huggingface_hub
import numpy as np
import pytest
import torch
from datasets import Dataset
from hub_server import serving
from huggingface_hub import ModelCard
from mmbert.export import push
from mmbert.trainers import FineTuningArguments, fine_tune
from safetensors.torch import load, load_file
from tests_support import save_model, sentences
from transformers import DataCollatorWithPadding

SECRET = "hf_secret"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving(monkeypatch, tmp_path / "token") as hub:
        yield hub


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    return save_model(
        tmp_path_factory.mktemp("somewhere") / "base",
        tokenizer,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
    )


@pytest.fixture
def run(base, tokenizer, tmp_path):
    """Return a function that fine-tunes two steps on German against English and publishes."""
    texts = [(tag, text) for tag in ("deu_Latn", "eng_Latn") for text in sentences(tag, 4, 0)]
    columns = {"language": [tag for tag, _ in texts], **tokenizer([text for _, text in texts])}
    rows = Dataset.from_dict({**columns, "labels": [int(tag == "eng_Latn") for tag, _ in texts]})

    def accuracy(predictions, part):
        hits = [one.argmax() == label for one, label in zip(predictions, part["labels"], strict=True)]
        return {"accuracy": float(np.mean(hits))}

    def call(checkpoint=base, name="run", seed=0, **options):
        plan = {"push_to_hub": True, "hub_model_id": "you/news", "hub_token": SECRET, "use_cpu": True}
        return fine_tune(
            checkpoint,
            "sequence",
            rows.select([0, 1, 2, 3]) if seed == 7 else rows,
            tests={"test": rows},
            tokenizer=tokenizer,
            collator=DataCollatorWithPadding(tokenizer),
            metrics=accuracy,
            labels=["german", "english"],
            output_dir=tmp_path / name,
            facts={"tokens": {"test": {"deu_Latn": {"tokens_per_word": 1.444, "cut": 0.25}}}},
            args=FineTuningArguments(**{"max_steps": 2, "seed": seed, **plan, **options}),
        )

    return call


def test_a_finished_network_is_one_commit_of_the_export_format_with_a_card_of_its_scores(hub, run, base):
    result = run()
    repository = hub.repositories["you/news"]
    assert len(repository.commits) == 2 and list(repository.tags) == ["seed-0"]
    files = repository.files("seed-0")
    config = json.loads(files["config.json"])
    assert config["model_type"] == "modernbert" and config["id2label"] == {"0": "german", "1": "english"}
    assert config["architectures"] == ["ModernBertForSequenceClassification"]
    mine, theirs = load_file(result.folder / "model.safetensors"), load(files["model.safetensors"])
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert {"tokenizer.json", "tokenizer_config.json", "fine_tune_record.json"} <= set(files)
    card = ModelCard(files["README.md"].decode())
    assert (card.data.pipeline_tag, card.data.language) == ("text-classification", ["de", "en"])
    score = result.scores["test"]["accuracy"]
    assert [(one.metric_type, one.metric_value) for one in card.data.eval_results] == [("accuracy", round(score, 4))]
    for tag, scores in result.by_language["test"].items():
        row = next(line for line in card.content.splitlines() if line.startswith(f"| {tag} "))
        assert f"{scores['accuracy']:.4f} | {'1.44 | 25%' if tag == 'deu_Latn' else '- | -'} |" in row
    assert "`base`" in card.content and str(base.parent) not in card.content and "german, english" in card.content


def test_the_token_stays_here(hub, run):
    result = run()
    assert SECRET not in (result.folder / "fine_tune_record.json").read_text()
    assert not any(SECRET.encode() in data for data in hub.repositories["you/news"].files().values())


def test_seeds_are_tags_of_one_repository_named_after_the_run(hub, run):
    for seed in (0, 1):
        run(name=f"news/seed-{seed}", seed=seed, hub_model_id=None)
    assert list(hub.repositories) == ["you/news"]
    repository = hub.repositories["you/news"]
    weights = {tag: repository.files(tag)["model.safetensors"] for tag in repository.tags}
    assert list(weights) == ["seed-0", "seed-1"] and weights["seed-0"] != weights["seed-1"]


def test_adapters_go_along_where_their_base_is_on_the_hub(hub, run, base, monkeypatch):
    pytest.importorskip("peft", reason="peft is in the extra finetune")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(base))  # what was fetched before
    result = run("you/base", lora=True)
    files = hub.repositories["you/news"].files()
    assert json.loads(files["adapter/adapter_config.json"])["base_model_name_or_path"] == "you/base"
    mine, theirs = (
        load_file(result.folder / "adapter" / "adapter_model.safetensors"),
        load(files["adapter/adapter_model.safetensors"]),
    )
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert "adapter/README.md" not in files and "adapter_config.json" not in files
    assert ModelCard(files["README.md"].decode()).data.base_model == "you/base"


def test_adapters_of_a_folder_stay_here_and_the_merged_network_is_published(hub, run, base, caplog):
    pytest.importorskip("peft", reason="peft is in the extra finetune")
    with caplog.at_level(logging.WARNING, logger="mmbert"):
        result = run(lora=True)
    files = hub.repositories["you/news"].files()
    assert not any(name.startswith("adapter") for name in files) and "model.safetensors" in files
    assert "--base-model" in caplog.text
    assert not any(str(base).encode() in data for name, data in files.items() if name != "fine_tune_record.json")
    push(result.folder / "adapter", "you/news-adapter", base_model="you/base")
    card = ModelCard(hub.repositories["you/news-adapter"].files()["README.md"].decode())
    assert card.data.base_model == "you/base"
    push(result.folder, "you/news", base_model="you/base")
    assert "adapter/adapter_config.json" in hub.repositories["you/news"].files()


def test_no_right_to_write_is_told_before_training(hub, run, tmp_path):
    hub.faults["POST", "/repos/create"] = 403
    with pytest.raises(ValueError, match=r"the Hub refused you/news \(403.*log in by `hf auth login`"):
        run()
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_an_upload_that_fails_costs_no_network(hub, run, caplog, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.faults["POST", "/commit/"] = 403
    with caplog.at_level(logging.WARNING, logger="mmbert"):
        result = run()
    assert (result.folder / "model.safetensors").is_file()
    assert "was not published: the Hub refused you/news (403" in caplog.text
    assert f"mmbert push {result.folder} you/news" in caplog.text
    assert len(hub.repositories["you/news"].commits) == 1

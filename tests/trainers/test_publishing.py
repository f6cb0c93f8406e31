"""Trainers that publish, against a Hub on this machine."""

import json
import logging

import pytest
import torch
from hub_server import serving
from huggingface_hub import ModelCard
from mmbert.export import push
from mmbert.recipes import Recipe
from mmbert.trainers import RecipeRun
from safetensors.torch import load, load_file
from tests_support import documents


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving(monkeypatch, tmp_path / "token") as hub:
        yield hub


def same(files, checkpoint):
    mine, theirs = load_file(checkpoint / "model.safetensors"), load(files["model.safetensors"])
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_checkpoints_are_commits_and_borders_are_tags(hub, make_trainer, tmp_path):
    trainer = make_trainer("run", push_to_hub=True, hub_model_id="you/run", save_total_limit=None)
    trainer.train()
    trainer.push_to_hub()
    repository = hub.repositories["you/run"]
    names = json.loads((tmp_path / "run" / "tags.json").read_text())
    assert list(repository.tags) == [tag.replace("/", "/step") for tag in names] and len(names) > 1
    for tag, name in names.items():
        files = repository.files(tag.replace("/", "/step"))
        assert same(files, tmp_path / "run" / name), tag
        assert json.loads(files["config.json"])["model_type"] == "modernbert"
        assert not any(name.endswith((".bin", ".pt")) or "optimizer" in name for name in files)
    saves = len(list((tmp_path / "run").glob("checkpoint-*")))
    assert len(repository.commits) == 1 + saves + 1  # the Hub's own first one, and the last with the finished record
    card = ModelCard(repository.files()["README.md"].decode())
    assert "eng" in str(card.data.language) or card.data.language
    assert trainer.stream.recipe.name in card.content


def test_a_run_whose_pushes_fail_is_trained_to_its_end_and_published_by_hand(
    hub, recipe, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    corpus = tmp_path / "corpus.jsonl"
    rows = [json.dumps({"lang": d.language, "text": d.text}) for d in documents()]
    corpus.write_text("\n".join(rows), encoding="utf-8")
    text = (tmp_path / "tiny.yaml").read_text()
    text += f"data: {{corpus: {corpus}, vocabulary_size: 600, heldout_fraction: 0.1}}\n"
    (tmp_path / "files.yaml").write_text(text)
    arguments = {"use_cpu": True, "push_to_hub": True, "hub_model_id": "you/run", "hub_strategy": "end"}
    hub.faults["POST", "/commit/"] = 403
    run = RecipeRun(Recipe.from_yaml(tmp_path / "files.yaml"), tmp_path / "run", arguments=arguments)
    with caplog.at_level(logging.WARNING, logger="mmbert.trainers.checkpointing.trainer"):
        finals = run.run(["decay-all"])
    assert list(finals) == ["stable", "decay-all"] and len(hub.repositories["you/run"].commits) == 1
    assert f"by hand: mmbert push {finals['stable']} you/run" in caplog.text
    hub.faults.clear()
    push(finals["decay-all"], "you/run")
    files = hub.repositories["you/run"].files()
    assert same(files, finals["decay-all"]) and "run_record.json" in files


def test_a_push_that_fails_costs_no_checkpoint(hub, make_trainer, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    trainer = make_trainer("run", push_to_hub=True, hub_model_id="you/run")
    hub.faults["POST", "/commit/"] = 403
    with caplog.at_level(logging.WARNING, logger="mmbert.trainers.checkpointing.trainer"):
        trainer.train()
    assert trainer.state.global_step == trainer.args.max_steps
    assert "was not published: the Hub refused you/run (403" in caplog.text
    assert len(hub.repositories["you/run"].commits) == 1
    with pytest.raises(ValueError, match="the repository is as it was"):
        trainer.push_to_hub()
    hub.faults.clear()
    assert trainer.push_to_hub().tag in hub.repositories["you/run"].tags

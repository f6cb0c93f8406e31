"""Checkpoints at the boundaries of phases: tagged, kept from rotation, and where variants branch, now or later."""

import json
import shutil
from pathlib import Path

import pytest
from mmbert.recipes import Recipe
from mmbert.trainers import RecipeRun
from mmbert.trainers.checkpointing.paths import tagged, tags
from safetensors.torch import load_file
from tests_support import TINY_RECIPE, documents


@pytest.fixture
def make_run(tmp_path):
    """Return a function that builds a run of the tiny recipe, with changes, in one folder."""
    corpus = tmp_path / "corpus.jsonl"
    rows = [json.dumps({"lang": d.language, "text": d.text}) for d in documents()]
    corpus.write_text("\n".join(rows), encoding="utf-8")

    def make(folder="run", recipe=TINY_RECIPE, **arguments):
        path = tmp_path / "files.yaml"
        path.write_text(recipe + f"data: {{corpus: {corpus}, vocabulary_size: 600, heldout_fraction: 0.1}}\n")
        options = {"use_cpu": True, "logging_steps": 1, "save_steps": 50, **arguments}
        return RecipeRun(Recipe.from_yaml(path), tmp_path / folder, arguments=options, tokens_per_language=100)

    return make


def names(folder):
    return {path.name for path in folder.glob("checkpoint-*")}


def test_phase_boundaries_are_tagged_and_outlive_rotation(make_trainer):
    trainer = make_trainer("run", save_steps=2, save_total_limit=1)
    trainer.train()
    home = Path(trainer.args.output_dir)
    assert names(home) == {"checkpoint-8", "checkpoint-16", "checkpoint-24"}
    expected = {"pretrain/8": "checkpoint-8", "midtrain/16": "checkpoint-16", "decay-all/24": "checkpoint-24"}
    assert json.loads((home / "tags.json").read_text()) == expected
    assert json.loads((home / "checkpoint-16" / "run_identity.json").read_text())["tag"] == "midtrain/16"
    with pytest.raises(FileNotFoundError, match=r"no checkpoint tagged pretrain/7 in .*; it has pretrain/8, midtrain"):
        tagged(home, "pretrain/7")


def test_a_run_goes_on_from_a_phase_boundary_by_its_tag(make_trainer):
    straight = make_trainer("run", save_strategy="no")
    straight.train()
    again = make_trainer("run", save_strategy="no")
    again.train(resume_from_checkpoint="pretrain/8")
    logged = [entry["step"] for entry in again.state.log_history if "loss" in entry]
    assert logged[-1] == 24 and again.state.log_history[-1]["step"] == 24
    assert all((a == b).all() for a, b in zip(straight.model.parameters(), again.model.parameters(), strict=True))


@pytest.mark.slow
def test_a_variant_planned_later_branches_where_the_others_did(make_run):
    first = make_run(save_total_limit=1)
    first.run(["decay-eng"])
    stable = first.output_dir / "stable"
    assert list(tags(stable)) == ["pretrain/8", "midtrain/16"]
    later = TINY_RECIPE + "  decay-late: {languages: {add: [ell_Grek]}}\n"
    parts = make_run(recipe=later, save_total_limit=1).run(["decay-eng", "decay-late"])
    steps = json.loads((parts["decay-late"].parent / "run_record.json").read_text())["steps"]
    assert [entry["phase"] for entry in steps] == ["pretrain"] * 8 + ["midtrain"] * 8 + ["decay-late"] * 8
    # The history before the phase boundary is the stable's own: only the last phase was trained.
    assert steps[:16] == json.loads((stable / "run_record.json").read_text())["steps"]
    whole = make_run("whole", recipe=later).run(["decay-late"])
    one, two = (load_file(found["decay-late"] / "model.safetensors") for found in (parts, whole))
    assert all((one[name] == two[name]).all() for name in one)


def test_a_variant_without_its_border_is_refused(make_run):
    run = make_run()
    run.run([])
    shutil.rmtree(run.output_dir / "stable" / "checkpoint-16")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint tagged midtrain/16 in .*stable; it has pretrain/8"):
        make_run().run(["decay-all"])

"""Exact resume: a run that stops, once or twice, ends with the weights of one that never did."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmbert import MaskingRatioCallback
from mmbert.data import write_shards
from mmbert.recipes import Recipe
from mmbert.trainers import RecipeRun
from mmbert.trainers.checkpointing.paths import last_checkpoint
from safetensors.torch import load_file
from tests_support import documents
from transformers import TrainerCallback


class StopAt(TrainerCallback):
    """Ends training after a step, as if the time were up, without a checkpoint there."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


def weights(trainer):
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


def assert_same(one, other):
    assert all(torch.equal(one[name], other[name]) for name in one)


def losses(trainer):
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


@pytest.fixture(scope="module")
def straight(make_shared_trainer):
    """A run that never stopped."""
    trainer = make_shared_trainer("straight", save_strategy="no")
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def stopped_at_12(make_shared_trainer):
    trainer = make_shared_trainer("run", callbacks=[StopAt(12)])
    trainer.train()
    return Path(trainer.args.output_dir)


@pytest.fixture
def stopped(stopped_at_12, tmp_path):
    """The folder of a run that was stopped at step 12, for one test."""
    return Path(shutil.copytree(stopped_at_12, tmp_path / "run", symlinks=True))


def test_resuming_twice_gives_the_same_weights_and_losses(make_trainer, straight):
    # Stops lie between checkpoints (every 4 steps), in different phases.
    for stop in (5, 11):
        broken = make_trainer("broken", callbacks=[StopAt(stop)])
        broken.train(resume_from_checkpoint=stop > 5)
    last = make_trainer("broken")
    last.train(resume_from_checkpoint=True)
    assert last.state.global_step == 24
    assert_same(weights(straight), weights(last))
    assert {k: losses(straight)[k] for k in losses(last)} == losses(last)
    assert (straight.token_counter.tokens == last.token_counter.tokens).all()
    epochs = [{e["step"]: e["epoch"] for e in run.state.log_history if "loss" in e} for run in (straight, last)]
    assert epochs[0] == epochs[1] and epochs[0][24] == 1.0


@pytest.mark.slow
def test_four_readers_in_bf16_resume_twice_to_the_bit(worker_folder, start):
    start(worker_folder, 1, '{"bf16": true}', "straight:24:")
    readers = '{"bf16": true, "dataloader_num_workers": 4, "save_steps": 4}'
    start(worker_folder, 1, readers, "broken:5:", "broken:11:broken", "broken:24:broken")
    facts = [json.loads((worker_folder / name / "facts.json").read_text()) for name in ("straight", "broken")]
    losses = [[(entry["step"], entry["loss"], entry["epoch"]) for entry in one["history"]] for one in facts]
    assert losses[0] == losses[1] and losses[0][-1][0] == 24 and facts[0]["tokens_read"] == facts[1]["tokens_read"]
    assert_same(*(load_file(worker_folder / name / "final" / "model.safetensors") for name in ("straight", "broken")))


@pytest.mark.parametrize("listed", [True, False], ids=["with SHA256SUMS", "without"])
def test_half_a_json_file_is_refused_by_its_name(stopped, make_trainer, listed):
    """Each file of a run's state, also in a checkpoint of 0.1, which has no list of checksums."""
    resumed = make_trainer("run")
    checkpoint = last_checkpoint(Path(resumed.args.output_dir))
    if not listed:
        (checkpoint / "SHA256SUMS").unlink()
    names = ["config.json", "run_identity.json", "trainer_state.json", "token_counts.json", "random_state_0.json"]
    names += ["ledger.json"] if listed else []  # the second name of the counts, which nothing reads
    for name in names:
        raw = (checkpoint / name).read_bytes()
        (checkpoint / name).write_bytes(raw[: len(raw) // 2])
        with pytest.raises(ValueError, match=rf"{checkpoint.name}.{name}") as refused:
            resumed.train(resume_from_checkpoint=True)
        assert "\n" not in str(refused.value)
        (checkpoint / name).write_bytes(raw)


def test_dropout_goes_on_where_it_was(make_trainer):
    def trainer(name, **options):
        made = make_trainer(name, dataloader_num_workers=1, **options)
        made.model.model.layers[1].mlp.drop.p = 0.3
        return made

    straight = trainer("straight", save_strategy="no")
    straight.train()
    trainer("broken", callbacks=[StopAt(7)]).train()
    last = trainer("broken")
    last.train(resume_from_checkpoint=True)
    assert_same(weights(straight), weights(last))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_reading_begins_at_the_step_and_passes_over_nothing(make_trainer, accumulation):
    trainer = make_trainer("run", gradient_accumulation_steps=accumulation)
    trainer.state.global_step = 13
    batches = iter(trainer.get_train_dataloader())
    steps = [next(batches)["metadata"].steps for _ in range(2 * accumulation)]
    assert steps == [(step,) for step in (13, 14) for _ in range(accumulation)]


def test_a_variant_branches_from_the_stable_run_as_if_it_had_trained_all_of_it(make_trainer, straight):
    stable = make_trainer("stable", variant=None)
    stable.train()
    assert stable.state.global_step == 16
    branch = make_trainer("branch")
    branch.train(resume_from_checkpoint=str(last_checkpoint(Path(stable.args.output_dir))))
    assert_same(weights(straight), weights(branch))
    other = make_trainer("other", variant="decay-eng")
    other.train(resume_from_checkpoint=str(last_checkpoint(Path(stable.args.output_dir))))
    assert not torch.equal(other.model.decoder.bias, branch.model.decoder.bias)


def test_accumulation_changes_rounding_only(make_trainer, straight):
    split = make_trainer("split", save_strategy="no", gradient_accumulation_steps=2, per_device_train_batch_size=2)
    split.train()
    assert split.stream.parts == 4
    for name, value in weights(straight).items():
        assert torch.allclose(value, split.model.state_dict()[name], atol=1e-5)


def test_a_checkpoint_holds_no_pickle_and_the_phase_is_in_its_config(stopped):
    for checkpoint in stopped.glob("checkpoint-*"):
        names = {path.name for path in checkpoint.iterdir()}
        assert {"model.safetensors", "optimizer.safetensors", "token_counts.json", "run_identity.json"} <= names
        assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
        step = int(checkpoint.name.rpartition("-")[2])
        theta = json.loads((checkpoint / "config.json").read_text())["global_rope_theta"]
        assert theta == (10000 if step <= 8 else 160000)
    assert not list(stopped.glob(".saving/*"))


def changed(recipe_text, tmp_path, old, new):
    path = tmp_path / "changed.yaml"
    assert old in recipe_text
    path.write_text(recipe_text.replace(old, new, 1), encoding="utf-8")
    return Recipe.from_yaml(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "masking_ratio: 0.3",
            "masking_ratio: 0.4",
            r"phases\[0\].masking_ratio was 0.3 and is now 0.4; .*allow",
        ),
        (
            "[eng_Latn, deu_Latn]",
            "[eng_Latn, ell_Grek]",
            r"phases\[0\].languages\[1\] was deu_Latn and is now ell",
        ),
        ("seed: 7", "seed: 8", r"seed was 7 and is now 8"),
        ("hidden_size: 32", "hidden_size: 64", r"model.hidden_size was 32 and is now 64"),
    ],
)
def test_a_changed_past_is_refused(stopped, make_trainer, tmp_path, old, new, message):
    other = changed((tmp_path / "tiny.yaml").read_text(), tmp_path, old, new)
    with pytest.raises(ValueError, match=rf"cannot resume from checkpoint-12: {message}"):
        make_trainer("run", recipe=other).train(resume_from_checkpoint=True)


def test_a_changed_future_and_an_allowed_change_are_not_refused(stopped, make_trainer, tmp_path):
    text = (tmp_path / "tiny.yaml").read_text()
    future = changed(text, tmp_path, "masking_ratio: 0.05", "masking_ratio: 0.1")
    make_trainer("run", recipe=future, callbacks=[StopAt(13)]).train(resume_from_checkpoint=True)
    past = changed(text, tmp_path, "masking_ratio: 0.3", "masking_ratio: 0.4")
    trainer = make_trainer("run", recipe=past, callbacks=[StopAt(13)])
    trainer.train(resume_from_checkpoint=True, allow_changed_recipe=True)
    assert trainer.state.global_step == 13


def test_a_checkpoint_older_than_a_field_of_the_phases_goes_on(stopped, make_trainer, tmp_path):
    identity = stopped / "checkpoint-12" / "run_identity.json"
    saved = json.loads(identity.read_text())
    for phase in saved["phases"]:
        for young in ("batch_warmup_rows", "batch_warmup_tokens", "max_epochs"):
            del phase[young]
    identity.write_text(json.dumps(saved))
    identity.with_name("SHA256SUMS").unlink()
    text = (tmp_path / "tiny.yaml").read_text()
    capped = changed(text, tmp_path, "temperature: 0.7", "temperature: 0.7\n    max_epochs: 5")
    with pytest.raises(ValueError, match=r"phases\[0\].max_epochs was 0.0 and is now 5.0"):
        make_trainer("run", recipe=capped).train(resume_from_checkpoint=True)
    trainer = make_trainer("run", callbacks=[StopAt(13)])
    trainer.train(resume_from_checkpoint=True)
    assert trainer.state.global_step == 13


def test_changed_data_is_refused(stopped, make_trainer, tokenizer, tmp_path):
    other = write_shards(documents(seed=3), tokenizer, tmp_path / "other")
    with pytest.raises(ValueError, match=r"data was .* and is now .*; restore .* or pass allow_changed_data"):
        make_trainer("run", train_on=other).train(resume_from_checkpoint=True)


def test_damaged_checkpoints_are_refused(stopped, make_trainer):
    model = stopped / "checkpoint-12" / "model.safetensors"
    whole = model.read_bytes()
    broken = bytearray(whole)
    broken[-5] ^= 1
    model.write_bytes(broken)
    with pytest.raises(ValueError, match=r"model\.safetensors: its bytes are not those recorded"):
        make_trainer("run").train(resume_from_checkpoint=True)
    model.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        make_trainer("run").train(resume_from_checkpoint=True)
    model.write_bytes(whole)
    (stopped / "checkpoint-12" / "optimizer.safetensors").unlink()
    with pytest.raises(ValueError, match=r"optimizer\.safetensors is missing, though SHA256SUMS names it"):
        make_trainer("run").train(resume_from_checkpoint=True)
    (stopped / "checkpoint-12" / "run_identity.json").unlink()
    trainer = make_trainer("run", callbacks=[StopAt(10)])
    trainer.train(resume_from_checkpoint=True)  # a checkpoint without its last file counts as absent
    assert trainer.state.global_step == 10
    shutil.rmtree(stopped)
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .* to resume from"):
        make_trainer("run").train(resume_from_checkpoint=True)


def test_a_masking_switch_is_part_of_what_a_checkpoint_was_trained_on(make_trainer):
    def switch():
        return MaskingRatioCallback({"pretrain": 0.25})

    make_trainer("run", callbacks=[switch(), StopAt(12)]).train()
    with pytest.raises(ValueError, match=r"masking\[0\]\[1\] was 0.25 and is now 0.3; restore the masking schedule"):
        make_trainer("run").train(resume_from_checkpoint=True)
    straight = make_trainer("straight", callbacks=[switch()], save_strategy="no")
    straight.train()
    resumed = make_trainer("run", callbacks=[switch()])
    resumed.train(resume_from_checkpoint=True)
    assert_same(weights(straight), weights(resumed))


def test_a_finished_run_of_another_recipe_is_not_taken_for_this_one(recipe, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    rows = [json.dumps({"lang": d.language, "text": d.text}) for d in documents()]
    corpus.write_text("\n".join(rows), encoding="utf-8")
    text = (tmp_path / "tiny.yaml").read_text()
    text += f"data: {{corpus: {corpus}, vocabulary_size: 600, heldout_fraction: 0.1}}\n"
    (tmp_path / "files.yaml").write_text(text)
    arguments = {"use_cpu": True}
    RecipeRun(Recipe.from_yaml(tmp_path / "files.yaml"), tmp_path / "run", arguments=arguments).run([])
    other = changed(text, tmp_path, "masking_ratio: 0.15", "masking_ratio: 0.2")
    with pytest.raises(ValueError, match=r"phases\[1\].masking_ratio was 0.15 and is now 0.2"):
        RecipeRun(other, tmp_path / "run", arguments=arguments).run([])

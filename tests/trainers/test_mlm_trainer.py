"""The trainer and its callbacks: exact switches, honest logs, clear stops; with our Trainer and a plain one."""

import math

import pytest
import torch
from mmbert import LanguagePhaseCallback, MaskingRatioCallback, MlmTrainer
from mmbert.callbacks import LanguageReportCallback
from mmbert.data import MlmStream, PackedCollator
from mmbert.trainers import training_arguments
from mmbert.trainers.pretraining.run import build_model
from mmbert.trainers.pretraining.trainer import NonFiniteLoss
from transformers import Trainer, TrainerCallback, TrainingArguments


class Watch(TrainerCallback):
    """Writes down what the model was set to at every step."""

    def __init__(self):
        self.theta, self.rate = [], []

    def on_pre_optimizer_step(self, args, state, control, model=None, optimizer=None, **kwargs):
        self.theta.append((model.config.global_rope_theta, model.config.local_rope_theta))
        self.rate.append(optimizer.param_groups[0]["lr"])


def test_schedules_take_effect_at_their_step(make_trainer):
    watch = Watch()
    trainer = make_trainer("run", callbacks=[watch], save_strategy="no", gradient_accumulation_steps=2)
    trainer.train()
    assert watch.theta == [(10000.0, 10000.0)] * 8 + [(160000.0, 160000.0)] * 16
    schedule = trainer.stream.schedule
    assert watch.rate == pytest.approx([schedule.learning_rate(step) for step in range(24)], rel=1e-12)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ratio_reaches_the_batch_of_its_own_step(make_trainer, workers):
    """Counted from the labels that the training step was given, not from what a schedule says."""
    trainer = make_trainer("run", save_strategy="no", dataloader_num_workers=workers, logging_steps=1)
    seen, original = [], trainer.training_step

    def training_step(model, inputs, num_items_in_batch=None):
        sequences = len(inputs["cu_seq_lens_q"]) - 1
        seen.append(((inputs["labels"] != -100).sum() / (inputs["labels"].numel() - 2 * sequences)).item())
        return original(model, inputs, num_items_in_batch)

    trainer.training_step = training_step
    trainer.train()
    assert len(seen) == 24
    for start, ratio in ((0, 0.3), (8, 0.15), (16, 0.05)):
        assert sum(seen[start : start + 8]) / 8 == pytest.approx(ratio, abs=0.03)
        assert all(abs(value - ratio) < 0.1 for value in seen[start : start + 8])
    logged = [entry["masking_ratio"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged == [0.3] * 8 + [0.15] * 8 + [0.05] * 8


def test_it_learns_and_low_resource_loss_falls_when_its_languages_enter(make_trainer):
    trainer = make_trainer("run", save_strategy="no", evaluate=True)
    before = trainer.evaluate()
    trainer.train()
    record = trainer.run_record()
    ends = {entry["phase"]: entry["group_loss"] for entry in record["evaluations"][1:]}
    assert before["eval_loss"] == pytest.approx(math.log(600), abs=0.3)  # an untrained network guesses
    assert ends["decay-all"]["high"] < before["eval_loss_high"] - 0.5
    assert set(record["evaluations"][-1]["loss"]) == set(trainer.heldout.languages)
    assert record["evaluations"][-1]["step"] == 24


def test_the_ledger_counts_what_was_read(make_trainer):
    trainer = make_trainer("run", save_strategy="no")
    trainer.train()
    expected = torch.zeros(3, 5, dtype=torch.long)
    for item in (trainer.stream[i] for i in range(len(trainer.stream))):
        for language, length in zip(item.languages.tolist(), item.lengths.tolist(), strict=True):
            expected[trainer.stream.schedule.at(item.step).index, language] += length
    assert trainer.token_counter.tokens.tolist() == expected.tolist()
    shares = trainer.run_record()["shares"]
    for phase in shares.values():
        assert sum(entry["seen"] for entry in phase.values()) == pytest.approx(1)
        assert all(entry["seen"] == pytest.approx(entry["target"], abs=0.05) for entry in phase.values())


def test_a_masking_switch_changes_phases_and_is_part_of_the_identity(make_trainer):
    trainer = make_trainer("run", callbacks=[MaskingRatioCallback({"pretrain": 0.25})], save_strategy="no")
    trainer.train()
    assert trainer.stream.masking.ratio(0) == 0.25
    assert trainer.stream.masking.ratio(8) == 0.15


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"pretrain": 25}, "between 0 and 1, got 25"),
        ({0: 0.3, 10: 0}, "at step 10 must lie between 0 and 1"),
        ({5: 0.3}, "begins at step 0"),
    ],
)
def test_a_bad_masking_switch(schedule, message):
    with pytest.raises(ValueError, match=message):
        MaskingRatioCallback(schedule)


def test_a_masking_switch_for_no_phase(make_trainer):
    trainer = make_trainer("run", callbacks=[MaskingRatioCallback({"annealing": 0.2})], save_strategy="no")
    with pytest.raises(ValueError, match=r"no phase annealing .* the run has pretrain, midtrain, decay-all"):
        trainer.train()


def test_a_non_finite_loss_stops_and_names_its_batch(make_trainer):
    class Poison(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs):
            if state.global_step == 10:
                model.model.final_norm.weight.data[0] = float("nan")

    trainer = make_trainer("run", callbacks=[Poison()])
    with pytest.raises(NonFiniteLoss, match=r"at step 10; the batch holds \d+ sequences of .* in deu_Latn, eng"):
        trainer.train()
    clean = make_trainer("run")
    clean.train(resume_from_checkpoint=True)  # the last checkpoint is intact
    assert clean.state.global_step == 24


def test_arguments_cannot_contradict_the_recipe(recipe, tmp_path):
    with pytest.raises(ValueError, match="learning_rate, seed: the recipe decides this"):
        training_arguments(recipe, recipe.schedule(), tmp_path, learning_rate=1.0, seed=3)


def test_a_trainer_of_another_length_is_refused(recipe, shards, tokenizer, tmp_path):
    stream = MlmStream(recipe, shards, tokenizer)
    arguments = TrainingArguments(output_dir=str(tmp_path), max_steps=5, use_cpu=True)
    with pytest.raises(ValueError, match="max_steps is 5, the recipe has 16 steps"):
        MlmTrainer(build_model(recipe, 600), arguments, stream)


# A plain transformers.Trainer, fed by our dataset and collator


def plain(recipe, stream, tmp_path, **changes):
    options = {
        "max_steps": stream.schedule.steps,
        "per_device_train_batch_size": 1,
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "learning_rate": 2e-3,
        **changes,
    }
    watch = Watch()
    trainer = Trainer(
        model=build_model(recipe, 600),
        args=TrainingArguments(output_dir=str(tmp_path / "plain"), **options),
        train_dataset=stream,
        data_collator=PackedCollator(),
        callbacks=[
            MaskingRatioCallback(),
            LanguagePhaseCallback(evaluate_at_phase_end=False, save_at_phase_end=False),
            watch,
        ],
    )
    return trainer, watch


def test_the_callbacks_plug_into_a_plain_trainer(recipe, shards, tokenizer, tmp_path):
    stream = MlmStream(recipe, shards, tokenizer, variant="decay-all", parts=2)
    trainer, watch = plain(recipe, stream, tmp_path, per_device_train_batch_size=2, dataloader_num_workers=1)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [entry["masking_ratio"] for entry in logs] == [0.3] * 8 + [0.15] * 8 + [0.05] * 8
    assert [entry["phase"] for entry in logs] == ["pretrain"] * 8 + ["midtrain"] * 8 + ["decay-all"] * 8
    assert watch.theta == [(10000.0, 10000.0)] * 8 + [(160000.0, 160000.0)] * 16
    assert logs[-1]["loss"] < logs[0]["loss"]


@pytest.mark.parametrize(
    ("changes", "parts", "message"),
    [
        ({"train_sampling_strategy": "random"}, 1, "the data loader shuffles the stream"),
        ({"gradient_accumulation_steps": 2}, 1, r"cut into 1 parts per step, but a step of this Trainer takes 2"),
    ],
)
def test_the_callbacks_refuse_a_trainer_that_reads_otherwise(
    recipe, shards, tokenizer, tmp_path, changes, parts, message
):
    stream = MlmStream(recipe, shards, tokenizer, parts=parts)
    trainer, _ = plain(recipe, stream, tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        trainer.train()


def test_the_callbacks_refuse_another_dataset(recipe, tmp_path, shards, tokenizer):
    stream = MlmStream(recipe, shards, tokenizer)
    trainer, _ = plain(recipe, stream, tmp_path)
    trainer.train_dataset = [stream[0]] * 16
    with pytest.raises(ValueError, match=r"MaskingRatioCallback needs train_dataset to be an mmbert\.data\.MlmStream"):
        trainer.train()


def test_without_held_out_text_nothing_is_evaluated(recipe, shards, tokenizer, tmp_path):
    stream = MlmStream(recipe, shards, tokenizer)
    arguments = training_arguments(recipe, stream.schedule, tmp_path, use_cpu=True, save_strategy="no")
    trainer = MlmTrainer(build_model(recipe, 600), arguments, stream)
    trainer.train()
    assert trainer.state.global_step == 16
    with pytest.raises(ValueError, match="nothing to evaluate on"):
        trainer.evaluate()


def test_one_switch_serves_two_runs(recipe, shards, tokenizer):
    switch = MaskingRatioCallback({"pretrain": 0.25})
    stable, branch = (MlmStream(recipe, shards, tokenizer, variant=variant) for variant in (None, "decay-all"))
    for stream in (stable, branch):
        switch.bind(stream)
    assert [branch.masking.ratio(step) for step in (0, 8, 16)] == [0.25, 0.15, 0.05]


def test_broken_weights_are_never_saved(make_trainer):
    class Poison(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
            if state.global_step == 7:
                model.head.dense.weight.grad[0, 0] = float("nan")

    trainer = make_trainer("run", callbacks=[Poison()])
    with pytest.raises(NonFiniteLoss, match=r"is not finite after step 8; it was not saved"):
        trainer.train()
    clean = make_trainer("run")
    clean.train(resume_from_checkpoint=True)
    assert clean.state.global_step == 24


def test_what_the_caller_gave_stays_as_it_is(recipe, shards, tokenizer, tmp_path):
    """Stream, callbacks and arguments: the trainer works on copies, and two trainers may share them."""
    stream = MlmStream(recipe, shards, tokenizer, variant="decay-all")
    arguments = training_arguments(
        recipe, stream.schedule, tmp_path, use_cpu=True, save_strategy="no", gradient_accumulation_steps=2
    )
    report, ratios = LanguageReportCallback(), MaskingRatioCallback({"pretrain": 0.25})
    given, before = [ratios, report], arguments.to_dict()
    state = dict(vars(report))
    trainers = [
        MlmTrainer(build_model(recipe, len(tokenizer)), arguments, stream, callbacks=given, processing_class=tokenizer)
        for _ in range(2)
    ]
    trainers[0].train()
    assert given == [ratios, report] and vars(report) == state
    assert stream.parts == 1 and stream.masking.ratios[0] == recipe.phases[0].masking_ratio
    assert arguments.to_dict() == before and arguments.ignore_data_skip is False
    assert trainers[0].stream.parts == 2 and trainers[0].stream.masking.ratios[0] == 0.25
    assert trainers[1].state.global_step == 0

"""A stopped fine-tuning goes on as if nothing had happened; a finished one is read back; another one is refused."""

import json
import logging

import mmbert
import numpy as np
import pytest
import torch
from accelerate.data_loader import SeedableRandomSampler
from datasets import Dataset, concatenate_datasets
from mmbert.common.checkpoints import verify_checksums
from mmbert.trainers import FineTuningArguments, fine_tune
from mmbert.trainers.finetuning import output
from mmbert.trainers.finetuning.previous_run import rows_fingerprint
from mmbert.trainers.finetuning.trainer import EpochOrder
from safetensors.torch import load_file
from tests_support import save_model, sentences
from torch.utils.data import RandomSampler
from transformers import DataCollatorWithPadding, TrainerState

LABELS = ["german", "english"]


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("base"), tokenizer, hidden_size=16, intermediate_size=24)


@pytest.fixture(scope="module")
def rows(tokenizer):
    """Rows to train on (8 of each language) and rows to evaluate."""

    def some(seed, count):
        texts = [(tag, text) for tag in ("deu_Latn", "eng_Latn") for text in sentences(tag, count, seed)]
        found = {"language": [tag for tag, _ in texts], **tokenizer([text for _, text in texts])}
        return Dataset.from_dict({**found, "labels": [int(tag == "eng_Latn") for tag, _ in texts]})

    return some(0, 8), some(1, 3)


class Interrupted(KeyboardInterrupt):
    """As if somebody had pressed Ctrl-C."""


class Stopping:
    """Calls another function so many times, and is interrupted at the next."""

    def __init__(self, function, times=None):
        self.function, self.left = function, times

    def __call__(self, *arguments, **options):
        if self.left == 0:
            raise Interrupted
        self.left = None if self.left is None else self.left - 1
        return self.function(*arguments, **options)


def accuracy(predictions, part):
    right = [one.argmax() == label for one, label in zip(predictions, part["labels"], strict=True)]
    return {"accuracy": float(np.mean(right)), "margin": float(np.mean([one[1] - one[0] for one in predictions]))}


@pytest.fixture(scope="module")
def run(base, rows, tokenizer):
    """Return a function that fine-tunes, and may be interrupted after so many batches or scorings."""

    def call(folder, batches=None, scorings=None, dev=False, conditions=None, **changes):
        train, test = changes.pop("train", rows[0]), changes.pop("test", rows[1])
        checkpoint, labels = changes.pop("checkpoint", base), changes.pop("labels", LABELS)
        plan = {"num_train_epochs": 3, "per_device_train_batch_size": 4, "learning_rate": 2e-3, **changes}
        return fine_tune(
            checkpoint,
            "sequence",
            train,
            dev=test if dev else None,
            tests={"test": test},
            tokenizer=tokenizer,
            collator=Stopping(DataCollatorWithPadding(tokenizer), batches),
            metrics=Stopping(accuracy, scorings),
            labels=labels,
            output_dir=folder,
            args=FineTuningArguments(**plan, use_cpu=True),
            conditions=conditions,
        )

    return call


def assert_equal(one, other):
    first, second = (load_file(result.folder / "model.safetensors") for result in (one, other))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert (one.scores, one.by_language) == (other.scores, other.by_language)
    assert one.predictions.keys() == other.predictions.keys()
    for name, found in one.predictions.items():
        np.testing.assert_array_equal(np.stack(found), np.stack(other.predictions[name]))


BEST = {"dev": True, "metric_for_best_model": "margin", "greater_is_better": False, "save_steps": 2}
PATIENT = {**BEST, "patience": 2, "num_train_epochs": 9}
THIRDS = {"save_steps": 3}


@pytest.mark.parametrize(
    ("options", "stop", "begins"),
    [
        pytest.param({"layer_decay": 0.8, **THIRDS}, {"batches": 8}, "checkpoint-6", id="full"),
        pytest.param({"train_sampling_strategy": "group_by_length", "gradient_accumulation_steps": 2,
                      "per_device_train_batch_size": 2, **THIRDS}, {"batches": 15},
                     "checkpoint-6", id="lengths"),
        pytest.param({"lora": True, "lora_dropout": 0.3, "save_strategy": "epoch"}, {"batches": 6},
                     "checkpoint-4", id="lora"),
        pytest.param({"lora": True, "lora_embeddings": True, **THIRDS}, {"batches": 8}, "checkpoint-6",
                     id="lora and embeddings"),
        pytest.param(PATIENT, {"scorings": 3}, "checkpoint-6", id="best"),
        pytest.param(PATIENT, {"scorings": 5}, "checkpoint-10", id="patience", marks=pytest.mark.slow),
        pytest.param({**BEST, "lora": True, "learning_rate": 2e-2, **THIRDS}, {"batches": 6}, "checkpoint-3",
                     id="best adapters", marks=pytest.mark.slow),
        pytest.param({"max_steps": 6, **THIRDS}, {"scorings": 0}, "checkpoint-6", id="ended"),
        pytest.param({"lr_scheduler_type": "cosine", "save_steps": 3, "optim": "adafactor"}, {"batches": 8},
                     "checkpoint-6", id="adafactor", marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_an_interrupted_run_ends_as_one_in_peace(run, tmp_path, options, stop, begins):
    if options.get("lora"):
        pytest.importorskip("peft", reason="peft is in the extra finetune")
    peaceful = run(tmp_path / "peace", **options)
    with pytest.raises(Interrupted):
        run(tmp_path / "broken", **stop, **options)
    files = [path.name for path in (tmp_path / "broken").rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith((".bin", ".pt", ".pth"))]
    (tmp_path / "broken").rename(tmp_path / "moved")
    resumed = run(tmp_path / "moved", **options)
    assert resumed.record["resumed_from"] == begins and peaceful.record["resumed_from"] is None
    assert resumed.record["steps"] == peaceful.record["steps"]
    assert resumed.record["best_step"] == peaceful.record["best_step"]
    if options.get("dev") and begins != "checkpoint-10":
        assert peaceful.record["best_step"] > int(begins.removeprefix("checkpoint-")), "the best one is still to come"
    if options.get("patience"):
        assert (resumed.record["best_step"], resumed.record["steps"]) == (8, 12), "the sixth of 18 evaluations ends it"
    assert_equal(peaceful, resumed)
    assert not list((tmp_path / "moved").glob("checkpoint-*"))


@pytest.mark.parametrize("last", ["write_card", "write_checksums", "leftovers"])
def test_a_run_killed_behind_its_record_is_finished(run, tmp_path, monkeypatch, last):
    peaceful = run(tmp_path / "peace", **THIRDS)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(output, last, Stopping(None, 0))
        run(tmp_path / "broken", **THIRDS)
    again = run(tmp_path / "broken", batches=0, **THIRDS)
    assert_equal(peaceful, again)
    files = [sorted(path.name for path in one.folder.iterdir()) for one in (peaceful, again)]
    assert files[0] == files[1] and "SHA256SUMS" in files[0]
    verify_checksums(again.folder)


def test_checkpoints_of_a_pre_training_stay_in_the_folder(run, tmp_path):
    other = tmp_path / "run" / "checkpoint-99"
    other.mkdir(parents=True)
    (other / "run_identity.json").write_text('{"step": 99}')
    run(tmp_path / "run", **THIRDS)
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == ["checkpoint-99"]


def test_a_finished_run_is_read_back_and_other_conditions_are_refused(run, base, rows, tmp_path, caplog):
    options = {"max_steps": 2, "dev": True}
    first = run(tmp_path / "run", **options, conditions={"window": 8})
    with caplog.at_level(logging.INFO, logger="mmbert"):
        again = run(tmp_path / "run", batches=0, per_device_eval_batch_size=2, logging_steps=1,
                    conditions={"window": 8}, **options)  # fmt: skip
    assert "is finished: read back, not trained again" in caplog.text
    assert_equal(first, again)
    assert again.record == json.loads(json.dumps(first.record))
    train, test = rows
    other = mmbert.MmBertForMaskedLM.from_pretrained(base)
    torch.nn.init.ones_(other.head.dense.weight)
    other.save_pretrained(tmp_path / "other")
    for changes, told in (
        ({"learning_rate": 1e-3}, "options.learning_rate was 0.002 and is now 0.001"),
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"lora": True}, "options.lora was false and is now true"),
        ({"labels": LABELS[::-1]}, "labels[0] was german and is now english"),
        ({"checkpoint": tmp_path / "other"}, "checkpoint was "),
        ({"conditions": {"window": 16}}, "conditions.window was 8 and is now 16"),
        ({"train": train.select(range(15))}, "rows.train was 16 rows "),
        ({"test": test.select([1, 0, 2, 3, 4, 5])}, "rows.dev was 6 rows "),
        ({"dev": False}, "options.eval_strategy was epoch and is now"),
    ):
        with pytest.raises(ValueError, match="holds a run made under other conditions: ") as refused:
            run(tmp_path / "run", batches=0, **{**options, "conditions": {"window": 8}, **changes})
        assert told in str(refused.value) and "\n" not in str(refused.value)
        assert "give another output folder, or train it anew by overwrite_output_dir=True." in str(refused.value)


def test_redo_leaves_nothing_of_the_other_run(run, tmp_path):
    pytest.importorskip("peft", reason="peft is in the extra finetune")
    folder = tmp_path / "run"
    run(folder, max_steps=1, lora=True)
    (folder / "predictions_other.jsonl").write_text("{}\n")
    (folder / "notes.txt").write_text("mine")
    assert (folder / "adapter").is_dir()
    run(folder, max_steps=1, overwrite_output_dir=True)
    assert not (folder / "adapter").exists() and not (folder / "predictions_other.jsonl").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    run(folder, max_steps=1, batches=0)  # whether somebody said redo makes no other run of it


def test_an_unfinished_run_of_other_conditions_is_refused_too_but_only_if_it_could_go_on(run, tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path / "kept", batches=5, save_steps=2)
    with pytest.raises(ValueError, match=r"options\.per_device_train_batch_size was 4 and is now 8"):
        run(tmp_path / "kept", per_device_train_batch_size=8, save_steps=2)
    with pytest.raises(Interrupted):
        run(tmp_path / "weights", batches=7, dev=True)
    assert list((tmp_path / "weights").glob("checkpoint-*"))
    result = run(tmp_path / "weights", max_steps=1, dev=True)
    assert result.record["resumed_from"] is None and not list(result.folder.glob("checkpoint-*"))


def test_a_folder_of_an_older_version_is_refused(run, tmp_path):
    run(tmp_path, max_steps=1)
    path = tmp_path / "fine_tune_record.json"
    record = json.loads(path.read_text())
    del record["identity"]
    path.write_text(json.dumps(record))
    (path.parent / "SHA256SUMS").unlink()  # as who edits a folder is told to
    with pytest.raises(ValueError, match="it does not say which"):
        run(tmp_path, max_steps=1)


def test_how_often_dev_is_scored_is_said_once(run, tmp_path):
    with pytest.raises(ValueError, match="evals_per_epoch is 2, but dev is scored whenever a checkpoint is kept"):
        run(tmp_path, dev=True, evals_per_epoch=2, save_steps=2)


def test_rows_are_told_apart_by_what_they_say(rows):
    train, _ = rows
    halves = concatenate_datasets([train.select(range(7)), train.select(range(7, 16))])
    assert rows_fingerprint(halves) == rows_fingerprint(train)
    assert rows_fingerprint(train.select([1, 0, *range(2, 16)])) != rows_fingerprint(train)
    assert rows_fingerprint(train.remove_columns("language")) != rows_fingerprint(train)


def test_the_order_of_an_epoch_is_accelerates():
    class Reader:
        state = TrainerState()

    reference = SeedableRandomSampler(range(50), data_seed=7)
    order = EpochOrder(RandomSampler(range(50)), Reader, 7)
    for epoch, inside in ((0, 0.0), (1, 0.25), (3, 0.5)):
        reference.set_epoch(epoch)
        Reader.state.epoch = epoch + inside
        assert list(order) == list(reference) and len(order) == 50


def test_a_finished_folder_of_0_1_is_read_back(run, tmp_path):
    """Its options have other names, and group_by_length was one of them."""
    first = run(tmp_path, max_steps=2, dev=True)
    path = tmp_path / "fine_tune_record.json"
    record = json.loads(path.read_text())
    old = {"epochs": 3, "learning_rate": 2e-3, "batch_size": 4, "accumulation": 1, "warmup": 0.06,
           "schedule": "linear", "weight_decay": 0.01, "layer_decay": 1.0, "max_grad_norm": 1.0, "max_steps": 2,
           "lora": False, "lora_rank": 16, "lora_alpha": 32, "lora_dropout": 0.05, "lora_embeddings": False,
           "class_weights": "none", "metric": None, "greater_is_better": True, "patience": None,
           "evaluations_an_epoch": 1, "group_by_length": False, "bf16": False,
           "eval_strategy": "epoch", "eval_steps": None}  # fmt: skip
    record["identity"]["options"] = old
    path.write_text(json.dumps(record))
    (tmp_path / "SHA256SUMS").unlink()  # there was none in 0.1
    again = run(tmp_path, batches=0, max_steps=2, dev=True)
    assert_equal(first, again)
    with pytest.raises(ValueError, match=r"options\.lora_rank was 16 and is now 4"):
        run(tmp_path, batches=0, max_steps=2, dev=True, lora_rank=4)


@pytest.mark.parametrize("first", [True, False], ids=["active first", "whole first"])
def test_the_whole_table_and_the_active_vocabulary_go_on_from_each_others_checkpoints(run, tmp_path, first, caplog):
    straight = run(tmp_path / "straight", active_vocabulary=False, **THIRDS)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", batches=5, active_vocabulary=first, **THIRDS)
    table, state = (
        "model.embeddings.tok_embeddings.weight",
        load_file(tmp_path / "run/checkpoint-3/optimizer.safetensors"),
    )
    whole = load_file(straight.folder / "model.safetensors")[table]
    assert len(state[f"{table}/exp_avg"]) == (len(state[f"{table}/token_ids"]) if first else len(whole))
    with caplog.at_level(logging.INFO):
        resumed = run(tmp_path / "run", active_vocabulary=not first, **THIRDS)
    assert "goes on from checkpoint-3" in caplog.text
    assert ("embedding rows are trained" in caplog.text) is not first
    one, other = (load_file(result.folder / "model.safetensors") for result in (straight, resumed))
    assert all(torch.allclose(one[name], other[name], atol=2e-6, rtol=0) for name in one)

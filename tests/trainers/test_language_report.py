"""The language report of a run against counts taken from the stream itself, and its three forms against each other."""

import json
from collections import Counter
from pathlib import Path

import pytest
from mmbert.callbacks import LanguageReportCallback
from mmbert.callbacks.language_report import as_markdown, language_report
from mmbert.model_cards import draw_language_report
from transformers import Trainer, TrainerCallback, TrainingArguments


class Keep(TrainerCallback):
    """Keeps what the report said after each phase boundary's evaluation."""

    def __init__(self):
        self.steps = {}

    def on_step_begin(self, args, state, control, **kwargs):
        path = Path(args.output_dir) / "language_report.json"
        if path.is_file():
            report = json.loads(path.read_text())
            self.steps.setdefault(report["step"], report)


def test_the_report(make_trainer):
    """One run, looked at from three sides: the stream's own counts, every phase boundary, and the other two forms."""
    keep = Keep()
    callbacks = [keep, LanguageReportCallback(draw_language_report)]
    trainer = make_trainer("run", evaluate=True, save_strategy="no", callbacks=callbacks)
    trainer.train()
    home = Path(trainer.args.output_dir)
    says_what_was_planned_read_and_learned(trainer, home)
    is_written_at_every_border(keep)
    table_and_picture_say_the_same(home)


def says_what_was_planned_read_and_learned(trainer, home):
    report = json.loads((home / "language_report.json").read_text())
    assert (report["step"], report["phase"], report["loss_step"]) == (24, "decay-all", 24)
    stream, read = trainer.stream, [Counter(), Counter(), Counter()]
    for item in (stream[i] for i in range(len(stream))):
        for language, length in zip(item.languages.tolist(), item.lengths.tolist(), strict=True):
            read[stream.schedule.at(item.step).index][stream.languages[language]] += length
    losses = next(e["language_loss"] for e in reversed(trainer.state.log_history) if "language_loss" in e)
    text = stream.shards.token_counts
    assert list(report["languages"]) == sorted(text, key=lambda tag: (-text[tag], tag))
    for tag, entry in report["languages"].items():
        for phase, counts in zip(("pretrain", "midtrain", "decay-all"), read, strict=True):
            seen = counts[tag] / counts.total()
            assert entry["shares"].get(phase, {"seen": 0})["seen"] == pytest.approx(seen, abs=1e-12)
        assert entry["epochs"] == pytest.approx(sum(counts[tag] for counts in read) / text[tag])
        assert entry["loss"] == losses[tag]
    targets = [entry["shares"]["decay-all"]["target"] for entry in report["languages"].values()]
    assert sum(targets) == pytest.approx(1)
    assert report["tokens_seen"] == sum(counts.total() for counts in read)


def is_written_at_every_border(keep):
    assert sorted(keep.steps) == [8, 16]
    assert [keep.steps[step]["phase"] for step in (8, 16)] == ["pretrain", "midtrain"]
    assert [keep.steps[step]["loss_step"] for step in (8, 16)] == [8, 16]
    assert "rus_Cyrl" in [t for t, e in keep.steps[16]["languages"].items() if "midtrain" in e["shares"]]


def table_and_picture_say_the_same(home):
    report = json.loads((home / "language_report.json").read_text())
    lines = (home / "language_report.md").read_text().splitlines()
    assert lines[0] == "# Languages after step 24"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    header = rows[0]
    assert header[-2:] == ["epochs", "loss at 15 %"] and "decay-all seen %" in header
    assert len(rows) == 2 + len(report["languages"]) == 7
    for row in rows[2:]:
        entry = report["languages"][row[0]]
        assert float(row[-1]) == pytest.approx(entry["loss"], abs=5e-4)
        seen = row[header.index("decay-all seen %")]
        assert float(seen) == pytest.approx(100 * entry["shares"]["decay-all"]["seen"], rel=1e-3)
    assert (home / "language_report.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not list(home.glob(".language_report*"))


def test_without_evaluation_there_is_a_report_without_losses(make_trainer):
    trainer = make_trainer("run", save_strategy="no", variant=None)
    trainer.heldout = None
    phases = next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "LanguagePhaseCallback")
    phases.evaluate_at_borders = False
    trainer.train()
    report = json.loads((Path(trainer.args.output_dir) / "language_report.json").read_text())
    assert report["step"] == 16 and report["loss_step"] is None
    assert {entry["loss"] for entry in report["languages"].values()} == {None}


def test_a_plain_trainer_has_no_record(recipe, shards, tokenizer, tmp_path):
    from mmbert.data import MlmStream, PackedCollator
    from mmbert.trainers.pretraining.run import build_model

    arguments = TrainingArguments(
        output_dir=str(tmp_path), max_steps=16, use_cpu=True, train_sampling_strategy="sequential", report_to="none"
    )
    trainer = Trainer(
        model=build_model(recipe, 600),
        args=arguments,
        train_dataset=MlmStream(recipe, shards, tokenizer, parts=8),
        data_collator=PackedCollator(),
        callbacks=[LanguageReportCallback()],
    )
    with pytest.raises(ValueError, match="needs the record of an MlmTrainer"):
        trainer.train()


def test_phases_stand_in_their_order_whichever_language_is_largest():
    """The language with most text may enter late."""

    def share(seen):
        return {"target": seen, "seen": seen, "epochs": 0.5}

    record = {
        "recipe": {"name": "r", "evaluation_masking_ratio": 0.15},
        "variant": None,
        "data": {"languages": {"a": {"tokens": 5, "group": "high"}, "b": {"tokens": 9, "group": "mid"}}},
        "shares": {"first": {"a": share(1.0)}, "second": {"a": share(0.5), "b": share(0.5)}, "third": {"a": share(0)}},
        "evaluations": [],
    }
    report = language_report(record, 7)
    assert list(report["languages"]) == ["b", "a"] and report["phase"] == "second"
    header = as_markdown(report).splitlines()[4]
    assert [cell.strip() for cell in header.strip("|").split("|")][3:7] == [
        "first target %", "first seen %", "second target %", "second seen %"
    ]  # fmt: skip

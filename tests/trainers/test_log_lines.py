"""What each log line says of work and time, and that the numbers are right."""

import json
import logging
from typing import ClassVar

import mmbert.callbacks.throughput as throughput
import pytest
import torch
from mmbert.callbacks.throughput import PEAKS, matrix_rate
from mmbert.model_cards import build_card
from mmbert.modeling.flops import EncoderShape, training_flops
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerCallback

KEYS = {
    "loss",
    "tokens",
    "tokens_seen",
    "tokens_per_second",
    "gemm_fraction",
    "masking_ratio",
    "phase",
    "learning_rate",
}


class Clock:
    """A clock that stands still but for what a test adds."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class Passing(TrainerCallback):
    """Lets two seconds pass in every step."""

    def __init__(self, clock):
        self.clock = clock

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.clock.now += 2.0


def test_every_line_has_all_of_it_and_counts_training_alone(make_trainer, monkeypatch, caplog):
    clock = Clock()
    monkeypatch.setattr(throughput, "time", clock)
    monkeypatch.setattr(throughput, "matrix_rate", lambda device, dtype: ("gemm_fraction", 1e9))
    trainer = make_trainer("run", save_steps=2, callbacks=[Passing(clock)], gradient_accumulation_steps=2)
    monkeypatch.setattr(trainer, "_save_checkpoint", lambda *_: setattr(clock, "now", clock.now + 3600))
    with caplog.at_level(logging.INFO, logger="mmbert"):
        trainer.train()
    lines = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert [line["step"] for line in lines] == list(range(2, 25, 2))
    assert all(set(line) >= KEYS for line in lines)
    json.dumps(lines)  # plain numbers
    # Two steps of 512 tokens in four seconds, though each save takes an hour
    assert {line["tokens_per_second"] for line in lines} == {256}
    work = work_of(trainer)
    expected = [round(float(work[i] + work[i + 1]) / 4.0 / 1e9, 4) for i in range(0, 24, 2)]
    assert [line["gemm_fraction"] for line in lines] == pytest.approx(expected)
    assert trainer.state.total_flos == sum(work)
    text = [record.getMessage() for record in caplog.records if "tokens/s" in record.getMessage()]
    assert text[0].startswith("pretrain  step 2/24  tokens 1,024  loss ")
    assert "256 tokens/s  gemm fraction" in text[0] and text[0].endswith("0:00:44 left")


class StopAt(TrainerCallback):
    """Ends a training after a step, as a kill does after its checkpoint."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def test_the_record_counts_the_time_of_every_part(make_trainer, monkeypatch, tmp_path):
    """A stopped part, the stable run that goes on from it, and a variant from its end: 24 steps of two seconds."""
    clock = Clock()
    monkeypatch.setattr(throughput, "time", clock)
    monkeypatch.setattr(throughput, "matrix_rate", lambda device, dtype: ("gemm_fraction", 1e9))
    parts = [(None, "stable", 4, None), (None, "stable", 16, 4), ("decay-all", "decay", 24, 16)]
    for variant, folder, end, start in parts:
        trainer = make_trainer(folder, variant=variant, callbacks=[Passing(clock), StopAt(end)])
        trainer.train(resume_from_checkpoint=start and str(tmp_path / "stable" / f"checkpoint-{start}"))
        record = trainer.run_record()
        assert record["seconds"] == pytest.approx(2 * end, rel=1e-2)
        clock.now += 3600  # between the parts
    assert "48 seconds of steps" in str(build_card({**record, "variant": "decay-all"}))


class Recorder(TrainerCallback):
    """A service that logs are reported to, as transformers' integrations are."""

    seen: ClassVar[list] = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.seen.append(dict(logs))


def test_services_of_report_to_get_everything_that_is_logged(make_trainer, monkeypatch):
    from transformers.integrations import integration_utils

    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "recorder", Recorder)
    monkeypatch.setattr(Recorder, "seen", [])
    trainer = make_trainer("run", save_strategy="no", logging_steps=8, report_to="recorder")
    trainer.train()
    lines = [entry for entry in Recorder.seen if "loss" in entry]
    assert len(lines) == 3 and all(set(line) >= KEYS for line in lines)  # of 24 steps


def work_of(trainer):
    """Operations of each step, from the stream's own items."""
    config, stream = trainer.model.config, trainer.stream
    work = [0] * 24
    for item in (stream[i] for i in range(len(stream))):
        scored = int((item.labels != -100).sum())
        work[item.step] += training_flops(EncoderShape.of(config), item.lengths, scored, config.vocab_size)
    return work


def test_the_work_of_a_step_is_what_torch_counts(make_trainer):
    """Matrices against torch's own counter, to the last operation; attention, which kernels count or not, left out."""
    trainer = make_trainer("run", save_strategy="no")
    model, item = trainer.model, trainer.stream[3]
    model.config.sparse_prediction = False  # torch's counter does not look into the chunked loss
    batch = trainer.data_collator([item])
    batch.pop("metadata")
    with FlopCounterMode(display=False) as counter:
        model(**batch).loss.backward()
    shape, tokens = EncoderShape.of(model.config), int(item.lengths.sum())
    ours = training_flops(shape, item.lengths, tokens, model.config.vocab_size)
    attention = 3 * 4 * shape.hidden_size * len(shape.half_windows) * int((item.lengths**2).sum())
    matrices = counter.get_total_flops() - attention_counted(counter)
    assert matrices == pytest.approx(ours - attention, rel=1e-6)


def attention_counted(counter):
    return sum(
        flops
        for operation, flops in counter.get_flop_counts()["Global"].items()
        if "attention" in str(operation) or "bmm" in str(operation)
    )


def test_losses_are_looked_at_once_a_step(make_trainer, monkeypatch):
    trainer = make_trainer("run", save_strategy="no", gradient_accumulation_steps=4)
    looks, original = [], torch.Tensor.isfinite

    def isfinite(self):
        looks.append(self.shape)
        return original(self)

    monkeypatch.setattr(torch.Tensor, "isfinite", isfinite)
    trainer.train()
    assert looks.count(torch.Size([4])) == 24 and torch.Size([]) not in looks


def test_the_rate_of_this_processor_is_measured_once():
    name, rate = matrix_rate(torch.device("cpu"), torch.float32)
    assert name == "gemm_fraction"
    assert 1e8 < rate < 1e14
    assert matrix_rate(torch.device("cpu"), torch.float32) == (name, rate)


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GB200", 2500e12),
    ],
)
def test_a_gpu_goes_by_its_data_sheet(monkeypatch, device, peak):
    """Names as the driver spells them; no more specific name may be hidden by a shorter one before it."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: device)
    assert matrix_rate.__wrapped__(torch.device("cuda:0"), torch.bfloat16) == ("mfu", peak)
    names = [name for name, _ in PEAKS]
    assert not [n for i, n in enumerate(names) if any(earlier in n for earlier in names[:i])]


def test_a_batch_of_another_step_is_refused(make_trainer):
    trainer = make_trainer("run", save_strategy="no")
    original = trainer.stream.__class__.__getitem__
    skewed = type("Skewed", (trainer.stream.__class__,), {"__getitem__": lambda self, i: original(self, i ^ 1)})
    trainer.stream.__class__ = skewed
    with pytest.raises(RuntimeError, match=r"expected the batch of step 0, got step 1"):
        trainer.train()

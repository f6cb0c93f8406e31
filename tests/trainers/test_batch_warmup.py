"""A batch that grows at the beginning of a phase: every part of a run follows the rows of its step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmbert.recipes import Recipe
from tests_support import TINY_RECIPE
from transformers import TrainerCallback

# 4, 8 and 12 rows, two steps each, then 16: 48 rows of 32 tokens while it grows.
GROWING = TINY_RECIPE.replace("    batch_rows: 16\n", "    batch_rows: 16\n    batch_warmup_rows: 4\n", 1).replace(
    "    warmup_tokens: 1024\n", "    warmup_tokens: 1024\n    batch_warmup_tokens: 1536\n", 1
)
ROWS = [4, 4, 8, 8, 12, 12, 16, 16, 16, 16, 16] + [8] * 16


class Rates(TrainerCallback):
    def __init__(self):
        self.rates = []

    def on_pre_optimizer_step(self, args, state, control, optimizer=None, **kwargs):
        self.rates.append(optimizer.param_groups[0]["lr"])


class StopAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step >= self.step


@pytest.fixture
def growing(tmp_path):
    path = tmp_path / "growing.yaml"
    path.write_text(GROWING, encoding="utf-8")
    return Recipe.from_yaml(path)


def logs(trainer):
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def test_a_run_grows_its_batch_and_resumes_in_the_middle_of_it(make_trainer, growing):
    rates = Rates()
    options = {"recipe": growing, "logging_steps": 1, "gradient_accumulation_steps": 2}
    straight = make_trainer("straight", save_strategy="no", callbacks=[rates], **options)
    straight.train()
    assert straight.state.global_step == len(ROWS) == 27
    lines = logs(straight)

    # tokens of the log lines: rows so far, each of the phase's context length
    lengths = [32] * 11 + [64] * 16
    planned = np.cumsum([rows * length for rows, length in zip(ROWS, lengths, strict=True)])
    assert [line["tokens"] for line in lines] == planned.tolist()
    # tokens really read: packed, so a little beside the plan, and all in the token counts
    seen = np.array([line["tokens_seen"] for line in lines])
    assert np.abs(seen / planned - 1).max() < 0.06
    assert seen[-1] == straight.token_counter.tokens.sum()
    # the learning rate follows tokens: 1,024 of linear warm-up to 2e-3 end with the fourth step
    assert rates.rates[:5] == pytest.approx([2e-3 * tokens / 1024 for tokens in (128, 256, 512, 768)] + [2e-3])

    for stop in (3, 9):  # 3: within the second size; checkpoints lie at 2, 4, ...
        broken = make_trainer("broken", save_steps=2, callbacks=[StopAt(stop)], **options)
        broken.train(resume_from_checkpoint=stop > 3)
    last = make_trainer("broken", save_steps=2, dataloader_num_workers=1, **options)
    last.train(resume_from_checkpoint=True)
    assert [line["loss"] for line in logs(last)] == [line["loss"] for line in lines]
    assert [line["tokens_seen"] for line in logs(last)] == seen.tolist()
    for one, two in zip(straight.model.parameters(), last.model.parameters(), strict=True):
        assert torch.equal(one, two)
    assert (straight.token_counter.tokens == last.token_counter.tokens).all()
    assert (Path(last.args.output_dir) / "checkpoint-11").is_dir()  # the phase boundary, which the warm-up has moved


def test_more_parts_than_the_first_step_has_rows_are_refused(make_trainer, growing):
    with pytest.raises(ValueError, match=r"cut into 5 parts, but phase 'pretrain' has 4 rows in its first step"):
        make_trainer("run", recipe=growing, gradient_accumulation_steps=5)

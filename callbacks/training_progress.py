"""Where a training is, whichever trainer runs it: a bar on a terminal; elsewhere lines, with and between the logs.

The bar moves at every step, also while rows are scored. Where no terminal is, the Trainer's logs are lines, and steps
that take long get lines of their own, so that nobody waits for the next log without a word.
"""

import logging
import time
from datetime import timedelta
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.progress import Progress, per_second

logger = logging.getLogger(__name__)

_SILENCE = 15.0  # seconds without a line, where no terminal is


class TrainingProgress(TrainerCallback):
    """Shows step, loss, rows per second and time left.

    Args:
        lines: Whether logs of the Trainer become lines; another callback writes them if not.
    """

    def __init__(self, *, lines: bool = True) -> None:
        self._lines, self._bar = lines, None  # type: tuple[bool, Progress | None]
        self._scored: tuple[Progress, int] | None = None
        self._began = self._told = time.monotonic()
        self._first, self._loss = 0, ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._began = self._told = time.monotonic()
        self._first, self._loss = state.global_step, ""
        if state.is_world_process_zero and args.disable_tqdm:
            self._bar = Progress("train", interval=0.0)
            self._bar.resume(self._first)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar, or write a line after a long silence."""
        if self._bar is None or state.global_step == self._first:
            return
        text = self._text(args, state)
        if self._bar.draws:
            self._bar.update(state.global_step, state.max_steps, text)
        elif self._lines and time.monotonic() - self._told > _SILENCE and not control.should_log:
            self._tell(text, self._bar.left(state.global_step, state.max_steps))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a line with the loss."""
        steps = state.global_step - self._first
        if not logs or "loss" not in logs or not state.is_world_process_zero or steps < 1:
            return
        self._loss = f"  loss {float(logs['loss']):.4f}"
        if self._lines:
            left = (time.monotonic() - self._began) / steps * (state.max_steps - state.global_step)
            self._tell(self._text(args, state), left)

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Say how many batches are scored."""
        if not state.is_world_process_zero or not args.disable_tqdm:
            return
        bar, done = self._scored or (Progress("score", interval=_SILENCE), 0)
        total = len(eval_dataloader) if hasattr(eval_dataloader, "__len__") else None
        bar.update(done + 1, total, f"batch {done + 1}{f'/{total}' if total else ''}")
        self._scored = bar, done + 1

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the bar of scoring away."""
        if self._scored is not None:
            self._scored[0].close()
            self._scored = None

    def on_predict(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any, **kwargs: Any
    ) -> None:
        """Take the bar of scoring away."""
        self.on_evaluate(args, state, control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _text(self, args: TrainingArguments, state: TrainerState) -> str:
        text = f"step {state.global_step}/{state.max_steps}{self._loss}"
        if not self._lines:  # whoever writes them knows rates that fit the work
            return text
        steps = state.global_step - self._first
        rows = steps * args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        return f"{text}  {per_second(rows, time.monotonic() - self._began)} rows/s"

    def _tell(self, text: str, left: float | None) -> None:
        self._told = time.monotonic()
        logger.info("%s%s", text, "" if left is None else f"  {timedelta(seconds=round(left))} left")

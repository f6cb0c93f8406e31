"""Where a training is, whichever trainer runs it: a bar on a terminal; elsewhere lines, with and between the logs.

The bar moves at every step, also while rows are scored. Where no terminal is, the Trainer's logs are lines, and steps
that take long get lines of their own, so that nobody waits for the next log without a word.
"""

import logging
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.progress import Progress, clock_time, per_second

logger = logging.getLogger(__name__)

_SILENCE = 15.0  # seconds without a line, where no terminal is


class TrainingProgress(TrainerCallback):
    """Shows step, loss, rows per second and time left.

    Args:
        lines: Whether logs of the Trainer become lines; another callback writes them if not.
    """

    def __init__(self, *, lines: bool = True) -> None:
        self._lines = lines
        self._bar: Progress | None = None  # of the process that reports
        self._scored: tuple[Progress, int] | None = None
        self._told, self._first, self._loss = 0.0, 0, ""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._told = time.monotonic()
        self._first, self._loss = state.global_step, ""
        if state.is_world_process_zero:
            self._bar = Progress("train", shown=bool(args.disable_tqdm), interval=0.0)
            self._bar.resume(self._first)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Move the bar, or write a line after a long silence."""
        if self._bar is None or not args.disable_tqdm or state.global_step == self._first:
            return
        if self._bar.draws:
            self._bar.update(state.global_step, state.max_steps, self._text(args, state, self._bar))
        elif self._lines and time.monotonic() - self._told > _SILENCE and not control.should_log:
            self._tell(args, state, self._bar)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a line with the loss."""
        if not logs or "loss" not in logs or self._bar is None or state.global_step == self._first:
            return
        self._loss = f"  loss {float(logs['loss']):.4f}"
        if self._lines:
            self._tell(args, state, self._bar)

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

    def _text(self, args: TrainingArguments, state: TrainerState, bar: Progress) -> str:
        text = f"step {state.global_step}/{state.max_steps}{self._loss}"
        if not self._lines:  # whoever writes them knows rates that fit the work
            return text
        steps = state.global_step - self._first
        rows = steps * args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        return f"{text}  {per_second(rows, bar.seconds)} rows/s"

    def _tell(self, args: TrainingArguments, state: TrainerState, bar: Progress) -> None:
        self._told = time.monotonic()
        left = bar.left(state.global_step, state.max_steps)
        logger.info("%s%s", self._text(args, state, bar), "" if left is None else f"  {clock_time(left)} left")

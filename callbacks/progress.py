"""One line a log: where the run is, how fast, and when it will be done."""

import logging
import time
from datetime import timedelta
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)


class ProgressCallback(TrainerCallback):
    """Logs progress with an estimate of the time left, and adds `tokens_per_second` to the Trainer's history.

    Needs `LanguagePhaseCallback` before it in the list, which puts `phase` and `tokens` into the logs.
    """

    def __init__(self) -> None:
        self._last: tuple[float, int] | None = None
        self._first: tuple[float, int] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Start the clock."""
        self._first = (time.monotonic(), state.global_step)
        self._last = None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the line."""
        if logs is None or "loss" not in logs or not state.is_world_process_zero or self._first is None:
            return
        now, tokens = time.monotonic(), int(logs.get("tokens", 0))
        began, first_step = self._first
        if self._last is not None and now > self._last[0]:
            logs["tokens_per_second"] = round((tokens - self._last[1]) / (now - self._last[0]))
            state.log_history[-1]["tokens_per_second"] = logs["tokens_per_second"]
        self._last = (now, tokens)
        done = max(state.global_step - first_step, 1)
        left = timedelta(seconds=round((now - began) / done * (state.max_steps - state.global_step)))
        logger.info(
            "%s  step %d/%d  tokens %s  loss %.3f  masking %.0f %%  lr %.1e  %s tokens/s  %s left",
            logs.get("phase", "train"),
            state.global_step,
            state.max_steps,
            f"{tokens:,}",
            float(logs["loss"]),
            100 * float(logs.get("masking_ratio", float("nan"))),
            float(logs.get("learning_rate", float("nan"))),
            f"{logs.get('tokens_per_second', 0):,}",
            left,
        )

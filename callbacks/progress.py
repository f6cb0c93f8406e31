"""One line a log: where the run is, how fast, how much of that is useful work, and when it will be done.

The clock stands still while the Trainer evaluates and saves, so rates are those of training; the estimate of the time
left goes by tokens, because steps of a growing batch are not equally long.
"""

import logging
import time
from datetime import timedelta
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..recipes import Road
from .matrix_rate import matrix_rate
from .stream_of import stream_of

logger = logging.getLogger(__name__)


class ProgressCallback(TrainerCallback):
    """Logs progress, and adds `tokens_per_second` and `mfu` or `gemm_fraction` to the Trainer's history.

    Needs `LanguagePhaseCallback` before it in the list, which puts `phase` and `tokens` into the logs. The fraction is
    that of `matrix_rate` on all ranks together; the work is what the Trainer counts in `state.total_flos`.
    """

    def __init__(self) -> None:
        self.road: Road | None = None
        self._yardstick = ("gemm_fraction", float("inf"))
        self._mark = self._spent = self._last = 0.0  # seconds: of the clock, trained, trained at the last line
        self._tokens = self._first_tokens = 0
        self._flops = 0.0

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Find the yardstick and start the clock."""
        self.road = stream_of(train_dataloader, type(self).__name__).road
        if state.is_world_process_zero:
            dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else next(model.parameters()).dtype
            name, rate = matrix_rate(args.device, dtype)
            self._yardstick = (name, rate * args.world_size)
        self._tokens = self._first_tokens = self.road.tokens(state.global_step)
        self._flops = state.total_flos
        self._spent = self._last = 0.0
        self._mark = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Count the time of a step."""
        now = time.monotonic()
        self._spent += now - self._mark
        self._mark = now

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave out the time of an evaluation."""
        self._mark = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Leave out the time of a save."""
        self._mark = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write the line."""
        if logs is None or "loss" not in logs or not state.is_world_process_zero or self.road is None:
            return
        tokens = int(logs.get("tokens", 0))
        name, rate = self._yardstick
        seconds = max(self._spent - self._last, 1e-9)
        facts = {
            "tokens_per_second": round((tokens - self._tokens) / seconds),
            name: round((state.total_flos - self._flops) / seconds / rate, 4),
        }
        logs.update(facts)
        state.log_history[-1].update(facts)
        self._last, self._tokens, self._flops = self._spent, tokens, state.total_flos
        pace = self._spent / max(tokens - self._first_tokens, 1)
        left = timedelta(seconds=round(pace * (self.road.tokens(self.road.steps) - tokens)))
        logger.info(
            "%s  step %d/%d  tokens %s  loss %.3f  masking %.0f %%  lr %.1e  %s tokens/s  %s %.1f %%  %s left",
            logs.get("phase", "train"),
            state.global_step,
            state.max_steps,
            f"{tokens:,}",
            float(logs["loss"]),
            100 * float(logs.get("masking_ratio", float("nan"))),
            float(logs.get("learning_rate", float("nan"))),
            f"{facts['tokens_per_second']:,}",
            name.replace("_", " ").replace("mfu", "MFU"),
            100 * facts[name],
            left,
        )

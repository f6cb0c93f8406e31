"""One log line with where the run is, how fast, how much of that is useful work, and when it will be done.

The clock stops while the Trainer evaluates and saves, so rates are those of training; the time left is estimated by
tokens, because steps of a growing batch are not equally long. The useful work of a GPU is measured against its maker's
dense bf16 peak (`mfu`); that of a device whose peak is not listed, and of any CPU, against what it reaches itself in
one square matrix product (`gemm_fraction`). The two are different measures, so they have two names.
"""

import logging
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.progress import clock_time
from ..recipes import TrainingSchedule
from .stream_of import stream_of

logger = logging.getLogger(__name__)

# Dense bf16 operations per second, without sparsity: NVIDIA's and AMD's data sheets. The first name that fits counts.
PEAKS = (
    ("GB200", 2500e12),
    ("B200", 2250e12),
    ("GH200", 989e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H800", 989e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("A40", 150e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
    ("MI300X", 1307e12),
    ("MI250X", 383e12),
)
_SECONDS = 0.15  # of measuring, on one core about five products
_ROWS = {"cpu": 1024, "cuda": 8192}


class ThroughputCallback(TrainerCallback):
    """Logs progress, and adds `tokens_per_second` and `mfu` or `gemm_fraction` to the Trainer's history.

    Needs `LanguagePhaseCallback` before it in the list, which puts `phase` and `tokens` into the logs. The fraction is
    that of `matrix_rate` on all ranks together; the work is what the Trainer counts in `state.total_flos`.
    """

    def __init__(self) -> None:
        self.schedule: TrainingSchedule | None = None
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
        self.schedule = stream_of(train_dataloader, type(self).__name__).schedule
        if state.is_world_process_zero:
            dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else next(model.parameters()).dtype
            name, rate = matrix_rate(args.device, dtype)
            self._yardstick = (name, rate * args.world_size)
        self._tokens = self._first_tokens = self.schedule.tokens(state.global_step)
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
        if logs is None or "loss" not in logs or not state.is_world_process_zero or self.schedule is None:
            return
        tokens = int(logs.get("tokens", 0))
        name, rate = self._yardstick
        seconds = max(self._spent - self._last, 1e-9)
        rates: dict[str, Any] = {
            "tokens_per_second": round((tokens - self._tokens) / seconds),
            name: round((state.total_flos - self._flops) / seconds / rate, 4),
        }
        logs.update(rates)
        state.log_history[-1].update(rates)
        self._last, self._tokens, self._flops = self._spent, tokens, state.total_flos
        pace = self._spent / max(tokens - self._first_tokens, 1)
        left = clock_time(pace * (self.schedule.tokens(self.schedule.steps) - tokens))
        logger.info(
            "%s  step %d/%d  tokens %s  loss %.3f  masking %.0f %%  lr %.1e  %s tokens/s  %s %.1f %%  %s left",
            logs.get("phase", "train"),
            state.global_step,
            state.max_steps,
            f"{tokens:,}",
            float(logs["loss"]),
            100 * float(logs.get("masking_ratio", float("nan"))),
            float(logs.get("learning_rate", float("nan"))),
            f"{rates['tokens_per_second']:,}",
            name.replace("_", " ").replace("mfu", "MFU"),
            100 * rates[name],
            left,
        )


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> tuple[str, float]:
    """Return a device's rate, from the list or measured once per process."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, peak in PEAKS:
            if part in name:
                return "mfu", peak
    rows = _ROWS.get(device.type, 2048)
    left, right = (torch.ones(rows, rows, device=device, dtype=dtype) for _ in range(2))
    return "gemm_fraction", 2 * rows**3 / _best_seconds(lambda: left @ right, device)


def _best_seconds(product: Callable[[], torch.Tensor], device: torch.device) -> float:
    best, began = float("inf"), time.perf_counter()
    with torch.inference_mode():
        while best == float("inf") or time.perf_counter() - began < _SECONDS:
            start = time.perf_counter()
            product()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - start)
    return best

"""Sets the masking ratio by step and reports it.

A callback that sets a ratio on a collator is late: accelerate reads a batch ahead, workers read several, and a copy in
a worker never sees it. So this one sets nothing while training runs. Before the first batch is drawn it binds a
schedule to the stream, which computes each batch's ratio from its step; from then on it only reports.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..recipes import MaskingSchedule
from .stream_of import stream_of

if TYPE_CHECKING:
    from ..data.pretraining.dataset import MlmStream


class MaskingRatioCallback(TrainerCallback):
    """Binds a masking schedule to the stream and writes the ratio into every log line as `masking_ratio`.

    Args:
        schedule: None keeps the recipe's ratios. A mapping from phase names changes the ratio of those phases:
            `{"pretrain": 0.25}`. A mapping from steps is a schedule of its own: `{0: 0.3, 1000: 0.15}`.

    Raises:
        ValueError: If a ratio is not between 0 and 1, or steps do not begin at 0.
    """

    def __init__(self, schedule: Mapping[str, float] | Mapping[int, float] | None = None) -> None:
        self._by_phase: dict[str, float] = {}
        self._explicit: MaskingSchedule | None = None
        self._schedule: MaskingSchedule | None = None  # of the stream that it is bound to
        if schedule and all(isinstance(key, int) for key in schedule):
            steps = sorted(schedule)  # type: ignore[type-var]
            self._explicit = MaskingSchedule(tuple(steps), tuple(schedule[step] for step in steps))  # type: ignore[index, arg-type]
        elif schedule:
            self._by_phase = {str(name): ratio for name, ratio in schedule.items()}
            for ratio in self._by_phase.values():
                MaskingSchedule((0,), (ratio,))

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Bind the schedule; workers start after this and take it with them."""
        self.bind(stream_of(train_dataloader, type(self).__name__))

    def bind(self, stream: "MlmStream") -> None:
        """Give the stream its schedule."""
        self._schedule = self._explicit or MaskingSchedule.from_schedule(stream.schedule, self._by_phase)
        stream.masking = self._schedule

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Report the ratio of the step that was just trained."""
        if self._schedule is None or logs is None or "loss" not in logs:
            return
        logs["masking_ratio"] = self._schedule.ratio(max(state.global_step - 1, 0))
        state.log_history[-1]["masking_ratio"] = logs["masking_ratio"]

"""The report on languages, at every border and at the end: planned share, share read, epochs, and loss, by language.

It is told from the run's record and computes nothing of its own, so it and the model card cannot disagree. The files
are replaced as a whole; a reader never finds half a table.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..recipes import Road
from .language_report_files import language_report, write_report
from .stream_of import stream_of

logger = logging.getLogger(__name__)


class LanguageReportCallback(TrainerCallback):
    """Writes `language_report.json` and `.md` into the run's folder, and a picture if it is given a hand to draw one.

    `MlmTrainer` has one by default and binds its record to it; every rank must have one, rank 0 writes.

    Args:
        draw: Draws a report, `draw(report, path)`; such as `mmbert.model_cards.draw_language_report`. None: no picture.
    """

    def __init__(self, draw: Callable[[dict[str, Any], Path], Any] | None = None) -> None:
        self.draw = draw
        self._record: Callable[[], dict[str, Any]] | None = None
        self._road: Road | None = None
        self._written: tuple[int, int] | None = None

    def bind(self, record: Callable[[], dict[str, Any]]) -> None:
        """Say where the facts come from.

        Args:
            record: Gives the run's record so far; called on every rank.
        """
        self._record = record

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Find the phases."""
        if self._record is None:
            raise ValueError("LanguageReportCallback needs the record of an MlmTrainer; a plain Trainer keeps none.")
        self._road = stream_of(train_dataloader, type(self).__name__).road
        self._written = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report at a border that no evaluation follows."""
        if self._road is not None and self._road.is_border(state.global_step) and not control.should_evaluate:
            self._report(args, state)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Report at a border with the losses just measured."""
        if self._road is not None and self._road.is_border(state.global_step):
            self._report(args, state)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Report where training ends, a border or not."""
        self._report(args, state)

    def _report(self, args: TrainingArguments, state: TrainerState) -> None:
        told = (state.global_step, sum("eval_loss" in entry for entry in state.log_history))
        if self._record is None or self._written == told:
            return
        self._written = told
        record = self._record()  # on every rank: the counts are summed over them
        if not state.is_world_process_zero:
            return
        report = language_report(record, state.global_step)
        path = write_report(report, Path(str(args.output_dir)))
        if self.draw is not None:
            self.draw(report, path.with_suffix(".png"))
        logger.info("languages: %s", path)

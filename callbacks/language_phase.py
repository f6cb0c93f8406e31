"""Follows the phases: rotary base at the exact step, evaluation and checkpoint at every phase boundary.

Languages, temperature and context length change inside the stream, as functions of the position. What the model itself
must know, the base of its rotary embedding, changes here in the training process before the first step of the phase.
"""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..common.deprecation import renamed_keywords
from ..recipes import TrainingSchedule
from .stream_of import stream_of


class LanguagePhaseCallback(TrainerCallback):
    """Sets the model's RoPE theta by phase, evaluates and saves at phase ends, names the phase in every log line.

    Args:
        evaluate_at_phase_end: Ask the Trainer to evaluate when a phase ends.
        save_at_phase_end: Ask the Trainer to save a checkpoint when a phase ends.
    """

    @renamed_keywords(evaluate_at_borders="evaluate_at_phase_end", save_at_borders="save_at_phase_end")
    def __init__(self, *, evaluate_at_phase_end: bool = True, save_at_phase_end: bool = True) -> None:
        self.evaluate_at_phase_end = evaluate_at_phase_end
        self.save_at_phase_end = save_at_phase_end
        self.schedule: TrainingSchedule | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Check that the Trainer reads the stream step by step, and set the model to the phase it starts in."""
        stream = stream_of(train_dataloader, type(self).__name__)
        parts = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        if stream.parts != parts:
            raise ValueError(
                f"the stream is cut into {stream.parts} parts per step, but a step of this Trainer takes {parts} "
                f"(batch size x accumulation x ranks); call stream.split({parts}) before the Trainer is built."
            )
        self.schedule = stream.schedule
        self._set_theta(model, state.global_step)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **kwargs: Any
    ) -> None:
        """Set the rotary base of the phase whose first step is about to be trained."""
        if self.schedule is not None and state.global_step == self.schedule.at(state.global_step).first_step:
            self._set_theta(model, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluate and save where a phase ends."""
        if self.schedule is not None and self.schedule.is_phase_end(state.global_step):
            control.should_log = True
            control.should_evaluate |= self.evaluate_at_phase_end
            control.should_save |= self.save_at_phase_end
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Name the phase of the step that was just trained, and the tokens so far."""
        if self.schedule is None or logs is None:
            return
        entries: dict[str, Any] = {
            "phase": self.schedule.at(max(state.global_step - 1, 0)).phase.name,
            "tokens": self.schedule.tokens(min(state.global_step, self.schedule.steps)),
        }
        logs.update(entries)
        state.log_history[-1].update(entries)

    def _set_theta(self, model: Any, step: int) -> None:
        if self.schedule is None:
            return
        # The network computes its angles from the configuration in every forward, so this is all there is to change.
        config = getattr(model, "module", model).config  # DistributedDataParallel wraps the model
        config.global_rope_theta = config.local_rope_theta = self.schedule.at(step).phase.rope_theta

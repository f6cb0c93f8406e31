"""The phases' switch and witness: rotary base at the exact step, evaluation and checkpoint at every border.

Languages, temperature and context length change inside the stream, as functions of the position. What the model itself
must know, the base of its rotary embedding, changes here in the training process before the first step of the phase.
"""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..recipes import Road
from .stream_of import stream_of


class LanguagePhaseCallback(TrainerCallback):
    """Follows the phases of the stream: sets the model's RoPE theta, marks borders, names the phase in every log line.

    Args:
        evaluate_at_borders: Ask the Trainer to evaluate when a phase ends.
        save_at_borders: Ask the Trainer to save a checkpoint when a phase ends.
    """

    def __init__(self, *, evaluate_at_borders: bool = True, save_at_borders: bool = True) -> None:
        self.evaluate_at_borders = evaluate_at_borders
        self.save_at_borders = save_at_borders
        self.road: Road | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        train_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        """Check that the Trainer walks the road step by step, and set the model to the phase it starts in."""
        stream = stream_of(train_dataloader, type(self).__name__)
        parts = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        if stream.parts != parts:
            raise ValueError(
                f"the stream is cut into {stream.parts} parts a step, but a step of this Trainer takes {parts} "
                f"(batch size x accumulation x ranks); call stream.split({parts}) before the Trainer is built."
            )
        self.road = stream.road
        self._set_theta(model, state.global_step)

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **kwargs: Any,
    ) -> None:
        """Set the rotary base of the phase whose first step is about to be trained."""
        if self.road is not None and state.global_step == self.road.at(state.global_step).first_step:
            self._set_theta(model, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Evaluate and save where a phase ends."""
        if self.road is not None and self.road.is_border(state.global_step):
            control.should_log = True
            control.should_evaluate |= self.evaluate_at_borders
            control.should_save |= self.save_at_borders
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
        if self.road is None or logs is None:
            return
        facts: dict[str, Any] = {
            "phase": self.road.at(max(state.global_step - 1, 0)).phase.name,
            "tokens": self.road.tokens(min(state.global_step, self.road.steps)),
        }
        logs.update(facts)
        state.log_history[-1].update(facts)

    def _set_theta(self, model: Any, step: int) -> None:
        if self.road is None:
            return
        # The network computes its angles from the configuration in every forward, so this is all there is to change.
        config = getattr(model, "module", model).config  # DistributedDataParallel wraps the model
        config.global_rope_theta = config.local_rope_theta = self.road.at(step).phase.rope_theta

"""A Trainer that knows what it reads: each step takes its own batches, enters them in the ledger and counts their work.

A loss that is not finite stops the run before the weights move. Losses are looked at once a step, not once a
micro-batch: on a GPU each look waits for everything that was started before.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..data.stream import MlmStream
from ..modeling.flops import EncoderShape, training_flops
from .checkpointing import CheckpointingTrainer, NonFiniteLoss
from .ledger import Ledger
from .witness import Witness


class FromHere(Sampler[int]):
    """The positions of a stream from the step that a Trainer stands at, in their order.

    Trainer's own way to resume counts through everything that was read before: 144 ns a micro-batch, six hours at step
    1,000,000,000 of 144 micro-batches. A position can be named instead.

    Args:
        trainer: Knows its step when it begins to read.
    """

    def __init__(self, trainer: "WitnessedTrainer") -> None:
        self.trainer = trainer

    def __iter__(self) -> Iterator[int]:
        stream = self.trainer.stream
        return iter(range(self.trainer.state.global_step * stream.parts, len(stream)))

    def __len__(self) -> int:
        return len(self.trainer.stream)  # of the whole run: Trainer counts steps from its beginning


class EpochOfTheRun(TrainerCallback):
    """Counts `epoch` from the beginning of the run; Trainer counts from where it began to read."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Set it before the step is logged or saved."""
        state.epoch = state.global_step / state.max_steps


class WitnessedTrainer(CheckpointingTrainer):
    """Reads a stream of positions; a subclass says how it learns. Its collator must be a `WitnessCollator`."""

    stream: MlmStream
    ledger: Ledger
    _resumed_from: str | None = None

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        return FromHere(self)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        self._resumed_from = checkpoint  # and once more when the data loader has drawn its own seed

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor | int | None]:
        """Take the batches of one step, enter them in the ledger, and refuse a batch of another step.

        Args:
            epoch_iterator: The data loader.
            num_batches: Micro-batches of the step on this rank.
            device: Where labels are counted.

        Returns:
            The batches as the model reads them, and the number of masked tokens over all ranks.

        Raises:
            RuntimeError: If the loader delivered a batch of another step than the one being trained.
        """
        step = self.state.global_step
        self._batches: list[tuple[dict[str, Any], Witness]] = []
        self._losses: list[torch.Tensor] = []
        for batch in (next(epoch_iterator) for _ in range(num_batches)):
            witness: Witness = batch.pop("witness")
            if set(witness.steps) != {step}:
                raise RuntimeError(f"step {step} was handed a batch of step {list(witness.steps)}.")
            self.ledger.read(self.stream.road.at(step).index, witness.languages, witness.lengths)
            self._batches.append((batch, witness))
        if self._resumed_from is not None:
            super()._load_rng_state(self._resumed_from)
            self._resumed_from = None
        inputs = [batch for batch, _ in self._batches]
        return inputs, self._get_num_items_in_batch(inputs, device)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Train one micro-batch; with the last one of a step, look whether all losses were finite.

        Args:
            model: The network.
            inputs: The packed batch.
            num_items_in_batch: Masked tokens of the step over all ranks.

        Returns:
            The loss, detached.

        Raises:
            NonFiniteLoss: If a loss of this step is NaN or infinite; the optimizer has not moved.
        """
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._losses.append(loss)
        if len(self._losses) == len(self._batches):
            finite = torch.stack(self._losses).isfinite()
            if not bool(finite.all()):
                raise self._non_finite(finite.tolist().index(False))
        return loss

    def _non_finite(self, number: int) -> NonFiniteLoss:
        witness = self._batches[number][1]
        names = sorted({self.stream.languages[language] for language in witness.languages.tolist()})
        return NonFiniteLoss(
            f"loss is {self._losses[number].item()} at step {self.state.global_step}; the batch holds "
            f"{len(witness.lengths)} sequences of {witness.lengths.min()} to {witness.lengths.max()} tokens in "
            f"{', '.join(names)}. The last checkpoint is intact: resume from it with a lower learning rate, or look at "
            "these texts."
        )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Count the useful work of one micro-batch, which Trainer sums up in `state.total_flos` over all ranks.

        Args:
            inputs: The packed batch.

        Returns:
            Operations, forward and backward.
        """
        config = self.model.config
        witness = next((found for batch, found in self._batches if batch is inputs), None)
        if witness is None:
            raise RuntimeError("a batch was trained that the step did not read; pass `inputs` on as they came.")
        return training_flops(EncoderShape.of(config), witness.lengths, witness.scored, config.vocab_size)

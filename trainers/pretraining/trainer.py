"""The masked-LM trainer: HF Trainer underneath, a stream of positions in front, exact checkpoints behind.

What differs from Trainer: the dataset's item is a position, so a resumed run reads what an unbroken one would have
read; learning rate, masking ratio and phases are functions of the step; a checkpoint appears whole or not at all, holds
no pickle, and knows what it was trained on; a loss that is not finite stops the run and names its batch.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_callback import ProgressCallback as BarCallback

from ...callbacks import LanguagePhaseCallback, LanguageReportCallback, MaskingRatioCallback, ProgressCallback
from ...data.pretraining.collator import PackedCollator
from ...data.pretraining.dataset import MlmStream, PackedRows
from ...data.pretraining.heldout import HeldOut
from ...modeling import MmBertForMaskedLM
from ...modeling.flops import EncoderShape, training_flops
from ..checkpointing.paths import last_checkpoint, revision_of, tag_of, tagged
from ..checkpointing.trainer import CheckpointingTrainer, NonFiniteLoss
from .args import refuse_logs_across_checkpoints
from .eval_loss import group_losses, language_losses, resource_groups
from .optimizer import stable_adamw
from .record import run_record
from .run_fingerprint import RunIdentity, check_identity
from .token_counter import Ledger

# CODEMOD section trainers.witness
# What a batch holds, travelling beside its tensors.
#
# It is no tensor, so accelerate leaves it on the CPU: to enter a batch in the ledger, or to name one whose loss is not
# finite, nobody waits for the GPU.


@dataclass(frozen=True, slots=True)
class Witness:
    """Facts of one micro-batch.

    Attributes:
        steps: Optimizer step of each item.
        languages: Language number of each sequence, shape (n,).
        lengths: Tokens of each sequence, shape (n,).
        scored: Tokens to predict.
    """

    steps: tuple[int, ...]
    languages: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scored: int

    @classmethod
    def of(cls, items: Sequence[PackedRows]) -> "Witness":
        """Describe the items of a batch.

        Args:
            items: One or several packed rows.

        Returns:
            The witness.
        """
        return cls(
            tuple(item.step for item in items),
            np.concatenate([item.languages for item in items]),
            np.concatenate([item.lengths for item in items]),
            sum(int((item.labels != -100).sum()) for item in items),
        )


class WitnessCollator(PackedCollator):
    """`PackedCollator` whose batches carry their `witness`, which the trainer takes out before the model reads."""

    def __call__(self, items: Sequence[PackedRows]) -> dict[str, Any]:
        """Collate; see `PackedCollator`."""
        return {**super().__call__(items), "witness": Witness.of(items)}


# CODEMOD section trainers.witnessed
# A Trainer that knows what it reads: each step takes its own batches, enters them in the ledger and counts their work.
#
# A loss that is not finite stops the run before the weights move. Losses are looked at once a step, not once a
# micro-batch: on a GPU each look waits for everything that was started before.


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


# CODEMOD section trainers.mlm
# The masked-LM trainer: HF Trainer underneath, a stream of positions in front, exact checkpoints behind.
#
# What differs from Trainer: the dataset's item is a position, so a resumed run reads what an unbroken one would have
# read; learning rate, masking ratio and phases are functions of the step; a checkpoint appears whole or not at all,
# holds
# no pickle, and knows what it was trained on; a loss that is not finite stops the run and names its batch.


__all__ = ["MlmTrainer", "NonFiniteLoss"]

logger = logging.getLogger(__name__)


class MlmTrainer(WitnessedTrainer):
    """Trains a masked language model along a recipe.

    Args:
        model: The network.
        args: From `training_arguments`, or any TrainingArguments whose `max_steps` is the road's.
        train_dataset: The stream; it is cut into as many parts as one step takes.
        eval_dataset: Held-out text, or None for no evaluation.
        processing_class: The tokenizer, saved with every checkpoint.
        callbacks: Further callbacks. `MaskingRatioCallback`, `LanguagePhaseCallback`, `LanguageReportCallback` and
            `ProgressCallback` are added unless the list brings its own.

    Raises:
        ValueError: If `args.max_steps` is not the number of steps of the stream's road, `save_steps` is no multiple of
            `logging_steps`, or one process sees several GPUs.
    """

    def __init__(
        self,
        model: MmBertForMaskedLM,
        args: TrainingArguments,
        train_dataset: MlmStream,
        eval_dataset: HeldOut | None = None,
        processing_class: PreTrainedTokenizerFast | None = None,
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        self.stream = train_dataset
        self.heldout = eval_dataset
        road = train_dataset.road
        if args.max_steps != road.steps:
            raise ValueError(
                f"max_steps is {args.max_steps}, the recipe has {road.steps} steps; "
                "build the arguments with mmbert.trainers.training_arguments."
            )
        refuse_logs_across_checkpoints(args)
        if args.n_gpu > 1:
            raise ValueError(
                f"one process sees {args.n_gpu} GPUs and would split packed batches; use `accelerate launch`, or set "
                "CUDA_VISIBLE_DEVICES=0."
            )
        self.ledger = Ledger([phase.name for phase in road.phases], train_dataset.languages)
        judged = eval_dataset.languages if eval_dataset else []
        self.groups = resource_groups(train_dataset.recipe, train_dataset.languages, judged)
        super().__init__(
            model=model,
            args=args,
            data_collator=WitnessCollator(),
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=_with_defaults(callbacks, evaluate=eval_dataset is not None),
        )
        for bar in (BarCallback, PrinterCallback):
            self.remove_callback(bar)
        args.ignore_data_skip = True  # the sampler begins at the step
        self.add_callback(EpochOfTheRun())
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, LanguageReportCallback):
                callback.bind(lambda: run_record(self))
        train_dataset.split(args.train_batch_size * args.gradient_accumulation_steps * args.world_size)
        self.accelerator.dataloader_config.dispatch_batches = False
        if self.is_fsdp_enabled:
            _whole_checkpoints(self.accelerator.state.fsdp_plugin)
        _ = train_dataset.readers  # made before workers start, so that they share its tables

    # Learning

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Build StableAdamW over the model's parameters.

        Args:
            model: The network; the trainer's own by default.

        Returns:
            The optimizer.
        """
        if self.optimizer is None:
            plan = self.stream.recipe.optimizer
            self.optimizer = stable_adamw(model or self.model, plan, self.stream.road.peak_learning_rate)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Build the schedule of the road.

        Args:
            num_training_steps: Not needed, the road knows.
            optimizer: The optimizer; the trainer's own by default.

        Returns:
            The scheduler.
        """
        road = self.stream.road
        peak = road.peak_learning_rate
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: road.learning_rate(step) / peak)
        return self.lr_scheduler

    # Evaluating

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Score held-out text at the fixed masking ratio, by language and by resource group.

        Args:
            eval_dataset: Held-out text; the trainer's own by default.
            ignore_keys: Not used.
            metric_key_prefix: Put before the metrics' names.

        Returns:
            `eval_loss` (plain mean over languages) and `eval_loss_high`, `_mid`, `_low`, `_code`.

        Raises:
            ValueError: If there is no held-out text.
        """
        heldout = eval_dataset or self.heldout
        if not isinstance(heldout, HeldOut):
            raise ValueError("nothing to evaluate on: give MlmTrainer an mmbert.data.HeldOut as eval_dataset.")
        losses = language_losses(self.model, heldout, self.accelerator)
        metrics = {f"{metric_key_prefix}_loss": sum(losses.values()) / len(losses)}
        for group, loss in group_losses(losses, self.groups).items():
            metrics[f"{metric_key_prefix}_loss_{group}"] = loss
        self.log(dict(metrics))
        entry: dict[str, Any] = self.state.log_history[-1]  # type: ignore[assignment]
        entry["language_loss"] = losses
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        groups = "  ".join(f"{key.rpartition('_')[2]} {value:.3f}" for key, value in metrics.items())
        logger.info("held-out loss at %.0f %% masking: %s", 100 * heldout.masking_ratio, groups)
        return metrics

    # Keeping

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Train, from the beginning or from a checkpoint.

        Args:
            resume_from_checkpoint: A checkpoint's directory, True for the last one in `output_dir`, or the tag of a
                border in `output_dir`, such as `pretrain/1200`.
            **kwargs: `allow_changed_data` and `allow_changed_recipe` go on although the checkpoint was trained on
                something else; the rest goes to `Trainer.train`.

        Returns:
            Trainer's output.
        """
        flags = {key: kwargs.pop(key, False) for key in ("allow_changed_data", "allow_changed_recipe")}
        if resume_from_checkpoint is True:
            resume_from_checkpoint = str(last_checkpoint(Path(str(self.args.output_dir))))
        if resume_from_checkpoint:
            checkpoint = Path(resume_from_checkpoint)
            if not checkpoint.is_dir() and checkpoint.name.isdecimal():
                checkpoint = tagged(Path(str(self.args.output_dir)), str(resume_from_checkpoint))
                resume_from_checkpoint = str(checkpoint)
            for callback in self.callback_handler.callbacks:
                if isinstance(callback, MaskingRatioCallback):
                    callback.bind(self.stream)  # what it changes is part of what the checkpoint is compared with
            check_identity(checkpoint, self.stream, **flags)
            self.ledger.load(checkpoint)
            if not self.is_world_process_zero():
                self.ledger.tokens[:] = 0  # the checkpoint holds the sum over ranks; one of them carries it on
        return super().train(resume_from_checkpoint=resume_from_checkpoint or None, **kwargs)

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log, with the tokens really read so far; on every rank, since the counts are summed over them.

        Args:
            logs: What Trainer says.
            *args: As Trainer passes them on.
            **kwargs: As Trainer passes them on.
        """
        if "loss" in logs:
            logs["tokens_seen"] = int(self.ledger_tokens().sum())
        super().log(logs, *args, **kwargs)

    def ledger_tokens(self) -> Any:
        """Return the ledger's counts summed over the ranks, shape (phases, languages)."""
        if self.accelerator.num_processes == 1:
            return self.ledger.tokens
        counts = torch.from_numpy(self.ledger.tokens).to(self.accelerator.device)
        return self.accelerator.reduce(counts, reduction="sum").cpu().numpy()

    def publication_tag(self) -> str | None:
        """Return the revision tag of the border that the run stands at, None inside a phase."""
        tag = tag_of(self.stream.road, self.state.global_step)
        return tag and revision_of(tag)

    def publication_record(self) -> dict[str, Any]:
        """Return the run's record, from which the card of a published model is filled; every rank must call."""
        return run_record(self)

    def write_facts(self, directory: Path) -> None:
        """Put the ledger and the run's identity into a checkpoint.

        Args:
            directory: The checkpoint being written.
        """
        tokens = self.ledger_tokens()
        if self.args.should_save:
            self.ledger.save(directory, tokens)
            step = self.state.global_step
            RunIdentity.of(self.stream, step).save(directory, tag_of(self.stream.road, step))


def _whole_checkpoints(plugin: Any) -> None:
    if plugin.fsdp_version != 2:
        raise ValueError("FSDP version 1 is not supported; set fsdp_version: 2 in the accelerate configuration.")
    plugin.set_state_dict_type("FULL_STATE_DICT")  # tensors whole, in safetensors, as without sharding


def _with_defaults(callbacks: list[TrainerCallback] | None, *, evaluate: bool) -> list[TrainerCallback]:
    given = list(callbacks or [])
    phases = LanguagePhaseCallback(evaluate_at_borders=evaluate)
    for default in (MaskingRatioCallback(), phases, LanguageReportCallback(), ProgressCallback()):
        if not any(isinstance(callback, type(default)) for callback in given):
            given.append(default)
    # Progress reports what the others put into the logs, so it comes last.
    return sorted(given, key=lambda callback: isinstance(callback, ProgressCallback))

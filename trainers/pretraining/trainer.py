"""The masked-LM trainer: HF Trainer underneath, a stream of positions in front, exact checkpoints behind.

What differs from Trainer: the dataset's item is a position, so a resumed run reads what an unbroken one would have
read; learning rate, masking ratio and phases are functions of the step; a checkpoint appears whole or not at all, holds
no pickle, and knows what it was trained on; a loss that is not finite stops the run and names its batch.

The trainer works on copies of the caller's arguments and stream; what it was given stays as it is.
"""

import copy
import logging
import signal
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
from torch.utils.data import Sampler, get_worker_info
from transformers import PreTrainedTokenizerFast, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import get_reporting_integration_callbacks
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ...callbacks import LanguagePhaseCallback, LanguageReportCallback, MaskingRatioCallback, ThroughputCallback
from ...callbacks.training_progress import TrainingProgress
from ...data.pretraining.collator import PackedCollator
from ...data.pretraining.dataset import MlmStream, PackedRows
from ...data.pretraining.heldout import HeldOut
from ...modeling import MmBertForMaskedLM
from ...modeling.flops import EncoderShape, training_flops
from ..checkpointing.paths import check_resumable, last_checkpoint, revision_of, tag_of, tagged
from ..checkpointing.trainer import CheckpointingTrainer, NonFiniteLoss
from .args import refuse_logs_across_checkpoints
from .eval_loss import group_losses, language_losses, resource_groups
from .optimizer import stable_adamw
from .record import run_record
from .run_fingerprint import RunIdentity, check_identity
from .token_counter import TokenCounter

__all__ = ["MlmTrainer", "NonFiniteLoss"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchMetadata:
    """What a micro-batch holds; no tensor, so accelerate leaves it on the CPU and nobody waits for the GPU."""

    steps: tuple[int, ...]  # optimizer step of each item
    languages: NDArray[np.int64]  # language number of each sequence, shape (n,)
    lengths: NDArray[np.int64]  # tokens of each sequence, shape (n,)
    scored: int  # tokens to predict

    @classmethod
    def of(cls, items: Sequence[PackedRows]) -> "BatchMetadata":
        """Describe the packed rows of a batch."""
        return cls(
            tuple(item.step for item in items),
            np.concatenate([item.languages for item in items]),
            np.concatenate([item.lengths for item in items]),
            sum(int((item.labels != -100).sum()) for item in items),
        )


class BatchMetadataCollator(PackedCollator):
    """`PackedCollator` whose batches carry their `metadata`, which the trainer takes out before the model reads."""

    def __call__(self, items: Sequence[PackedRows]) -> dict[str, Any]:
        """Collate; see `PackedCollator`."""
        _leave_signals_to_the_run()
        return {**super().__call__(items), "metadata": BatchMetadata.of(items)}


def _leave_signals_to_the_run() -> None:
    """Let a data-loader process leave Ctrl-C to the run, and end on SIGTERM without a traceback."""
    if get_worker_info() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class MlmTrainer(CheckpointingTrainer):
    """Trains a masked language model along a recipe.

    Args:
        model: The network.
        args: From `training_arguments`, or any TrainingArguments whose `max_steps` is the schedule's.
        train_dataset: The stream; the trainer reads a copy of it, cut into as many parts as one step takes.
        eval_dataset: Held-out text, or None for no evaluation.
        processing_class: The tokenizer, saved with every checkpoint.
        callbacks: Further callbacks. `MaskingRatioCallback`, `LanguagePhaseCallback`, `LanguageReportCallback` and
            `ThroughputCallback` are added unless the list brings its own.

    Raises:
        ValueError: If `args.max_steps` is not the number of steps of the stream's schedule, `save_steps` is no multiple
            of `logging_steps`, or one process sees several GPUs.
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
        _check(args, train_dataset)
        args = copy.copy(args)
        args.ignore_data_skip = True  # the sampler begins at the step
        parts = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        self.stream = copy.copy(train_dataset).split(parts)
        _ = self.stream.readers  # made before workers start, so that they share its tables
        self.heldout = eval_dataset
        self.token_counter = TokenCounter([phase.name for phase in self.stream.schedule.phases], self.stream.languages)
        scored = eval_dataset.languages if eval_dataset else []
        self.groups = resource_groups(self.stream.recipe, self.stream.languages, scored)
        self._resumed_from: str | None = None
        super().__init__(
            model=model,
            args=args,
            data_collator=BatchMetadataCollator(),
            train_dataset=self.stream,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            callbacks=self._all_callbacks(callbacks or []),
        )
        reporters = tuple(get_reporting_integration_callbacks(args.report_to))
        own = self.callback_handler.callbacks
        # Trainer's own bar and printer go, unless given; what reports elsewhere comes last, to see all that is logged.
        kept = [one for one in own if one in (callbacks or []) or type(one) not in (ProgressCallback, PrinterCallback)]
        self.callback_handler.callbacks = sorted(kept, key=lambda one: type(one) in reporters)
        self.accelerator.dataloader_config.dispatch_batches = False
        if self.is_fsdp_enabled:
            _save_whole_tensors(self.accelerator.state.fsdp_plugin)

    def _all_callbacks(self, given: list[TrainerCallback]) -> list[TrainerCallback]:
        """Add the callbacks that a run needs; `ThroughputCallback` reports what the others log, so it comes last."""
        phases = LanguagePhaseCallback(evaluate_at_phase_end=self.heldout is not None)
        defaults = (MaskingRatioCallback(), phases, LanguageReportCallback(), ThroughputCallback())
        missing = [one for one in defaults if not any(isinstance(other, type(one)) for other in given)]
        bound = [
            one.bound_to(self.run_record) if isinstance(one, LanguageReportCallback) else one
            for one in (*given, *missing)
        ]
        ordered = sorted(bound, key=lambda one: isinstance(one, ThroughputCallback))
        return [*ordered, EpochOfTheRun(), TrainingProgress(lines=False)]

    # Reading

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler:
        return _FromStep(self)

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, torch.Tensor | int | None]:
        """Take the batches of one step, count their tokens on all ranks, and refuse a batch of another step."""
        step = self.state.global_step
        self._batches: list[tuple[dict[str, Any], BatchMetadata]] = []
        self._losses: list[torch.Tensor] = []
        for batch in (next(epoch_iterator) for _ in range(num_batches)):
            metadata: BatchMetadata = batch.pop("metadata")
            if set(metadata.steps) != {step}:
                got = ", ".join(map(str, sorted(set(metadata.steps))))
                raise RuntimeError(f"expected the batch of step {step}, got step {got}.")
            self.token_counter.add(self.stream.schedule.at(step).index, metadata.languages, metadata.lengths)
            self._batches.append((batch, metadata))
        if self._resumed_from is not None:  # once more, now that the data loader has drawn its own seed
            super()._load_rng_state(self._resumed_from)
            self._resumed_from = None
        inputs = [batch for batch, _ in self._batches]
        return inputs, self._get_num_items_in_batch(inputs, device)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        self._resumed_from = checkpoint

    def tokens_read(self) -> NDArray[np.int64]:
        """Return the tokens read, summed over the ranks, shape (phases, languages); every rank must call."""
        if self.accelerator.num_processes == 1:
            return self.token_counter.tokens
        counts = torch.from_numpy(self.token_counter.tokens).to(self.accelerator.device)
        summed: NDArray[np.int64] = self.accelerator.reduce(counts, reduction="sum").cpu().numpy()
        return summed

    # Learning

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Build StableAdamW over the parameters of a network, the trainer's own by default."""
        if self.optimizer is None:
            plan = self.stream.recipe.optimizer
            self.optimizer = stable_adamw(model or self.model, plan, self.stream.schedule.peak_learning_rate)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """Build the learning-rate schedule of the recipe; the number of steps is known from there."""
        schedule = self.stream.schedule
        peak = schedule.peak_learning_rate
        if self.lr_scheduler is None:
            self.lr_scheduler = LambdaLR(optimizer or self.optimizer, lambda step: schedule.learning_rate(step) / peak)
        return self.lr_scheduler

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Train one micro-batch; with the last one of a step, check whether all losses were finite."""
        loss = super().training_step(model, inputs, num_items_in_batch)
        self._losses.append(loss)
        if len(self._losses) == len(self._batches):  # once per step: on a GPU each check waits for all work before it
            finite = torch.stack(self._losses).isfinite()
            self.stop_together("" if bool(finite.all()) else self._non_finite(finite.tolist().index(False)))
        return loss

    def _non_finite(self, number: int) -> str:
        metadata = self._batches[number][1]
        names = sorted({self.stream.languages[language] for language in metadata.languages.tolist()})
        return (
            f"loss is {self._losses[number].item()} at step {self.state.global_step}; the batch holds "
            f"{len(metadata.lengths)} sequences of {metadata.lengths.min()} to {metadata.lengths.max()} tokens in "
            f"{', '.join(names)}. The last checkpoint is intact: resume from it with a lower learning rate, or look at "
            "these texts."
        )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Count the useful operations, forward and backward, of one micro-batch; Trainer sums them over all ranks."""
        config = self.model.config
        metadata = next((found for batch, found in self._batches if batch is inputs), None)
        if metadata is None:
            raise RuntimeError("a batch was trained that the step did not read; pass `inputs` on as they came.")
        return training_flops(EncoderShape.of(config), metadata.lengths, metadata.scored, config.vocab_size)

    def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """Train, from the beginning or from a checkpoint.

        Args:
            resume_from_checkpoint: A checkpoint's directory, True for the last one in `output_dir`, or the tag of a
                phase boundary in `output_dir`, such as `pretrain/1200`.
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
            check_resumable(checkpoint)
            check_identity(checkpoint, self.stream, **flags)
            self.token_counter.load(checkpoint)
            if not self.is_world_process_zero():
                self.token_counter.tokens[:] = 0  # the checkpoint holds the sum over ranks; one of them carries it on
        return super().train(resume_from_checkpoint=resume_from_checkpoint or None, **kwargs)

    # Reporting

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

    def log(self, logs: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        """Log as Trainer does, with the tokens really read so far; every rank must call."""
        if "loss" in logs:
            logs["tokens_seen"] = int(self.tokens_read().sum())
        super().log(logs, *args, **kwargs)

    def run_record(self) -> dict[str, Any]:
        """Describe the run so far, for its report and the card of a published model; every rank must call."""
        tokens = self.tokens_read()
        return run_record(self.stream, self.model, self.state.log_history, groups=self.groups, tokens=tokens)

    def revision_tag(self) -> str | None:
        """Return the revision of the phase boundary that the run stands at, None inside a phase."""
        tag = tag_of(self.stream.schedule, self.state.global_step)
        return tag and revision_of(tag)

    def write_run_state(self, directory: Path) -> None:
        """Put the token counts and the run's identity into a checkpoint that is being written."""
        tokens = self.tokens_read()
        if self.args.should_save:
            self.token_counter.save(directory, tokens)
            step = self.state.global_step
            RunIdentity.of(self.stream, step).save(directory, tag_of(self.stream.schedule, step))


class EpochOfTheRun(TrainerCallback):
    """Counts `epoch` from the beginning of the run; Trainer counts from where it began to read."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Set it before the step is logged or saved."""
        state.epoch = state.global_step / state.max_steps


class _FromStep(Sampler[int]):
    """The positions of a stream from the step that a Trainer stands at, in their order.

    Trainer's own way to resume counts through everything that was read before: 144 ns per micro-batch, six hours at
    step 1,000,000,000 of 144 micro-batches. A position can be named instead.
    """

    def __init__(self, trainer: MlmTrainer) -> None:
        self.trainer = trainer  # whose state is another object once it resumes

    def __iter__(self) -> Iterator[int]:
        stream = self.trainer.stream
        return iter(range(self.trainer.state.global_step * stream.parts, len(stream)))

    def __len__(self) -> int:
        return len(self.trainer.stream)  # of the whole run: Trainer counts steps from its beginning


def _check(args: TrainingArguments, stream: MlmStream) -> None:
    if args.max_steps != stream.schedule.steps:
        raise ValueError(
            f"max_steps is {args.max_steps}, the recipe has {stream.schedule.steps} steps; "
            "build the arguments with mmbert.trainers.training_arguments."
        )
    refuse_logs_across_checkpoints(args)
    if args.n_gpu > 1:
        raise ValueError(
            f"one process sees {args.n_gpu} GPUs and would split packed batches; use `accelerate launch`, or set "
            "CUDA_VISIBLE_DEVICES=0."
        )


def _save_whole_tensors(plugin: Any) -> None:
    if plugin.fsdp_version != 2:
        raise ValueError("FSDP version 1 is not supported; set fsdp_version: 2 in the accelerate configuration.")
    plugin.set_state_dict_type("FULL_STATE_DICT")  # in safetensors, as without sharding

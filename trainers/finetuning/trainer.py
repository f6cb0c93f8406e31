"""HF Trainer with what fine-tuning needs beside it: one rate per layer, weighted classes, scores over whole data sets.

A task scores rows, not batches (a question's windows, a document's parts, a language's share), so the metrics get every
prediction together with the data set it belongs to. Checkpoints are written whole and without a pickle; they say what
the run is made of, so that another one does not go on from them. Beside the newest the best one on dev is kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import RandomSampler, Sampler
from transformers import Trainer, TrainerState
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from ...callbacks.training_progress import TrainingProgress
from ...common.checkpoints.integrity import verify_checksums, write_checksums
from ...common.files import read_json, replacing, write_json
from ..checkpointing.paths import check_resumable, checkpoints, rotate
from ..checkpointing.state import load_scheduler, save_scheduler
from ..checkpointing.trainer import CheckpointingTrainer
from ..pretraining.run_fingerprint import FILE as IDENTITY_FILE
from .class_weights import WeightedLoss
from .layerwise_lr import parameter_groups

logger = logging.getLogger(__name__)

Predictions = list[np.ndarray]
Metrics = Callable[[Predictions, Dataset], dict[str, float]]

KEY = "fine_tuning"  # under which a checkpoint has what the run is made of
MODEL_KEYS = ("input_ids", "attention_mask", "labels", "start_positions", "end_positions")
_LANGUAGES = "languages"  # rides along in a batch, so that a broken one can be named


def own_checkpoints(folder: Path) -> dict[int, Path]:
    """Find checkpoints of a fine-tuning by step: a folder may hold those of a pre-training too."""
    return {step: path for step, path in checkpoints(folder).items() if KEY in read_json(path / IDENTITY_FILE)}


class EpochOrder(Sampler[int]):
    """A sampler whose order depends on seed and epoch alone; the same as accelerate's for random orders.

    Of a random order accelerate sees to that on one process; where several share batches it forgets which epoch is
    resumed, and batches of similar lengths are drawn from the global generator, whose state at the start is gone.

    Args:
        sampler: Draws from its `generator`: random, or grouped by length.
        trainer: Knows its epoch when it begins to read.
        seed: Of epoch 0; that of epoch n is n more.
    """

    def __init__(self, sampler: Any, trainer: Trainer, seed: int) -> None:
        self.sampler: RandomSampler = sampler
        self.trainer, self.seed = trainer, seed

    def __iter__(self) -> Iterator[int]:
        epoch = int(self.trainer.state.epoch or 0)  # in the middle of epoch 3 it is 3.5
        self.sampler.generator = torch.Generator().manual_seed(self.seed + epoch)
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)


class FineTuneCheckpoints(CheckpointingTrainer):
    """Keeps and resumes the checkpoints of a fine-tuning."""

    identity: Mapping[str, Any]

    def write_run_state(self, directory: Path) -> None:
        """Write what the run is made of into a checkpoint."""
        if self.args.should_save:
            write_json(directory / IDENTITY_FILE, {"step": self.state.global_step, KEY: self.identity}, indent=1)

    def rotate(self, directory: Path) -> None:
        """Keep the newest checkpoints and the one that scored best."""
        rotate(own_checkpoints(home := directory.parent), self.args.save_total_limit, [self._best_in(home)])

    def publish(self, directory: Path) -> None:
        """Publish nothing yet: a fine-tuned network is published when it is finished."""
        best = self._best_in(directory.parent)  # Trainer looked for it where the checkpoint was being written
        self.state.best_model_checkpoint = None if best is None else str(best)

    def train_from(self, checkpoint: Path | None) -> None:
        """Train to the end."""
        if checkpoint is None:
            self.train()
            return
        check_resumable(checkpoint)
        path = checkpoint / "trainer_state.json"
        state = TrainerState.load_from_json(str(path))
        best = checkpoint.parent / f"checkpoint-{state.best_global_step}"
        found = str(best) if best.is_dir() else None
        if found is not None:
            verify_checksums(best)
        self.accelerator.wait_for_everyone()  # every process has read it
        if state.best_model_checkpoint != found:  # the folder has moved
            state.best_model_checkpoint = found
            if self.is_world_process_zero():
                with replacing(path) as partial:
                    state.save_to_json(str(partial))
                write_checksums(checkpoint)
        self.accelerator.wait_for_everyone()
        if _has_ended(state):  # Trainer would do one more step
            self._load_from_checkpoint(str(checkpoint))
            self.state = state
            if self.args.load_best_model_at_end and state.best_model_checkpoint is not None:
                self._load_best_model()
        else:
            self.train(resume_from_checkpoint=str(checkpoint))

    def restore_scheduler(self, directory: Path) -> None:
        """Set the schedule back to where it was."""
        load_scheduler(self.lr_scheduler, self.optimizer, directory)

    def _best_in(self, home: Path) -> Path | None:
        best = home / f"checkpoint-{self.state.best_global_step}"
        return best if self.state.best_global_step and best.is_dir() else None

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.args.should_save and not self.is_deepspeed_enabled:
            save_scheduler(self.lr_scheduler, Path(output_dir))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if hasattr(self.model, "peft_config"):  # its checkpoints hold adapters and head, which peft reads
            Trainer._load_from_checkpoint(self, resume_from_checkpoint, model)
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)


def _has_ended(state: TrainerState) -> bool:
    callbacks: Any = state.stateful_callbacks  # as a checkpoint has them, plain values by name
    told = callbacks.get("TrainerControl", {}).get("args", {})
    return state.global_step >= state.max_steps or bool(told.get("should_training_stop"))


class RowCollator:
    """Hands the model's columns to a task's collator, and the rows' languages past it."""

    def __init__(self, collate: Callable[[list[dict[str, Any]]], Any]) -> None:
        self.collate = collate

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch."""
        batch = dict(self.collate([{key: row[key] for key in MODEL_KEYS if key in row} for row in rows]))
        batch[_LANGUAGES] = [str(row.get("language")) for row in rows]
        return batch


class FineTuneTrainer(FineTuneCheckpoints):
    """Trains a head and its encoder; `metrics` score all predictions of a set, `main_metric` chooses the network."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        identity: Mapping[str, Any] | None = None,
        main_metric: str | None = None,
        layer_decay: float = 1.0,
        class_weights: Tensor | None = None,
        **arguments: Any,
    ) -> None:
        arguments["data_collator"] = RowCollator(arguments["data_collator"])
        if class_weights is not None:
            arguments["compute_loss_func"] = WeightedLoss(class_weights)
        super().__init__(**arguments)
        if self.args.n_gpu > 1:
            raise ValueError(
                f"one process sees {self.args.n_gpu} GPUs; use `accelerate launch`, or set CUDA_VISIBLE_DEVICES=0."
            )
        self.remove_callback(PrinterCallback)
        self.add_callback(TrainingProgress())
        self.metrics, self.main_metric, self.layer_decay = metrics, main_metric, layer_decay
        self.identity = dict(identity or {})

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        sampler = super()._get_train_sampler(train_dataset)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochOrder(sampler, self, seed) if isinstance(sampler, RandomSampler | LengthGroupedSampler) else sampler

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Build the optimizer that the arguments name, with a rate for each layer."""
        if self.optimizer is None:
            network: Any = model or self.model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, network)
            groups = parameter_groups(network, self.args.learning_rate, self.args.weight_decay, self.layer_decay)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def compute_loss(  # type: ignore[override]
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **options: Any
    ) -> Any:
        """Compute the loss of a batch; while training, one that is not finite stops the run, on all ranks alike."""
        languages = inputs.pop(_LANGUAGES, [])
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
        told, mask = "", inputs["attention_mask"]
        if model.training and not torch.isfinite(loss):
            told = (
                f"the loss is {loss.item()} at step {self.state.global_step + 1}, languages "
                f"{', '.join(sorted(set(languages)))}, lengths {mask.flatten(0, -2).sum(-1).tolist()}; lower "
                "learning_rate, or train without bf16."
            )
        if model.training:
            self.stop_together(told)
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Score a batch; its languages are no input of the network."""
        inputs = {key: value for key, value in inputs.items() if key != _LANGUAGES}
        return super().prediction_step(model, inputs, *args, **kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Predict all rows and score them together."""
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        predictions, loss = self.predict_rows(rows)
        plain = self.metrics(predictions, rows)
        main = self.main_metric or next(iter(plain))
        if loss is not None:
            plain = {**plain, "loss": loss}
        if main not in plain:
            raise ValueError(f"metric is {main!r}, but the task reports {', '.join(plain)}.")
        scores = {f"{metric_key_prefix}_{name}": value for name, value in {**plain, "main": plain[main]}.items()}
        self.log(dict(scores))
        logger.info("step %d of %d: %s %.4f", self.state.global_step, self.state.max_steps, main, plain[main])
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, scores)
        return scores

    def predict_rows(self, dataset: Dataset) -> tuple[Predictions, float | None]:
        """Run the network over rows; every rank gets all predictions."""
        output = self.predict(dataset, metric_key_prefix="rows")  # type: ignore[arg-type]
        return rows_of(output.predictions, dataset), (output.metrics or {}).get("rows_loss")


def rows_of(predictions: Any, dataset: Dataset | Mapping[str, Any]) -> Predictions:
    """Cut what Trainer padded and stacked into rows."""
    if isinstance(predictions, tuple):
        predictions = np.stack(predictions, axis=-1)
    if predictions.ndim == 2:
        return list(predictions)
    return [row[: len(ids)] for row, ids in zip(predictions, dataset["input_ids"], strict=True)]

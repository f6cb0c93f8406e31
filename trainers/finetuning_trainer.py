"""HF Trainer with what fine-tuning needs beside it: one rate a layer, weighted classes, scores over whole data sets.

A task scores rows, not batches (a question's windows, a document's parts, a language's share), so the metrics get every
prediction together with the data set it belongs to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import RandomSampler, Sampler
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_pt_utils import LengthGroupedSampler

from .checkpointing import NonFiniteLoss
from .class_weights import WeightedLoss
from .epoch_order import EpochOrder
from .finetuning_checkpoints import FineTuneCheckpoints
from .layer_rates import parameter_groups

logger = logging.getLogger(__name__)

Predictions = list[np.ndarray]
Metrics = Callable[[Predictions, Dataset], dict[str, float]]

MODEL_KEYS = ("input_ids", "attention_mask", "labels", "start_positions", "end_positions")
_LANGUAGES = "languages"  # rides along in a batch, so that a broken one can be named


class RowCollator:
    """Hands the model's columns to a task's collator, and the rows' languages past it.

    Args:
        collate: Pads rows of the model's columns to one batch of tensors.
    """

    def __init__(self, collate: Callable[[list[dict[str, Any]]], Any]) -> None:
        self.collate = collate

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        """Make a batch."""
        batch = dict(self.collate([{key: row[key] for key in MODEL_KEYS if key in row} for row in rows]))
        batch[_LANGUAGES] = [str(row.get("language")) for row in rows]
        return batch


class FineTuneTrainer(FineTuneCheckpoints):
    """Trains a head and its encoder.

    Args:
        metrics: Scores all predictions of a data set.
        identity: What the run is made of, for its checkpoints.
        main_metric: The score that chooses among networks; None: the first one.
        layer_decay: See `FineTuneOptions.layer_decay`.
        class_weights: (classes,) weights of the loss; None weighs all alike.
        **arguments: For Trainer.
    """

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
        self.metrics, self.main_metric, self.layer_decay = metrics, main_metric, layer_decay
        self.identity = dict(identity or {})

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        sampler = super()._get_train_sampler(train_dataset)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return EpochOrder(sampler, self, seed) if isinstance(sampler, RandomSampler | LengthGroupedSampler) else sampler

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Build the optimizer that the arguments name, with a rate for each layer.

        Args:
            model: The network; the trainer's own by default.

        Returns:
            The optimizer.
        """
        if self.optimizer is None:
            network: Any = model or self.model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, network)
            groups = parameter_groups(network, self.args.learning_rate, self.args.weight_decay, self.layer_decay)
            self.optimizer = kind(groups, **options)
        return self.optimizer

    def compute_loss(  # type: ignore[override]
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **options: Any
    ) -> Any:
        """Compute the loss of a batch; while training, one that is not finite stops the run.

        Args:
            model: The network, as wrapped for training.
            inputs: The batch.
            return_outputs: Whether to return the network's outputs too.
            **options: As Trainer passes them on.

        Returns:
            The loss, or the loss and the outputs.

        Raises:
            NonFiniteLoss: Names step, languages and lengths of the batch.
        """
        languages = inputs.pop(_LANGUAGES, [])
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **options)
        if model.training and not torch.isfinite(loss):
            mask = inputs["attention_mask"]
            raise NonFiniteLoss(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}, languages "
                f"{', '.join(sorted(set(languages)))}, lengths {mask.flatten(0, -2).sum(-1).tolist()}; lower "
                "learning_rate, or train without bf16."
            )
        return (loss, outputs) if return_outputs else loss

    def prediction_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Score a batch; its languages are no input of the network."""
        inputs = {key: value for key, value in inputs.items() if key != _LANGUAGES}
        return super().prediction_step(model, inputs, *args, **kwargs)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Predict all rows and score them together.

        Args:
            eval_dataset: Encoded rows; the trainer's own by default.
            ignore_keys: Outputs of the network to leave aside.
            metric_key_prefix: Put before the scores' names.

        Returns:
            The scores, `main` (the one that chooses) and, where rows have labels, the loss.

        Raises:
            ValueError: If the task does not report the main metric.
        """
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
        """Run the network over rows; every rank gets all predictions.

        Args:
            dataset: Encoded rows.

        Returns:
            For each row (classes,), (choices,), or without its padding (tokens, classes) and for spans (tokens, 2);
            and the mean loss, None without labels.
        """
        output = self.predict(dataset, metric_key_prefix="rows")  # type: ignore[arg-type]
        return rows_of(output.predictions, dataset), (output.metrics or {}).get("rows_loss")


def rows_of(predictions: Any, dataset: Dataset) -> Predictions:
    """Cut what Trainer padded and stacked into rows.

    Args:
        predictions: (N, classes), (N, L, classes), or two of (N, L) for the starts and ends of spans.
        dataset: The N rows, padded on the right.

    Returns:
        See `FineTuneTrainer.predict_rows`.
    """
    if isinstance(predictions, tuple):
        predictions = np.stack(predictions, axis=-1)
    if predictions.ndim == 2:
        return list(predictions)
    return [row[: len(ids)] for row, ids in zip(predictions, dataset["input_ids"], strict=True)]

"""From our options to transformers' TrainingArguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from .finetuning_options import FineTuneOptions
from .finetuning_saving import repository_name

_LABELS = {"spans": ["start_positions", "end_positions"]}


def training_arguments(options: FineTuneOptions, head: str, folder: Path, *, judged: bool) -> TrainingArguments:
    """Translate options; a field named in `options.training` wins.

    Args:
        options: The options.
        head: What the network decides.
        folder: Where checkpoints lie while training.
        judged: Whether dev is scored and the best network kept.

    Returns:
        The arguments.

    Raises:
        ValueError: If `options.training` names a field that TrainingArguments does not have.
    """
    own = dict(options.training)
    unknown = sorted(set(own) - set(TrainingArguments.__dataclass_fields__))
    if unknown:
        raise ValueError(f"training names {unknown[0]!r}, which is no field of transformers.TrainingArguments.")
    fields: dict[str, Any] = {
        "num_train_epochs": options.epochs,
        "max_steps": options.max_steps,
        "learning_rate": options.peak_learning_rate,
        "warmup_steps": options.warmup,  # below 1 it is a share
        "lr_scheduler_type": options.schedule,
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        "per_device_train_batch_size": options.batch_size,
        "per_device_eval_batch_size": options.evaluation_batch_size,
        "gradient_accumulation_steps": options.accumulation,
        "bf16": options.bf16,
        # transformers takes bf16 without a GPU only from who says that the CPU is meant
        "use_cpu": not torch.accelerator.is_available(),
        "seed": options.seed,
        "label_names": _LABELS.get(head, ["labels"]),
        "remove_unused_columns": False,  # RowCollator chooses
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False,
        "logging_steps": 0.05,
        "disable_tqdm": True,
        "report_to": "none",
        "save_strategy": "no",
    }
    if options.group_by_length:
        fields |= {"train_sampling_strategy": "group_by_length", "length_column_name": "length"}
    if options.gradient_checkpointing:
        newer = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
        fields["activation_checkpointing" if newer else "gradient_checkpointing"] = True
    if judged:
        fields |= _judging(options)
    own["hub_model_id"] = own.get("hub_model_id") or repository_name(folder)
    return TrainingArguments(str(folder), **{**fields, **own})


def _judging(options: FineTuneOptions) -> dict[str, Any]:
    """Score dev so often, keep the best network; checkpoints hold weights only, so no pickle is read back."""
    often: dict[str, Any] = {"eval_strategy": "epoch", "save_strategy": "epoch"}
    if options.evaluations_an_epoch > 1:
        if options.max_steps > 0:
            raise ValueError("evaluations_an_epoch needs whole epochs; give eval_steps in `training` with max_steps.")
        share = 1 / (options.epochs * options.evaluations_an_epoch)
        often = {"eval_strategy": "steps", "eval_steps": share, "save_strategy": "steps", "save_steps": share}
    return {
        **often,
        "save_total_limit": 1,
        "save_only_model": True,
        "load_best_model_at_end": True,
        "metric_for_best_model": "main",
        "greater_is_better": options.more_is_better,
    }

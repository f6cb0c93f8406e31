"""From our options to transformers' TrainingArguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from .config import FineTuneOptions
from .output import repository_name

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
        ValueError: If `options.training` names a field that TrainingArguments does not have, or that `metric` decides.
    """
    own = dict(options.training)
    unknown = sorted(set(own) - set(TrainingArguments.__dataclass_fields__))
    if unknown:
        raise ValueError(f"training names {unknown[0]!r}, which is no field of transformers.TrainingArguments.")
    if "metric_for_best_model" in own:  # of errors less is better, which only our `metric` knows
        raise ValueError("training names metric_for_best_model; name the score as FineTuneOptions(metric=...) instead.")
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
    if _keeps_state(options):
        fields |= {"save_strategy": "steps", "save_total_limit": 1}
    if judged:
        fields |= _judging(options)
    own["hub_model_id"] = own.get("hub_model_id") or repository_name(folder)
    return TrainingArguments(str(folder), **{**fields, **own})


def evaluations(options: FineTuneOptions) -> dict[str, Any]:
    """Say when dev is scored: as often as checkpoints are kept, where options name that, because the best is one.

    Args:
        options: The options.

    Returns:
        `eval_strategy` and `eval_steps`, as TrainingArguments takes them.

    Raises:
        ValueError: If options say two things about it.
    """
    own = options.training
    strategy, steps, often = "epoch", None, options.evaluations_an_epoch
    if "eval_strategy" in own or "eval_steps" in own:
        strategy, steps = _plain(own.get("eval_strategy", "steps")), own.get("eval_steps")
    elif _keeps_state(options):
        if often > 1:
            raise ValueError(
                f"evaluations_an_epoch is {often}, but dev is scored whenever a checkpoint is kept; leave one out."
            )
        strategy, steps = _plain(own.get("save_strategy", "steps")), own.get("save_steps")
        strategy = "epoch" if strategy == "best" else strategy
    elif often > 1:
        if options.max_steps > 0:
            raise ValueError("evaluations_an_epoch needs whole epochs; give eval_steps in `training` with max_steps.")
        strategy, steps = "steps", 1 / (options.epochs * often)
    return {"eval_strategy": strategy, "eval_steps": steps}


def _judging(options: FineTuneOptions) -> dict[str, Any]:
    """Score dev so often, keep the best network; unless options ask for more, checkpoints hold weights only."""
    often = evaluations(options)
    return {
        **often,
        "save_strategy": often["eval_strategy"],
        **({} if often["eval_steps"] is None else {"save_steps": often["eval_steps"]}),
        "save_total_limit": 1,
        "save_only_model": not _keeps_state(options),
        "restore_callback_states_from_checkpoint": True,  # how long early stopping has waited
        "load_best_model_at_end": True,
        "metric_for_best_model": "main",
        "greater_is_better": options.more_is_better,
    }


def _keeps_state(options: FineTuneOptions) -> bool:
    """Whether checkpoints are asked for that training can go on from."""
    named = "save_steps" in options.training or "save_strategy" in options.training
    return named and _plain(options.training.get("save_strategy")) != "no"


def _plain(value: Any) -> Any:
    return getattr(value, "value", value)

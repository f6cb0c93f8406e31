"""TrainingArguments that follow from a recipe, so that a run is described once."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ...recipes import Recipe, Road


def training_arguments(recipe: Recipe, road: Road, output_dir: str | Path, **overrides: Any) -> TrainingArguments:
    """Return the Trainer's arguments for one road of a recipe.

    Args:
        recipe: The plan.
        road: The phases this run goes through.
        output_dir: Where checkpoints go.
        **overrides: Any field of TrainingArguments, but for what the recipe fixes: steps, rate, decay, clipping, seed.

    Returns:
        The arguments.

    Raises:
        ValueError: If an override contradicts the recipe.
    """
    fixed: dict[str, Any] = {
        "max_steps": road.steps,
        "learning_rate": road.peak_learning_rate,
        "weight_decay": recipe.optimizer.weight_decay,
        "max_grad_norm": recipe.optimizer.max_grad_norm,
        "seed": recipe.seed,
    }
    clash = sorted(set(fixed) & set(overrides))
    if clash:
        raise ValueError(f"{', '.join(clash)}: the recipe decides this; change it there, not in the arguments.")
    # By the longest road of the recipe: a variant logs and saves at the steps of the trunk that it branches from.
    steps = max(recipe.road(variant).steps for variant in (None, *recipe.variants))
    intervals = ("logging_steps", "save_steps")
    overrides |= {key: _whole(value, steps) for key, value in overrides.items() if key in intervals}
    logging_steps = _logging_steps(overrides.get("logging_steps"), overrides.get("save_steps"), max(1, steps // 100))
    defaults: dict[str, Any] = {
        "per_device_train_batch_size": 1,
        "logging_steps": logging_steps,
        "save_strategy": "steps",
        "save_steps": 10 * logging_steps,  # a multiple, so that no logged mean spans a checkpoint
        "save_total_limit": 2,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "logging_nan_inf_filter": False,
        "ddp_find_unused_parameters": False,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    arguments = TrainingArguments(output_dir=str(output_dir), **{**defaults, **overrides, **fixed})
    refuse_logs_across_checkpoints(arguments)
    return arguments


def refuse_logs_across_checkpoints(arguments: TrainingArguments) -> None:
    """Refuse a checkpoint between two log lines: a resumed run would log the mean of other steps than an unbroken one.

    Args:
        arguments: The Trainer's arguments. Checkpoints at the borders of phases need nothing: each has its log line.

    Raises:
        ValueError: If `save_steps` is no multiple of `logging_steps`.
    """
    if arguments.save_strategy != "steps" or arguments.logging_strategy != "steps":
        return
    if arguments.save_steps % arguments.logging_steps:
        nearest = max(1, round(arguments.save_steps / arguments.logging_steps)) * arguments.logging_steps
        raise ValueError(
            f"save_steps is {arguments.save_steps:g}, no multiple of logging_steps, {arguments.logging_steps:g}: a "
            f"resumed run would log other means than an unbroken one. Write save_steps {nearest:g}, or logging_steps 1."
        )


def _logging_steps(given: Any, save_steps: Any, wanted: int) -> int:
    """Return the steps between two log lines: the user's, else about `wanted`, a divisor of the user's save_steps."""
    if given:
        return int(given)
    return max(step for step in range(1, wanted + 1) if int(save_steps or 0) % step == 0)


def _whole(steps: Any, of: int) -> Any:
    """Return a number of steps where the user gave a share of the run, rounded up as Trainer does."""
    return math.ceil(float(steps) * of) if steps and float(steps) < 1 else steps

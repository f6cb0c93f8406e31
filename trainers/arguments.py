"""TrainingArguments that follow from a recipe, so that a run is described once."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ..recipes import Recipe, Road


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
    logging_steps = int(overrides.get("logging_steps") or max(1, steps // 100))
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
    return TrainingArguments(output_dir=str(output_dir), **{**defaults, **overrides, **fixed})

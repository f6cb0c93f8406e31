"""TrainingArguments that follow from a recipe, so that a run is described once, and the options of its scripts."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments

from ...common.deprecation import warn_renamed
from ...common.options import hf_arguments
from ...recipes import Recipe, TrainingSchedule

_Options = TypeVar("_Options")
_RENAMED = {"--tokens_a_language": "--tokens_per_language"}


def parse_run_options(
    kind: type[_Options], arguments: Sequence[str], command: str = "mmbert pretrain", description: str | None = None
) -> tuple[_Options, dict[str, Any]]:
    """Read the options of a command that trains a recipe; every field of TrainingArguments is one.

    Args:
        kind: A dataclass with the command's own options.
        arguments: The words after the command's name.
        command: What was run, for messages.
        description: Shown by `--help`.

    Returns:
        The script's options, and those fields of TrainingArguments that were given: the recipe decides the rest.

    Raises:
        ValueError: If an option is unknown or `--output_dir` is missing.
    """
    words = []
    for word in arguments:
        name, equals, value = word.partition("=")
        if name in _RENAMED:
            warn_renamed(name, _RENAMED[name])
        words.append(f"{_RENAMED.get(name, name)}{equals}{value}")
    (options, given), named = hf_arguments(words, (kind, TrainingArguments), command, description)
    if "output_dir" not in named:
        raise ValueError("--output_dir is missing; say where checkpoints and models go.")
    return options, {name: getattr(given, name) for name in TrainingArguments.__dataclass_fields__ if name in named}


def training_arguments(
    recipe: Recipe, schedule: TrainingSchedule, output_dir: str | Path, **overrides: Any
) -> TrainingArguments:
    """Return the Trainer's arguments for one schedule of a recipe.

    Args:
        recipe: The plan.
        schedule: The phases this run goes through.
        output_dir: Where checkpoints go.
        **overrides: Any field of TrainingArguments, but for what the recipe fixes: steps, rate, decay, clipping, seed.

    Returns:
        The arguments.

    Raises:
        ValueError: If an override contradicts the recipe.
    """
    fixed: dict[str, Any] = {
        "max_steps": schedule.steps,
        "learning_rate": schedule.peak_learning_rate,
        "weight_decay": recipe.optimizer.weight_decay,
        "max_grad_norm": recipe.optimizer.max_grad_norm,
        "seed": recipe.seed,
    }
    clash = sorted(set(fixed) & set(overrides))
    if clash:
        raise ValueError(f"{', '.join(clash)}: the recipe decides this; change it there, not in the arguments.")
    # By the longest schedule of the recipe: a variant logs and saves at the steps of the stable run it branches from.
    steps = max(recipe.schedule(variant).steps for variant in (None, *recipe.variants))
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
    """Refuse a checkpoint between log lines, but for phase ends: a resumed run would log the mean of other steps."""
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

"""Options of the fine-tuning scripts: ours, and every field of transformers' TrainingArguments that is given.

A script says what its data are in a dataclass of its own; how a network is trained is the same in all of them:

    options, training, seeds, output_dir = parse_fine_tuning(ScriptOptions, sys.argv[1:])
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from transformers import HfArgumentParser, TrainingArguments

from .config import FineTuneOptions

Script = TypeVar("Script")

# Fields of TrainingArguments that FineTuneOptions has under another name.
_NAMES = {
    "num_train_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "evaluation_batch_size",
    "gradient_accumulation_steps": "accumulation",
    "warmup_steps": "warmup",
    "lr_scheduler_type": "schedule",
    "activation_checkpointing": "gradient_checkpointing",
    "metric_for_best_model": "metric",
}


@dataclass
class FineTuneArguments:
    """Options of fine-tuning that TrainingArguments does not have."""

    lora: bool = field(default=False, metadata={"help": "Train adapters of low rank and the head only."})
    lora_rank: int = field(default=16, metadata={"help": "Rank of the adapters."})
    lora_alpha: int = field(default=32, metadata={"help": "Scale of the adapters, times their rank."})
    lora_dropout: float = field(default=0.05, metadata={"help": "Dropout before the adapters."})
    lora_embeddings: bool = field(
        default=False, metadata={"help": "With --lora, also train the embeddings of tokens that training rows hold."}
    )
    layer_decay: float = field(default=1.0, metadata={"help": "Learning rate of a layer over that of the next one up."})
    class_weights: str = field(
        default="none", metadata={"help": "none, balanced, or a weight for labels: neutral=0.5,positive=2."}
    )
    metric: str | None = field(default=None, metadata={"help": "Score on dev that chooses the network."})
    patience: int | None = field(default=None, metadata={"help": "Stop after so many evaluations without a gain."})
    evaluations_an_epoch: int = field(default=1, metadata={"help": "How often dev is scored."})
    group_by_length: bool = field(default=False, metadata={"help": "Rows of similar length share batches."})
    redo: bool = field(default=False, metadata={"help": "Train anew what was made under other conditions."})
    seeds: int = field(default=3, metadata={"help": "Runs; the first has --seed (0), the others count on from it."})


def parse_fine_tuning(script: type[Script], arguments: list[str]) -> tuple[Script, FineTuneOptions, list[int], Path]:
    """Read the options of a fine-tuning script.

    Args:
        script: Dataclass of the script's own options.
        arguments: The command line.

    Returns:
        The script's options, the hyper-parameters, the seeds, and `--output_dir`.

    Raises:
        ValueError: If `--output_dir` is missing or a value is outside its limits.
    """
    parser = HfArgumentParser((script, FineTuneArguments, TrainingArguments), allow_abbrev=False)  # type: ignore[arg-type]
    named = {argument.split("=")[0].lstrip("-").replace("-", "_") for argument in arguments if argument[:2] == "--"}
    if "output_dir" not in named and not {"help", "h"} & named:
        raise ValueError("--output_dir is missing; say where the network and its scores go.")
    own, ours, given = parser.parse_args_into_dataclasses(arguments)
    values = {one.name: getattr(ours, one.name) for one in fields(ours) if one.name not in ("seeds", "class_weights")}
    values["class_weights"] = _class_weights(ours.class_weights)
    known = {one.name for one in fields(FineTuneOptions)}
    training: dict[str, Any] = {}
    for name in TrainingArguments.__dataclass_fields__:
        if name in named and name != "output_dir":
            ours_too = _NAMES.get(name, name)
            (values if ours_too in known else training)[ours_too] = getattr(given, name)
    if values["metric"] is not None:
        values["metric"] = values["metric"].removeprefix("eval_")  # as TrainingArguments has it
    schedule = values.get("schedule")
    if schedule is not None:
        values["schedule"] = getattr(schedule, "value", schedule)
    if ours.seeds < 1:
        raise ValueError(f"--seeds is {ours.seeds}, but must be 1 or more.")
    first = values.get("seed", 0)
    options = FineTuneOptions(**values, training=training)
    return own, options, [first + number for number in range(ours.seeds)], Path(str(given.output_dir))


def _class_weights(said: str) -> str | dict[str, float]:
    if "=" not in said:
        return said
    try:
        pairs = [part.rpartition("=") for part in said.split(",")]
        return {label.strip(): float(weight) for label, _, weight in pairs}
    except ValueError:
        raise ValueError(f"--class_weights {said}: write label=number,label=number.") from None

"""All options of fine-tuning: `FineTuningArguments`, TrainingArguments with our defaults and more.

A new option is a field here and nowhere else: the scripts, `mmbert evaluate`, records and resuming read this class.

Defaults are mmBERT's protocol where it is published (arXiv 2509.06888 and the NLU repository it points to): batches
of 32, warm-up over 6 % of the steps, 3 epochs; of the learning rates tried there, 2e-5 to 8e-5, most models did best at
2e-5 to 3e-5. Those are for networks of 140 to 307 million parameters: a small one wants more, 1e-4 to 5e-4.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from ...common.messages import require_known
from ...common.options import hf_arguments

LORA_TARGETS = ("Wqkv", "attn.Wo", "Wi", "mlp.Wo")  # the four matrices of every layer; plain "Wo" would be two of them
LORA_KEEPS = ("head", "classifier")  # trained whole and saved: a fresh head cannot be of low rank
ERRORS = ("rmse", "loss")  # metrics of which less is better

_FULL_RATE, _LORA_RATE = 3e-5, 3e-4
_LABELS = {"spans": ["start_positions", "end_positions"]}
# Names of 0.1; `--metric` stays as a short form.
RENAMED = {
    "epochs": "num_train_epochs",
    "batch_size": "per_device_train_batch_size",
    "evaluation_batch_size": "per_device_eval_batch_size",
    "accumulation": "gradient_accumulation_steps",
    "warmup": "warmup_steps",
    "schedule": "lr_scheduler_type",
    "metric": "metric_for_best_model",
    "gradient_checkpointing": "activation_checkpointing",
    "evaluations_an_epoch": "evals_per_epoch",
    "redo": "overwrite_output_dir",
}
_OLD_FLAGS = {
    "redo": "overwrite_output_dir",
    "evaluations_an_epoch": "evals_per_epoch",
    "rows_a_language": "rows_per_language",
    "score": "table_score",
    "group_by_length": "train_sampling_strategy=group_by_length",
    "metric": "metric_for_best_model",
}

Script = TypeVar("Script")


def _option(default: Any, words: str) -> Any:
    return field(default=default, metadata={"help": words})


@dataclass
class FineTuningArguments(TrainingArguments):
    """How a network is fine-tuned: transformers' TrainingArguments with other defaults and more fields.

    Every field of TrainingArguments is there too. What follows is where this class differs.

    Attributes:
        num_train_epochs: Passes over the training rows.
        learning_rate: Peak learning rate; None: 3e-5, with LoRA 3e-4.
        per_device_train_batch_size: Rows per batch and process.
        per_device_eval_batch_size: Rows at once while scoring.
        warmup_steps: Steps in which the rate rises; below 1 a share of all. Guards the encoder from a fresh head.
        weight_decay: Of matrices; norms and biases have none.
        eval_strategy: When dev is scored; follows save_strategy where that is given.
        save_strategy: When a checkpoint is kept that training can go on from.
        save_steps: Steps between such checkpoints.
        metric_for_best_model: The score on dev that chooses the network, or "loss"; None: the task's main score.
        load_best_model_at_end: Changes nothing: with rows of dev the best network is always the one that is kept.
        greater_is_better: Whether more of it is better; None: it is, but of errors (`rmse`, `loss`) less is.
        active_vocabulary: Train only the embedding rows of tokens that the training rows hold, where that gives the
            same weights as training the whole table: with AdamW, on one or more processes, without LoRA.
        layer_decay: The rate of each layer is this times that of the layer above, embeddings lowest; 1: all alike.
        lora: Train low-rank adapters and the head; the rest stays as it is.
        lora_rank: Rank of the adapters.
        lora_alpha: Their scale is alpha / rank.
        lora_dropout: Dropout before the adapters.
        lora_embeddings: With `lora`, also train the embeddings of the tokens that the training rows hold. A small
            encoder needs it: on SIB-200, with all else trained, frozen embeddings took 46 % to 30 % (measured here).
        class_weights: "none"; "balanced": a class weighs n / (classes * its rows); or a weight per label, as a dict or
            "neutral=0.5,positive=2".
        patience: Stop after so many evaluations on dev without a better score; None: never.
        evals_per_epoch: How often dev is scored per epoch.
        seed: Of the head's first weights, of dropout and of the order of rows.
        seeds: Number of runs, with the seeds `seed`, `seed` + 1, ...
        overwrite_output_dir: Train anew where the folder holds a run made under other conditions; else it is refused.

    Raises:
        ValueError: If a value is outside its limits.
    """

    num_train_epochs: float = _option(3.0, "Passes over the training rows.")
    learning_rate: float | None = _option(None, "Peak learning rate; 3e-5, with --lora 3e-4.")  # type: ignore[assignment]
    per_device_train_batch_size: int = _option(32, "Rows per batch and process.")
    per_device_eval_batch_size: int = _option(64, "Rows at once while scoring.")
    warmup_steps: float = _option(0.06, "Steps of warm-up; below 1 a share of all steps.")
    weight_decay: float = _option(0.01, "Weight decay of matrices.")
    logging_steps: float = _option(0.05, "Steps between progress lines; below 1 a share of all steps.")
    disable_tqdm: bool | None = _option(True, "No progress bar; progress is logged in lines.")
    eval_strategy: IntervalStrategy | str = field(
        default="epoch", metadata={"help": "When dev is scored: epoch, steps or no."}
    )
    save_strategy: SaveStrategy | str = field(
        default="no", metadata={"help": "When a checkpoint to resume from is kept: no, steps, epoch."}
    )
    save_steps: float = _option(0, "Steps between checkpoints to resume from.")
    remove_unused_columns: bool = _option(False, "Must be off: the collator chooses the columns.")
    ddp_find_unused_parameters: bool | None = _option(False, "As transformers has it.")
    seed: int = _option(0, "Seed of the first run.")
    seeds: int = _option(3, "Number of runs; the first has --seed, the others count on from it.")
    lora: bool = _option(False, "Train adapters of low rank and the head only.")
    lora_rank: int = _option(16, "Rank of the adapters.")
    lora_alpha: int = _option(32, "Scale of the adapters, times their rank.")
    lora_dropout: float = _option(0.05, "Dropout before the adapters.")
    lora_embeddings: bool = _option(False, "With --lora, also train the embeddings of tokens that training rows hold.")
    active_vocabulary: bool = _option(True, "Keep embedding rows of tokens that no training row holds out of memory.")
    layer_decay: float = _option(1.0, "Learning rate of a layer over that of the next one up.")
    class_weights: str = _option("none", "none, balanced, or a weight for labels: neutral=0.5,positive=2.")
    patience: int | None = _option(None, "Stop after so many evaluations without a gain.")
    evals_per_epoch: int = _option(1, "How often dev is scored per epoch.")
    overwrite_output_dir: bool = _option(False, "Train anew what was made under other conditions.")

    def __post_init__(self) -> None:
        self.class_weights = _class_weights(self.class_weights)  # type: ignore[assignment]
        self._check_limits()
        if self.learning_rate is None:
            self.learning_rate = _LORA_RATE if self.lora else _FULL_RATE
        # transformers takes bf16 without a GPU only from who says that the CPU is meant
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        self.dataloader_pin_memory = self.dataloader_pin_memory and torch.cuda.is_available()
        if self.metric_for_best_model is not None:
            self.metric_for_best_model = self.metric_for_best_model.removeprefix("eval_")
        if self.greater_is_better is None:
            self.greater_is_better = self.metric_for_best_model not in ERRORS
        if self.eval_steps and self.eval_strategy in ("epoch", "no"):
            self.eval_strategy = "steps"
        if self.save_steps and self.save_strategy == "no":
            self.save_strategy = "steps"
        self.save_steps = self.save_steps or 500  # as transformers has it
        self.load_best_model_at_end = False  # `of_run` does wherever there is dev; here strategies may differ
        super().__post_init__()  # type: ignore[no-untyped-call]

    def _check_limits(self) -> None:
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "lora_rank", "evals_per_epoch",
                     "per_device_eval_batch_size", "seeds"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be 1 or more.")
        if self.max_steps < -1:
            raise ValueError(f"max_steps is {self.max_steps}, but must be 1 or more; leave it out for whole epochs.")
        if self.num_train_epochs <= 0 and self.max_steps <= 0:
            raise ValueError(f"num_train_epochs is {self.num_train_epochs}, but must be more than 0.")
        if self.warmup_steps < 0:
            raise ValueError(f"warmup_steps is {self.warmup_steps}, but must be 0 or more; below 1 it is a share.")
        self._check_lora()
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}, but must be more than 0.")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}, but must be 1 or more; leave it out to never stop early.")
        if isinstance(self.class_weights, str):
            require_known("class_weights", self.class_weights, ("none", "balanced"), "give label=weight,...")

    def _check_lora(self) -> None:
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay is {self.layer_decay}, but must be more than 0 and at most 1.")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout is {self.lora_dropout}, but must be 0 or more and below 1.")
        if self.lora_embeddings and not self.lora:
            raise ValueError("lora_embeddings goes with lora; without it, embeddings are trained anyway.")

    @property
    def keeps_state(self) -> bool:
        """Whether checkpoints are asked for that training can go on from."""
        return self.save_strategy != SaveStrategy.NO

    def evaluations(self) -> tuple[str, float | None]:
        """`eval_strategy` and `eval_steps`: as often as checkpoints are kept, where these are asked for."""
        often = self.evals_per_epoch
        if self.eval_strategy == "steps":
            return "steps", self.eval_steps
        if self.keeps_state:
            if often > 1:
                raise ValueError(
                    f"evals_per_epoch is {often}, but dev is scored whenever a checkpoint is kept; leave one out."
                )
            strategy = SaveStrategy(self.save_strategy).value
            return ("epoch", None) if strategy != "steps" else ("steps", self.save_steps)
        if often > 1:
            if self.max_steps > 0:
                raise ValueError("evals_per_epoch needs whole epochs; give eval_steps with max_steps.")
            return "steps", 1 / (self.num_train_epochs * often)
        return "epoch", None

    def of_run(self, head: str, folder: Path, seed: int, *, has_dev: bool) -> FineTuningArguments:
        """Copy the arguments for the Trainer of one run with this head, folder and seed."""
        own = copy.copy(self)
        own.output_dir, own.seed = str(folder), seed
        own.label_names = _LABELS.get(head, ["labels"])
        own.remove_unused_columns = False
        own.length_column_name = "length"
        whole = folder.absolute()  # runs of several seeds share a repository
        own.hub_model_id = self.hub_model_id or (whole.parent if whole.name.startswith("seed-") else whole).name
        if self.keeps_state or has_dev:
            own.save_total_limit = self.save_total_limit or 1
        if not has_dev:
            own.eval_strategy, own.do_eval = IntervalStrategy.NO, False
            return own
        strategy, steps = self.evaluations()
        own.eval_strategy, own.save_strategy = IntervalStrategy(strategy), SaveStrategy(strategy)
        own.do_eval = True
        if steps is not None:
            own.eval_steps = own.save_steps = steps
        own.save_only_model = not self.keeps_state
        own.restore_callback_states_from_checkpoint = True  # how long early stopping has waited
        own.load_best_model_at_end, own.metric_for_best_model = True, "main"
        return own

    def choices(self) -> dict[str, Any]:
        """Return, as JSON holds it, every option of fine-tuning and every other field that is not at its default."""
        plain, usual = self.to_dict(), _defaults()  # type: ignore[no-untyped-call]
        return {
            name: value
            for name, value in plain.items()
            if name not in ("output_dir", "hub_token", "do_eval", "gradient_checkpointing")
            and (name in _recorded() or value != usual.get(name))
        }


@cache
def _recorded() -> frozenset[str]:
    own = FineTuningArguments.__annotations__.keys() - {"disable_tqdm", "logging_steps", "remove_unused_columns"}
    own -= {"ddp_find_unused_parameters", "eval_strategy", "save_strategy", "save_steps"}
    more = ("gradient_accumulation_steps", "lr_scheduler_type", "max_grad_norm", "max_steps", "bf16",
            "greater_is_better", "metric_for_best_model", "train_sampling_strategy")  # fmt: skip
    return frozenset({*own, *more})


@cache
def _defaults() -> dict[str, Any]:
    found: dict[str, Any] = FineTuningArguments().to_dict()  # type: ignore[no-untyped-call]
    return found


def upgraded(options: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the options of a record of 0.1 to today's names and defaults; those of today stay as they are."""
    found = {RENAMED.get(name, name): value for name, value in options.items() if name != "training"}
    if "group_by_length" in found:
        found["train_sampling_strategy"] = "group_by_length" if found.pop("group_by_length") else "random"
    usual = _defaults()
    wanted = {name: value for name, value in found.items() if name in _recorded() or value != usual.get(name)}
    return {**{name: usual[name] for name in _recorded()}, **wanted}


def FineTuneOptions(*, training: Mapping[str, Any] | None = None, **options: Any) -> FineTuningArguments:
    """Return `FineTuningArguments` of the names of 0.1; removed in 0.3.

    Args:
        training: Further fields of transformers' TrainingArguments.
        **options: Fields by their old names (`epochs`, `batch_size`, `warmup`, ...) or their new ones.

    Returns:
        The arguments.

    Raises:
        ValueError: If there is no such field, or a value is outside its limits.
    """
    warnings.warn("FineTuneOptions is FineTuningArguments now, with transformers' names.", FutureWarning, stacklevel=2)
    known = {one.name for one in fields(FineTuningArguments)}
    unknown = sorted(set(training or {}) - known)
    if unknown:
        raise ValueError(f"training names {unknown[0]!r}, which is no field of transformers.TrainingArguments.")
    if options.pop("group_by_length", False):
        options["train_sampling_strategy"] = "group_by_length"
    given = {RENAMED.get(name, name): value for name, value in options.items()}
    return FineTuningArguments(**{**given, **(training or {})})


def parse_fine_tuning(
    script: type[Script], arguments: Sequence[str], command: str = "fine-tuning", description: str | None = None
) -> tuple[Script, FineTuningArguments]:
    """Read the options of a fine-tuning command: its own, and every field of `FineTuningArguments`.

    Args:
        script: Dataclass of the command's own options.
        arguments: The command line; short forms are those of `mmbert.common.options`.
        command: What was run, for messages.
        description: Shown by `--help` in front of the options.

    Returns:
        Both.

    Raises:
        ValueError: If `--output_dir` is missing, an option is unknown, or a value is outside its limits.
    """
    names = {one.name for kind in (script, FineTuningArguments) for one in fields(kind)}  # type: ignore[arg-type]
    written = [_renamed(argument, names) for argument in arguments]
    (own, args), given = hf_arguments(written, (script, FineTuningArguments), command, description)
    if "output_dir" not in given:
        raise ValueError("--output_dir is missing; say where the network and its scores go.")
    return own, args


def _renamed(argument: str, names: set[str]) -> str:
    """Write an option of 0.1 under its name of today, with one warning."""
    name, equals, value = argument.removeprefix("--").partition("=")
    name = name.replace("-", "_")
    if not argument.startswith("--") or name in names or name not in _OLD_FLAGS:
        return argument
    now = _OLD_FLAGS[name]
    if name != "metric":
        warnings.warn(f"--{name} is --{now.replace('=', ' ')} now.", FutureWarning, stacklevel=4)
    return f"--{now}{equals}{value}"


def _class_weights(said: str | Mapping[str, float]) -> str | dict[str, float]:
    if not isinstance(said, str):
        return dict(said)
    if "=" not in said:
        return said
    try:
        pairs = [part.rpartition("=") for part in said.split(",")]
        return {label.strip(): float(weight) for label, _, weight in pairs}
    except ValueError:
        raise ValueError(f"class_weights is {said}; write label=number,label=number.") from None

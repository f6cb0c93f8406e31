"""The protocol: which settings are tried, on what they are chosen, and which runs follow from that.

    sweep: every setting of the grid, one seed, evaluated on dev only
    choice: the setting with the best dev score
    final: the chosen setting, every seed, evaluated on dev and test

A sweep run never reads the test rows, so the choice cannot depend on them. The paper's own numbers are oracle choices:
its settings were picked by the scores it reports. That is `oracle=True`, which evaluates the sweep on test as well, and
everything that comes of it is labelled so.

Trade-off: the sweep uses one seed, so the choice carries that seed's luck; all seeds of 20 settings would cost seven
times as much as all seeds of one.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from ...common.messages import require_known
from .catalogue import BenchmarkTask

if TYPE_CHECKING:
    from ...trainers import FineTuningArguments

# arXiv 2509.06888: learning rates 2e-5 to 8e-5, epochs 1, 2, 3, 5, 10, batch 32, warm-up 0.06. The points between the
# two ends are not published; these four are ours.
_LORA = 10  # adapters want ten times the rate of all weights, as `FineTuningArguments` has it
PAPER_RATES, PAPER_EPOCHS = (2e-5, 3e-5, 5e-5, 8e-5), (1.0, 2.0, 3.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Setting:
    """Hyper-parameters of one run; `settings_of` fills in the defaults of `FineTuningArguments`.

    Attributes:
        learning_rate: At its peak.
        epochs: Passes over the training rows.
        batch_size: Rows per step.
        warmup: Share of the steps in which the rate rises.
        weight_decay: Of matrices.
        max_length: Tokens of a row, or of a window; None: the task's default.
        stride: Tokens that neighbouring windows share; None: the task's default.
        lora: Train low-rank adapters in place of all weights.
        bf16: Compute in bfloat16; weights and optimizer stay in fp32.
    """

    learning_rate: float
    epochs: float
    batch_size: int
    warmup: float
    weight_decay: float
    max_length: int | None = None
    stride: int | None = None
    lora: bool = False
    bf16: bool = False

    def __post_init__(self) -> None:
        for name in ("learning_rate", "epochs", "batch_size"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be more than 0")

    @property
    def name(self) -> str:
        """What tells it from other settings of its grid, as a file name has it."""
        return f"lr{self.learning_rate:g}-ep{self.epochs:g}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return asdict(self)

    def arguments(self) -> "FineTuningArguments":
        """Return it as fine-tuning takes it."""
        from ...trainers import FineTuningArguments

        return FineTuningArguments(
            learning_rate=self.learning_rate,
            num_train_epochs=self.epochs,
            per_device_train_batch_size=self.batch_size,
            warmup_steps=self.warmup,
            weight_decay=self.weight_decay,
            lora=self.lora,
            bf16=self.bf16,
            overwrite_output_dir=True,  # whether a run may be done anew was asked before
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One training and its evaluation."""

    task: str  # name of the task
    setting: Setting  # hyper-parameters
    seed: int  # of the head, of dropout and of the order of rows
    stage: str  # `sweep` (scored on dev), `final` or `oracle` (scored on dev and test)

    @property
    def name(self) -> str:
        """File name without its ending, unique in an output folder."""
        return f"{self.task}/{self.stage}-{self.setting.name}-seed{self.seed}"


def settings_of(
    task: BenchmarkTask,
    grid: str = "default",
    *,
    rates: Sequence[float] = (),
    epochs: Sequence[float] = (),
    changes: Mapping[str, Any] | None = None,
) -> list[Setting]:
    """List settings, low rates first: `default` has one, `paper` 4 rates x 5 epochs; LoRA takes ten times the rates."""
    from ...trainers import FineTuningArguments

    require_known("grid", grid, ("default", "paper"), "give learning rates and epochs.")
    lora = bool((changes or {}).get("lora"))
    usual = FineTuningArguments(lora=lora)
    base = Setting(
        **{
            "learning_rate": float(usual.learning_rate or 0),
            "epochs": usual.num_train_epochs,
            "batch_size": usual.per_device_train_batch_size,
            "warmup": usual.warmup_steps,
            "weight_decay": usual.weight_decay,
            **task.training,
            **(changes or {}),
        }
    )
    paper = tuple(_LORA * rate for rate in PAPER_RATES) if lora else PAPER_RATES
    tried_rates = rates or (paper if grid == "paper" else (base.learning_rate,))
    tried_epochs = epochs or (PAPER_EPOCHS if grid == "paper" else (base.epochs,))
    points = sorted(set(product(map(float, tried_rates), map(float, tried_epochs))))
    return [replace(base, learning_rate=rate, epochs=passes) for rate, passes in points]


def sweep_runs(
    task: BenchmarkTask, settings: Sequence[Setting], seeds: Sequence[int], oracle: bool = False
) -> list[Run]:
    """List the runs that must be done before a setting can be chosen."""
    _check_seeds(seeds)
    stage = "oracle" if oracle else "sweep"
    return [Run(task.name, setting, seeds[0], stage) for setting in settings] if len(settings) > 1 else []


def final_runs(task: BenchmarkTask, setting: Setting, seeds: Sequence[int], stage: str = "final") -> list[Run]:
    """List the runs of the chosen setting."""
    _check_seeds(seeds)
    return [Run(task.name, setting, seed, stage) for seed in seeds]


def choose(records: Iterable[Mapping[str, Any]], metric: str, scored_on: str = "dev") -> Setting:
    """Choose the setting with the best mean over languages."""
    ranked = []
    for record in records:
        if scored_on not in record["scores"]:
            raise ValueError(f"{record['task']}: a {record['stage']} run has no {scored_on} score to choose by")
        setting = Setting(**record["setting"])
        score = mean_score(record["scores"][scored_on], metric)
        ranked.append((-score if math.isfinite(score) else math.inf, setting.learning_rate, setting.epochs, setting))
    if not ranked:
        raise ValueError("there are 0 runs to choose from: every run of the sweep failed")
    return min(ranked, key=lambda entry: entry[:3])[3]


def mean_score(by_language: Mapping[str, Mapping[str, Any]], metric: str) -> float:
    """Average a number over languages, each counting alike."""
    values = [float(scores[metric]) for scores in by_language.values()]
    return sum(values) / len(values)


def _check_seeds(seeds: Sequence[int]) -> None:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {list(seeds)}; give one or more, each once")

"""Runs one of sentence-transformers' four trainers with our defaults, and keeps the record of the run.

Trade-off: checkpoints of a run are not kept, since contrastive tuning takes hours at most. Who wants them passes
`save_strategy` and `output_dir` among the arguments of the trainer.
"""

import json
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback

from .pairs import PairSet
from .presets import TrainingPreset

_log = logging.getLogger(__name__)
_EVALUATIONS = 4  # during a run, beside those before and after
# of the thirty numbers that the evaluators give, those that a table shows
_SHOWN = ("accuracy@1", "mrr@10", "ndcg@10", "cosine_accuracy", "spearman_cosine", "active_dims")


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run did.

    Attributes:
        output: Folder of the saved model.
        rows: Rows trained on.
        skipped: Rows left out, by reason.
        steps: Optimizer steps.
        seconds: Time from the first step to the last, evaluation included.
        losses: (step, mean loss of the steps since the entry before).
        scores: (step, scores on the held-out rows); step 0 is before training.
    """

    output: Path
    rows: int
    skipped: dict[str, int]
    steps: int
    seconds: float
    losses: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def table(self) -> str:
        """Return the scores before, during and after training as a Markdown table."""
        names = [name for name in (self.scores[0][1] if self.scores else ()) if name.endswith(_SHOWN)]
        lines = ["| step | " + " | ".join(names) + " |", "|---:|" + "---:|" * len(names)]
        for step, scores in self.scores:
            lines.append(f"| {step} | " + " | ".join(f"{scores.get(name, math.nan):.3f}" for name in names) + " |")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the report as JSON.

        Args:
            path: The file.
        """
        path.write_text(json.dumps({**asdict(self), "output": str(self.output)}, indent=1) + "\n", encoding="utf-8")


def run_trainer(
    family: str,
    model: Any,
    dataset: Any,
    loss: Any,
    settings: TrainingPreset,
    *,
    evaluator: Any = None,
    batches: Any = None,
    max_steps: int | None = None,
    seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
) -> Any:
    """Run one of sentence-transformers' trainers with our defaults.

    Args:
        family: `SentenceTransformer`, `CrossEncoder`, `SparseEncoder` or `MultiVectorEncoder`.
        model: The model; it is trained in place.
        dataset: Its rows.
        loss: Its loss.
        settings: Batch, rate, warm-up, precision.
        evaluator: Scored before, during and after.
        batches: A batch sampler; None: sentence-transformers' without duplicates.
        max_steps: Stop after so many steps.
        seed: Of batches and dropout.
        arguments: Further arguments of the trainer.

    Returns:
        The record of the run; its `report(path, pairs)` closes it.

    Raises:
        ValueError: If a number is out of range, or the loss is not finite.
    """
    import importlib

    import sentence_transformers

    refuse_bad_numbers(settings)
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps must be at least 1, got {max_steps}")

    sampler = importlib.import_module("sentence_transformers.base.sampler").BatchSamplers.NO_DUPLICATES
    # sentence-transformers would ask the Hub about data and model for a card that model_cards writes anyway
    model.model_card_data.local_files_only = True
    model.model_card_data.widget = [{}]  # given, so that none is sought in the data
    steps = max_steps or math.ceil(settings.epochs * max(1, len(dataset) // settings.batch_size))
    record = _Record(evaluator)
    with tempfile.TemporaryDirectory() as scratch:
        given = {
            "output_dir": scratch,
            "num_train_epochs": settings.epochs,
            "max_steps": max_steps or -1,
            "per_device_train_batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "warmup_steps": settings.warmup,
            "bf16": settings.bf16,
            "batch_sampler": batches or sampler,
            "seed": seed,
            "data_seed": seed,
            "logging_steps": max(1, min(25, steps // 10)),
            "eval_strategy": "no" if evaluator is None else "steps",
            "eval_steps": max(1, math.ceil(steps / (_EVALUATIONS + 1))),
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": model.device.type == "cpu",
            "dataloader_pin_memory": model.device.type != "cpu",
            **(arguments or {}),
        }
        trainer = getattr(sentence_transformers, f"{family}Trainer")(
            model=model,
            args=getattr(sentence_transformers, f"{family}TrainingArguments")(**given),
            train_dataset=dataset,
            loss=loss,
            evaluator=evaluator,
            callbacks=[record],
        )
        trainer.remove_callback(PrinterCallback)  # with its bar off, the Trainer would print every log entry
        record.score(model, 0)
        trainer.train()
        record.score(model, record.steps)
    return record


def save_once(save: Callable[[], Path], output: str | os.PathLike[str]) -> Path:
    """Save in the first of several processes that trained one model together; the others wait until it is there.

    Args:
        save: Writes the model.
        output: Where to.

    Returns:
        The folder.
    """
    from accelerate import PartialState

    state = PartialState()
    try:
        if state.is_main_process:
            save()
    finally:
        state.wait_for_everyone()
    return Path(output)


class _Record(TrainerCallback):
    """The witness of a run: losses, scores, time."""

    def __init__(self, evaluator: Any) -> None:
        self.evaluator = evaluator
        self.steps, self.seconds = 0, 0.0
        self.losses: list[tuple[int, float]] = []
        self.scores: list[tuple[int, dict[str, float]]] = []
        self._start = 0.0

    def score(self, model: Any, step: int) -> None:
        """Evaluate the model, unless it was just evaluated."""
        if self.evaluator is not None and (not self.scores or self.scores[-1][0] != step):
            self._add_scores(step, self.evaluator(model))

    def _add_scores(self, step: int, metrics: Mapping[str, Any]) -> None:
        scores = {name.removeprefix("eval_"): float(value) for name, value in metrics.items() if "dev" in name}
        self.scores.append((step, scores))
        name = getattr(self.evaluator, "primary_metric", None)
        shown = name if name in scores else next(iter(scores), None)
        if shown is not None:
            _log.info("step %d  held-out %s %.4f", step, shown, scores[shown])

    def report(self, path: Path, pairs: PairSet) -> TrainingReport:
        """Close the record."""
        _log.info("trained on %d rows: %d steps in %.0f s", len(pairs), self.steps, self.seconds)
        return TrainingReport(
            path, len(pairs), dict(pairs.skipped), self.steps, self.seconds, list(self.losses), list(self.scores)
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._start = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.steps, self.seconds = state.global_step, time.monotonic() - self._start

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._add_scores(state.global_step, kwargs.get("metrics", {}))

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        loss = kwargs["logs"].get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise ValueError(f"the loss became {loss} before step {state.global_step}; lower the learning rate")
        self.losses.append((state.global_step, loss))
        _log.info("step %d/%d  loss %.4f", state.global_step, state.max_steps, loss)


def refuse_bad_numbers(settings: TrainingPreset) -> None:
    """Refuse settings that no run can have.

    Args:
        settings: Batch, rate, epochs, warm-up.

    Raises:
        ValueError: If one is out of range.
    """
    if settings.batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, got {settings.batch_size}: other rows are the wrong answers")
    if not settings.learning_rate > 0 or not settings.epochs > 0:
        raise ValueError(f"learning_rate and epochs must be above 0, got {settings.learning_rate}, {settings.epochs}")
    if not 0 <= settings.warmup < 1:
        raise ValueError(f"warmup is a share of the steps, 0 to 1, got {settings.warmup}")
    least = {"heldout": 0, "max_seq_length": 3, "mini_batch_tokens": 1}
    for name, bound in least.items():
        if (value := getattr(settings, name)) is not None and value < bound:
            raise ValueError(f"{name} must be at least {bound}, got {value}")

"""One run of any of the four trainers: its conditions, checked before anything is loaded, its scores, its save.

    run = TrainingRun(output, pairs, settings)    -> refuses what no run can have
    with run.shortened(model): run.train(...)     -> trained in place, scored before, during and after
    run.save(model, save)                         -> the folder, by one process of several, and the report

Trade-off: the held-out rows are scored by every process of several, which is simple and costs the others nothing.
Checkpoints of a run are not kept, since contrastive tuning takes hours at most; who wants them passes `save_strategy`
and `output_dir` among the arguments of the trainer.
"""

import logging
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from transformers import PrinterCallback, TrainerCallback

from ...callbacks.training_progress import TrainingProgress
from ...common.files import refuse_existing, write_json
from ...common.locks import only_writer
from ...common.progress import duration
from ...model_cards.cards.folder import write_card
from ..pairs.pair_set import PairSet
from .active_rows import train_active_rows
from .presets import TrainingPreset

_log = logging.getLogger(__name__)
_EVALUATIONS = 4  # during a run, beside those before and after
# of the thirty numbers that the evaluators give, those that a table shows
_SHOWN = (
    "teacher_cosine", "accuracy@1", "mrr@10", "ndcg@10", "cosine_accuracy", "spearman_cosine", "spearman",
    "active_dims",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a training run did.

    Attributes:
        output: Folder of the saved model.
        rows: Rows given to train on.
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
        """Return the scores before, during and after training as a Markdown table; a line if none were held out."""
        if not self.scores:
            return "no rows were held out, so that there are no scores"
        names = [name for name in self.scores[0][1] if name.endswith(_SHOWN)]
        lines = ["| step | " + " | ".join(names) + " |", "|---:|" + "---:|" * len(names)]
        for step, scores in self.scores:
            lines.append(f"| {step} | " + " | ".join(f"{scores.get(name, math.nan):.3f}" for name in names) + " |")
        return "\n".join(lines)

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        write_json(path, {**asdict(self), "output": str(self.output)}, indent=1)


class RunOptions(TypedDict, total=False):
    """What every training takes beside its rows and settings.

    Attributes:
        max_steps: Stop after so many steps, whatever `settings.epochs` says.
        seed: Of batches, dropout and new weights; 0 by default.
        device: Like `cpu` or `cuda:1`; None: the best one there is.
        arguments: Further arguments of sentence-transformers' trainer, such as SentenceTransformerTrainingArguments.
    """

    max_steps: int | None
    seed: int
    device: str | None
    arguments: Mapping[str, Any] | None


class TrainingRun:
    """A run of one of sentence-transformers' trainers with our defaults."""

    def __init__(
        self,
        output: str | os.PathLike[str],
        pairs: PairSet,
        settings: TrainingPreset,
        *,
        max_steps: int | None = None,
        seed: int = 0,
        device: str | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        refuse_existing(output)
        refuse_bad_numbers(settings)
        if max_steps is not None and max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}")
        self.output, self.pairs, self.settings = Path(output), pairs, settings
        self.max_steps, self.seed, self.device, self.arguments = max_steps, seed, device, arguments or {}
        self._record, self._lock = _ScoreRecord(None), ExitStack()

    @contextmanager
    def shortened(self, model: Any) -> Iterator[None]:
        """Cut texts at the settings' length in the block, which trains; the model keeps its own limit."""
        own: int = model.max_seq_length
        model.max_seq_length = min(self.settings.max_seq_length, own)
        try:
            yield
        finally:
            model.max_seq_length = own

    def train(
        self, family: str, model: Any, dataset: Any, loss: Any, *, evaluator: Any = None, batches: Any = None
    ) -> None:
        """Train a model in place; the evaluator scores before, during and after."""
        settings = self.settings
        steps = self.max_steps or math.ceil(settings.epochs * max(1, len(dataset) // settings.batch_size))
        given = {
            "num_train_epochs": settings.epochs,
            "max_steps": self.max_steps or -1,
            "per_device_train_batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "warmup_steps": settings.warmup,
            "bf16": settings.bf16,
            "seed": self.seed,
            "data_seed": self.seed,
            "logging_steps": max(1, min(25, steps // 10)),
            "eval_strategy": "no" if evaluator is None else "steps",
            "eval_steps": max(1, math.ceil(steps / (_EVALUATIONS + 1))),
            "run_name": self.output.name,
            **({} if batches is None else {"batch_sampler": batches}),
            **self.arguments,
        }
        if batches != "batch_sampler" and "batch_sampler" not in self.arguments:
            _tell_of_repeats(self.pairs.rows, settings.batch_size)
        self._record = record = _ScoreRecord(evaluator)
        with (
            self._alone() as kept,
            self._tensorboard_beside(),
            quiet_trainer(family, model, dataset, loss, record, given, evaluator=evaluator) as trainer,
        ):
            trainer.add_callback(TrainingProgress())
            if settings.active_vocabulary:
                train_active_rows(trainer)
            record.score(model, 0)
            trainer.train()
            record.score(model, record.steps)
            self._lock = kept.pop_all()

    @contextmanager
    def _alone(self) -> Iterator[ExitStack]:
        """Hold the output's lock in the block; who takes it out of the stack holds it on, until the output is saved."""
        from accelerate import PartialState

        refuse_existing(self.output)
        with ExitStack() as held:
            if PartialState().is_main_process:
                held.enter_context(only_writer(self.output))
            yield held

    @contextmanager
    def _tensorboard_beside(self) -> Iterator[None]:
        """Let TensorBoard write into runs/ beside the output: the trainer's folder passes, the output appears whole."""
        name, before = "TENSORBOARD_LOGGING_DIR", os.environ.get("TENSORBOARD_LOGGING_DIR")
        os.environ[name] = before or str(self.output.absolute().parent / "runs" / self.output.name)
        try:
            yield
        finally:
            os.environ.pop(name) if before is None else os.environ.update({name: before})

    def save(self, model: Any, save: Callable[[Any, Path], Path]) -> TrainingReport:
        """Save in the first of several processes that trained one model; the others wait. Returns the report."""
        from accelerate import PartialState

        state = PartialState()
        try:
            if state.is_main_process:
                save(model.eval(), self.output)
                write_card(self.output)
        finally:
            self._lock.close()
            state.wait_for_everyone()
        record, rows = self._record, len(self.pairs)
        _log.info("trained on batches of %d rows: %d steps in %s", rows, record.steps, duration(record.seconds))
        skipped = dict(self.pairs.skipped)
        return TrainingReport(self.output, rows, skipped, record.steps, record.seconds, record.losses, record.scores)


def _tell_of_repeats(rows: Sequence[Sequence[str]], batch_size: int) -> None:
    """Say so if an epoch cannot train all rows that hold one text, since they never share a batch.

    Both samplers, ours and sentence-transformers', promise as many batches as the rows fill, and stop there.
    """
    batches = max(1, len(rows) // batch_size)
    text, count = Counter(text for row in rows for text in set(row)).most_common(1)[0]
    if count > batches:
        _log.warning(
            "%d of %d rows hold the text %r: rows that share a text never share a batch, so an epoch of %d batches "
            "trains at most %d of them; a smaller batch_size trains more",
            count, len(rows), text[:60], batches, batches,
        )  # fmt: skip


class LossRecord(TrainerCallback):
    """Optimizer steps, seconds from the first to the last, and (step, mean loss since the entry before) of a run."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0
        self.losses: list[tuple[int, float]] = []
        self._start: float | None = None

    def elapsed(self) -> float:
        """Seconds since training began; 0 before it."""
        return 0.0 if self._start is None else time.monotonic() - self._start

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count a step."""
        self.steps, self.seconds = state.global_step, self.elapsed()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep a loss, and stop at one that is not finite; the last entry is the mean over all steps."""
        logs = kwargs["logs"]
        if not math.isfinite(loss := logs.get("loss", logs.get("train_loss", 0.0))):
            raise ValueError(f"the loss became {loss} before step {state.global_step}; lower the learning rate")
        if "loss" in logs:
            self.losses.append((state.global_step, loss))


@contextmanager
def quiet_trainer(
    family: str, model: Any, dataset: Any, loss: Any, record: LossRecord, arguments: Mapping[str, Any], **options: Any
) -> Iterator[Any]:
    """Make a trainer that asks no network, prints nothing and keeps no checkpoints beyond the block."""
    import sentence_transformers
    from sentence_transformers.base.sampler import BatchSamplers

    # sentence-transformers would ask the Hub about data and model for a card that model_cards writes anyway
    model.model_card_data.local_files_only = True
    model.model_card_data.widget = [{}]  # given, so that none is sought in the data
    with tempfile.TemporaryDirectory() as scratch:
        given = {
            "output_dir": scratch,
            "batch_sampler": BatchSamplers.NO_DUPLICATES,
            "save_strategy": "no",
            "report_to": "none",
            "logging_nan_inf_filter": False,  # a loss that is not finite must be seen: the record stops at it
            "disable_tqdm": True,
            "use_cpu": model.device.type == "cpu",
            "dataloader_pin_memory": model.device.type != "cpu",
            **arguments,
        }
        trainer = getattr(sentence_transformers, f"{family}Trainer")(
            model=model,
            args=getattr(sentence_transformers, f"{family}TrainingArguments")(**given),
            train_dataset=dataset,
            loss=loss,
            callbacks=[record],
            **options,
        )
        trainer.remove_callback(PrinterCallback)  # with its bar off, the Trainer would print every log entry
        yield trainer


class _ScoreRecord(LossRecord):
    """The record of a run with held-out rows: scores, too; what happens is logged."""

    def __init__(self, evaluator: Any) -> None:
        super().__init__()
        self.evaluator = evaluator
        self.scores: list[tuple[int, dict[str, float]]] = []

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

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._add_scores(state.global_step, kwargs.get("metrics", {}))


def refuse_bad_numbers(settings: TrainingPreset) -> None:
    """Refuse settings that no run can have."""
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

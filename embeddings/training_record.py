"""A trainer of sentence-transformers as we start it, and the witness of its run: steps, time, losses.

Trade-off: checkpoints of a run are not kept, since contrastive tuning takes hours at most. Who wants them passes
`save_strategy` and `output_dir` among the arguments of the trainer.
"""

import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from transformers import PrinterCallback, TrainerCallback


class LossRecord(TrainerCallback):
    """The witness of a run.

    Attributes:
        steps: Optimizer steps so far.
        seconds: Time from the first step to the last.
        losses: (step, mean loss of the steps since the entry before).
    """

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
    family: str,
    model: Any,
    dataset: Any,
    loss: Any,
    record: LossRecord,
    arguments: Mapping[str, Any],
    **options: Any,
) -> Iterator[Any]:
    """Make a trainer that asks no network, prints nothing and keeps no checkpoints.

    Args:
        family: `SentenceTransformer`, `CrossEncoder`, `SparseEncoder` or `MultiVectorEncoder`.
        model: The model; it is trained in place.
        dataset: Its rows.
        loss: Its loss.
        record: The witness.
        arguments: Of the trainer; they win over ours.
        **options: Further options of the trainer's class.

    Yields:
        Any: The trainer; its scratch folder goes with the block.
    """
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

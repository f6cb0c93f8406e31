"""Tunes an encoder on parallel text until translations lie together: contrastive, in-batch negatives, both directions.

Each batch holds pairs of all languages mixed; a text must find its English side among those of the batch and the other
way round (InfoNCE, scale 20 as in sentence-transformers). Parallel corpora repeat an English message in a hundred
languages, so no text occurs twice in a batch: it would be its own wrong answer.

Trade-off: the budget is a time or a number of steps. The learning rate falls to zero over either, so a time budget is
used to its end, but only a number of steps gives the same weights twice.
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...common.files import refuse_existing
from ...common.progress import duration
from ..encoding.load import load_embedder
from ..encoding.sentence_transformers_model import save_embedder
from ..pairs.pair_set import TranslatedPair
from .active_rows import train_active_rows
from .run import LossRecord, quiet_trainer

_log = logging.getLogger(__name__)
_WARMUP_SHARE = 0.1  # of the budget; recipe of sentence-transformers' training scripts
_LOG_EVERY = 10  # steps a loss is averaged over
_NO_STEP_LIMIT = 10**7  # the Trainer needs a number; the time budget ends long before


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """What a tuning run did.

    Attributes:
        output: Folder of the saved embedder.
        pairs: Pairs trained on.
        skipped: Pairs left out, by reason.
        steps: Optimizer steps.
        seconds: Time spent in them.
        losses: (step, mean loss of the steps since the entry before).
    """

    output: Path
    pairs: int
    skipped: dict[str, int]
    steps: int
    seconds: float
    losses: list[tuple[int, float]] = field(default_factory=list)


def align_encoder(
    checkpoint: str | os.PathLike[str],
    pairs: Iterable[TranslatedPair],
    output: str | os.PathLike[str],
    *,
    max_seconds: float | None = None,
    max_steps: int | None = None,
    batch_size: int = 64,
    learning_rate: float = 1e-4,
    max_seq_length: int = 128,
    seed: int = 0,
    device: str | None = None,
    on_step: Callable[[float, float | None], None] | None = None,
) -> AlignmentReport:
    """Tune an encoder on parallel pairs and save it as a SentenceTransformer that loads without this package.

    Args:
        checkpoint: Encoder or saved SentenceTransformer, as for `load_embedder`.
        pairs: Training pairs of any number of languages.
        output: Folder to write.
        max_seconds: Stop after so much training time.
        max_steps: Stop after so many steps; the same seed then gives the same weights. At least one limit is needed.
        batch_size: Pairs a step; each text has batch_size - 1 wrong answers to tell apart.
        learning_rate: Peak, after a warm-up of a tenth of the budget; AdamW without weight decay. 1e-4 was best for
            released mmBERT in the paper's sweep (arXiv 2509.06888); encoders of a few million parameters want 1e-3.
        max_seq_length: Cut texts after so many tokens while tuning; the saved embedder keeps the encoder's own limit.
        seed: Order of the pairs.
        device: Like `cpu` or `cuda:1`; None: the best one there is.
        on_step: Called after each step with the share of the budget used (0 to 1) and the newest mean loss, for a
            progress bar.

    Returns:
        Steps, time, losses and what was left out.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If a limit is missing or not positive, a pair holds no text, fewer than two pairs are usable, the
            output is in use, or the loss is not finite.
    """
    _refuse_bad_budget(max_seconds, max_steps, batch_size, learning_rate)
    refuse_existing(output)
    embedder: Any = load_embedder(checkpoint, dtype="float32", device=device)
    rows, skipped = _training_rows(pairs)
    own_length, embedder.max_seq_length = embedder.max_seq_length, min(max_seq_length, embedder.max_seq_length)
    budget = _Budget(max_seconds, max_steps, on_step)
    _train(embedder, rows, budget, batch_size, learning_rate, seed)
    embedder.max_seq_length = own_length
    path = save_embedder(embedder.eval(), output)
    _log.info("tuned on %d pairs: %d steps in %s", len(rows["english"]), budget.steps, duration(budget.seconds))
    return AlignmentReport(
        path, len(rows["english"]), dict(skipped), budget.steps, budget.seconds, losses=list(budget.losses)
    )


def _refuse_bad_budget(max_seconds: float | None, max_steps: int | None, batch_size: int, learning_rate: float) -> None:
    if max_seconds is None and max_steps is None:
        raise ValueError("tuning needs an end: give max_seconds (such as 60), max_steps, or both")
    limits = {"max_seconds": max_seconds, "max_steps": max_steps, "learning_rate": learning_rate}
    for name, value in limits.items():
        if value is not None and not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, got {batch_size}: the other pairs are the wrong answers")


def _training_rows(pairs: Iterable[TranslatedPair]) -> tuple[dict[str, list[str]], Counter[str]]:
    """Collect the pairs as columns, leaving out and counting what teaches nothing."""
    from ..encoding.texts import check_text

    rows: dict[str, list[str]] = {"english": [], "text": []}
    skipped: Counter[str] = Counter()
    seen: set[tuple[str, str]] = set()
    for number, pair in enumerate(pairs):
        check_text(pair.english, f"pair {number} ({pair.language}), English side")
        check_text(pair.text, f"pair {number} ({pair.language})")
        if not pair.english.strip() or not pair.text.strip():
            skipped["empty"] += 1
        elif pair.english == pair.text:
            skipped["untranslated"] += 1
        elif (pair.english, pair.text) in seen:
            skipped["repeated"] += 1
        else:
            seen.add((pair.english, pair.text))
            rows["english"].append(pair.english)
            rows["text"].append(pair.text)
    if len(set(rows["english"])) < 2:
        raise ValueError(
            f"tuning needs at least 2 different English sides, got {len(set(rows['english']))} "
            f"(left out: {dict(skipped) or 'none'}); give more parallel text"
        )
    return rows, skipped


def _train(
    embedder: Any, rows: dict[str, list[str]], budget: "_Budget", batch_size: int, learning_rate: float, seed: int
) -> None:
    import torch
    from datasets import Dataset
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    loss = MultipleNegativesRankingLoss(embedder, directions=("query_to_doc", "doc_to_query"))
    arguments = {
        "max_steps": budget.max_steps or _NO_STEP_LIMIT,
        "per_device_train_batch_size": batch_size,
        "seed": seed,
        "data_seed": seed,
        "logging_steps": _LOG_EVERY,
    }
    data = Dataset.from_dict(rows)
    with quiet_trainer("SentenceTransformer", embedder, data, loss, budget, arguments) as trainer:
        train_active_rows(trainer)
        trainer.optimizer = torch.optim.AdamW(embedder.parameters(), lr=learning_rate, weight_decay=0.0)
        trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, budget.learning_rate_factor)
        trainer.train()


class _Budget(LossRecord):
    """Ends training when time or steps are used up, and shapes the learning rate over whichever runs out first."""

    def __init__(
        self, max_seconds: float | None, max_steps: int | None, on_step: Callable[[float, float | None], None] | None
    ) -> None:
        super().__init__()
        self.max_seconds, self.max_steps, self.on_step = max_seconds, max_steps, on_step

    def used(self, step: int) -> float:
        """Share of the budget that is used, 0 to 1, after so many steps."""
        by_time = self.elapsed() / self.max_seconds if self.max_seconds else 0.0
        by_steps = step / self.max_steps if self.max_steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def learning_rate_factor(self, step: int) -> float:
        """Linear warm-up, then linear to zero."""
        # the step that is about to run counts, so that the first one has a rate above zero
        ahead = self.used(step) + (0.5 / self.max_steps if self.max_steps else 1e-3)
        return min(ahead / _WARMUP_SHARE, max(0.0, 1 - ahead) / (1 - _WARMUP_SHARE))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        super().on_step_end(args, state, control, **kwargs)
        used = self.used(self.steps)
        control.should_training_stop = control.should_training_stop or used >= 1.0
        if self.on_step is not None:
            self.on_step(used, self.losses[-1][1] if self.losses else None)

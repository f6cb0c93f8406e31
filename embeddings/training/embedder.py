"""Trains an embedder on pairs, triplets or scored pairs, and keeps the record of the run.

The trainer is sentence-transformers', over our network. What this adds: rows that were cleaned and counted, batches
drawn by language, a held-out set that no training row shares an anchor with, scores before, during and after, LoRA that
is merged before saving, and a save that loads everywhere.

Trade-off: tuning is done in float32, or under autocast, on one process or several started by `accelerate launch`; the
weights themselves are never kept in bfloat16, in which AdamW's small steps are lost.
"""

import os
from collections.abc import Sequence
from typing import Any, Unpack

from ..encoding.load import load_embedder
from ..encoding.sentence_transformers_model import save_embedder
from ..pairs.pair_set import PairSet
from .distillation.teachers import load_teacher
from .language_sampler import language_batches
from .losses import build_evaluator, build_loss, refuse_unfit
from .presets import TrainingPreset
from .run import RunOptions, TrainingReport, TrainingRun

# every linear layer of the encoder, by names that do not take the head along
LORA_TARGETS = ["Wqkv", "attn.Wo", "Wi", "mlp.Wo"]


def train_embedder(
    checkpoint: str | os.PathLike[str],
    pairs: PairSet,
    output: str | os.PathLike[str],
    *,
    settings: TrainingPreset,
    dev: PairSet | None = None,
    matryoshka: Sequence[int] = (),
    teacher: str | os.PathLike[str] | None = None,
    lora_rank: int | None = None,
    **options: Unpack[RunOptions],
) -> TrainingReport:
    """Train an embedder and save it as a SentenceTransformer that loads without this package.

    Args:
        checkpoint: Encoder or saved SentenceTransformer, as for `load_embedder`.
        pairs: Training rows.
        output: Folder to write.
        settings: Objective, batch, rate and so on; see `presets.preset`.
        dev: Held-out rows, scored before, during and after training; None: no scores.
        matryoshka: Numbers of dimensions whose vectors shall be good on their own.
        teacher: Guide or teacher of the objectives `gist` and `distill`: a SentenceTransformer's folder or Hub id.
        lora_rank: Train low-rank updates of the linear layers only, and merge them at the end; None: all weights.
        **options: See `RunOptions`.

    Returns:
        Steps, time, losses, scores and what was left out.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers, or peft for LoRA, is not installed.
        ValueError: If objective and rows do not fit, a number is out of range, the output is in use, or the loss is
            not finite.
    """
    run = TrainingRun(output, pairs, settings, **options)
    refuse_unfit(settings.objective, pairs, teacher)
    _refuse_bad_numbers(settings, pairs, lora_rank)
    embedder: Any = load_embedder(checkpoint, dtype="float32", device=run.device)
    guide = None if teacher is None else load_teacher(teacher, run.device)
    with run.shortened(embedder):
        loss, dataset = build_loss(
            settings.objective,
            embedder,
            pairs.dataset(teacher_scores=settings.objective == "distill" and guide is None),
            teacher=guide,
            matryoshka=matryoshka,
            both_directions=settings.both_directions,
            mini_batch_tokens=settings.mini_batch_tokens,
        )
        if lora_rank is not None:
            _add_lora(embedder, lora_rank)
        batches: Any = None
        if settings.temperature is not None:
            batches = language_batches(pairs.languages, pairs.rows, settings.temperature)
        evaluator = None if dev is None else build_evaluator(dev, matryoshka)
        run.train("SentenceTransformer", embedder, dataset, loss, evaluator=evaluator, batches=batches)
    if lora_rank is not None:
        embedder[0].model = embedder[0].model.merge_and_unload()
    return run.save(embedder, save_embedder)


def _refuse_bad_numbers(settings: TrainingPreset, pairs: PairSet, lora_rank: int | None) -> None:
    if lora_rank is not None and lora_rank < 1:
        raise ValueError(f"lora_rank must be at least 1, got {lora_rank}")
    if settings.temperature is not None and len(set(pairs.languages)) < 2:
        found = ", ".join(sorted(set(pairs.languages) - {""})) or "none named"
        raise ValueError(f"batches by language need two languages, the rows have {found}; leave temperature out")


def _add_lora(embedder: Any, rank: int) -> None:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as missing:
        raise ImportError('LoRA needs peft: pip install "mmbert[finetune]"') from missing
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LORA_TARGETS, lora_dropout=0.05)
    embedder[0].model = get_peft_model(embedder[0].model, config)

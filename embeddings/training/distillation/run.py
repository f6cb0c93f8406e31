"""Distils a student: labels, a start in closed form, training, scores against the teacher on held-out texts.

rows -> vectors of the teacher's texts (`label_texts`) -> targets -> table of token vectors (`fit_tokens`)
     -> the table as an embedder (`distil_static`), or the start of a network that is trained on (`distil_embedder`)
"""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ....common.files import refuse_existing
from ...encoding.backend import one_line_errors
from ...encoding.load import load_embedder
from ...encoding.sentence_transformers_model import save_embedder
from ..presets import TrainingPreset
from ..run import TrainingReport, TrainingRun, refuse_bad_numbers
from .label_store import LabelStore, label_texts
from .losses import DistillationLoss, refuse_bad_weights
from .ridge import bag_of_tokens, fit_tokens
from .rows import DistillationRows
from .static_start import put_head, save_static, start_from_tokens, static_embedder
from .targets import CENTRES, Centre, Targets
from .teachers import Teacher

_log = logging.getLogger(__name__)
DEFAULT_LOSS: Mapping[str, float] = {"cosine": 1.0, "contrastive": 0.5}
"""2 : 1 as in the trial in docs/distillation.md: the vector is the aim, the contrast keeps texts apart."""
Start = Literal["model", "tokens"]


def distil_embedder(
    checkpoint: str | os.PathLike[str],
    rows: DistillationRows,
    output: str | os.PathLike[str],
    *,
    teacher: Teacher,
    labels: str | os.PathLike[str],
    settings: TrainingPreset,
    dev: DistillationRows | None = None,
    loss: Mapping[str, float] = DEFAULT_LOSS,
    temperature: float = 0.05,
    margin: float = 0.05,
    centre: Centre = "none",
    start: Start = "model",
    ridge: float = 1.0,
    max_steps: int | None = None,
    seed: int = 0,
    device: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> TrainingReport:
    """Train a student to give the teacher's vectors, and save it as a SentenceTransformer for everybody.

    Args:
        checkpoint: Encoder or saved SentenceTransformer, as for `load_embedder`. If its vectors have another width than
            the teacher's, it gets a linear layer.
        rows: Texts of teacher and student.
        output: Folder to write.
        teacher: Of `open_teacher`.
        labels: Folder that keeps the teacher's vectors; a run that was stopped, or another one, goes on with them.
        settings: Batch, rate, length and so on; its objective is not used.
        dev: Held-out rows, scored before, during and after training; None: no scores.
        loss: Weight of each part, see `DistillationLoss`.
        temperature: Of the parts that compare similarities.
        margin: Of the filter of wrong answers.
        centre: What is taken off the teacher's vectors, see `Targets`.
        start: `model`: train the student as it is; `tokens`: begin with the ridge regression from tokens to the
            teacher, which replaces what the network has learned before.
        ridge: Of that regression.
        max_steps: Stop after so many steps.
        seed: Of batches and dropout.
        device: Like `cpu` or `cuda:1`; None: the best one there is.
        arguments: Further SentenceTransformerTrainingArguments.

    Returns:
        Steps, time, losses, scores and what was left out.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If a number is out of range, the teacher fails, the output is in use, or the loss is not finite.
    """
    run = TrainingRun(output, rows.pairs, settings, max_steps=max_steps, seed=seed, arguments=arguments)
    refuse_bad_weights(loss, temperature, margin)
    _refuse_bad_options(centre, start)
    embedder: Any = load_embedder(checkpoint, dtype="float32", device=device)
    store = _labels(teacher, labels, rows, dev)
    targets, numbers = _targets(store, rows, centre)
    with run.shortened(embedder):
        if start == "tokens":
            table, mean, counts = _fit(
                embedder.tokenizer, _vocabulary(embedder), rows, targets, numbers, settings, ridge
            )
            kept = start_from_tokens(embedder, table, mean, counts)
            _log.info("the student begins as the regression from tokens does: %.0f%% of it kept", 100 * kept)
        elif embedder.get_embedding_dimension() != targets.width:
            put_head(embedder, targets.width)
        evaluator = None if dev is None else _evaluator(dev, store, rows, centre)
        from datasets import Dataset
        from sentence_transformers.base.sampler import BatchSamplers

        data = Dataset.from_dict({"text": [row[1] for row in rows.pairs.rows], "label": numbers})
        objective = DistillationLoss(embedder, targets, loss, temperature=temperature, margin=margin)
        batches = BatchSamplers.BATCH_SAMPLER
        run.train("SentenceTransformer", embedder, data, objective, evaluator=evaluator, batches=batches)
    return run.save(embedder, save_embedder)


def distil_static(
    tokenizer: Any,
    rows: DistillationRows,
    output: str | os.PathLike[str],
    *,
    teacher: Teacher,
    labels: str | os.PathLike[str],
    settings: TrainingPreset,
    dev: DistillationRows | None = None,
    centre: Centre = "none",
    ridge: float = 1.0,
) -> TrainingReport:
    """Make a static embedder, a table of token vectors, by ridge regression: no training, no network.

    Args:
        tokenizer: A fast tokenizer of transformers, or where one is.
        rows: Texts of teacher and student.
        output: Folder to write, a SentenceTransformer with a StaticEmbedding.
        teacher: Of `open_teacher`.
        labels: Folder that keeps the teacher's vectors.
        settings: Only its length of texts is used.
        dev: Held-out rows; None: no scores.
        centre: What is taken off the teacher's vectors, see `Targets`.
        ridge: Penalty, see `fit_tokens`.

    Returns:
        Time, scores and what was left out; 0 steps.

    Raises:
        FileNotFoundError: If there is no such tokenizer.
        ImportError: If sentence-transformers is not installed.
        ValueError: If a number is out of range, the teacher fails, or the output is in use.
    """
    refuse_existing(output)
    refuse_bad_numbers(settings)
    _refuse_bad_options(centre, "tokens")
    if isinstance(tokenizer, str | os.PathLike):
        from transformers import AutoTokenizer

        with one_line_errors(tokenizer):
            tokenizer = AutoTokenizer.from_pretrained(str(tokenizer))
    store = _labels(teacher, labels, rows, dev)
    targets, numbers = _targets(store, rows, centre)
    began = time.monotonic()
    table, mean, _ = _fit(tokenizer, len(tokenizer), rows, targets, numbers, settings, ridge)
    embedder = static_embedder(tokenizer, table, mean)
    seconds = time.monotonic() - began
    scores = [] if dev is None else [(0, _evaluator(dev, store, rows, centre)(embedder))]
    path = save_static(embedder, output)
    return TrainingReport(path, len(rows), dict(rows.pairs.skipped), 0, seconds, [], scores)


def _refuse_bad_options(centre: str, start: str) -> None:
    for name, value, known in (("center", centre, CENTRES), ("start", start, ("model", "tokens"))):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")


def _labels(
    teacher: Teacher, folder: str | os.PathLike[str], rows: DistillationRows, dev: DistillationRows | None
) -> LabelStore:
    texts = rows.teacher_texts + (dev.teacher_texts if dev is not None else [])
    return label_texts(teacher, texts, folder)


def _targets(store: LabelStore, rows: DistillationRows, centre: Centre) -> tuple[Targets, npt.NDArray[np.int64]]:
    """Return a target per text of the teacher, and the number of each row's."""
    texts = rows.teacher_texts
    place = {text: number for number, text in enumerate(texts)}
    numbers = np.fromiter((place[row[0]] for row in rows.pairs.rows), np.int64, len(rows))
    return Targets.of(store, texts, rows.languages_of(texts), centre), numbers


def _fit(
    tokenizer: Any,
    vocabulary: int,
    rows: DistillationRows,
    targets: Targets,
    numbers: npt.NDArray[np.int64],
    settings: TrainingPreset,
    ridge: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    began = time.monotonic()
    bags = bag_of_tokens(tokenizer, [row[1] for row in rows.pairs.rows], vocabulary, settings.max_seq_length)
    table, mean = fit_tokens(bags, targets.select(numbers), ridge=ridge)
    counts = np.asarray(bags.sum(axis=0), dtype=np.float64).ravel()
    seen = int((counts > 0).sum())
    _log.info(
        "regression from %d tokens (%d of them occur) to the teacher: %.0f s",
        vocabulary,
        seen,
        time.monotonic() - began,
    )
    return table, mean, counts


def _vocabulary(embedder: Any) -> int:
    return int(embedder[0].model.get_input_embeddings().weight.shape[0])


def _evaluator(dev: DistillationRows, store: LabelStore, train: DistillationRows, centre: Centre) -> Any:
    """Score held-out texts against the teacher: cosine to its vector, and how often that one is the nearest."""
    from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

    # held-out texts are centred together with the others, or a language's few would have a mean of their own
    both = [*dev.teacher_texts, *train.teacher_texts]
    spoken = {**train.teacher_languages, **dev.teacher_languages}
    wanted = Targets.of(store, both, [spoken.get(text, "") for text in both], centre)[: len(dev.teacher_texts)]
    wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
    place = {text: number for number, text in enumerate(dev.teacher_texts)}
    right = np.asarray([place[row[0]] for row in dev.pairs.rows])
    texts = [row[1] for row in dev.pairs.rows]

    class TeacherEvaluator(SentenceEvaluator):
        """Closeness to the teacher on held-out texts."""

        def __init__(self) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self.primary_metric = "dev_teacher_cosine"

        def __call__(self, model: Any, *args: Any, **options: Any) -> dict[str, float]:
            """Return the scores of a student."""
            found = np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False), np.float32)
            likeness = found @ wanted.T
            cosine = float(likeness[np.arange(len(right)), right].mean())
            nearest = float((likeness.argmax(axis=1) == right).mean())
            return {"dev_teacher_cosine": cosine, "dev_accuracy@1": nearest}

    return TeacherEvaluator()

"""Distils a student: labels, a start in closed form, training, scores against the teacher on held-out texts.

rows -> vectors of the teacher's texts (`label_texts`) -> targets -> table of token vectors (`fit_tokens`)
     -> the table as an embedder (`distil_static`), or the start of a network that is trained on (`distil_embedder`)
"""

import logging
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from ....common.checkpoints.hub import load_tokenizer
from ....common.files import refuse_existing
from ....common.messages import require_known
from ....common.progress import duration
from ...encoding.backend import one_line_errors
from ...encoding.load import load_embedder
from ...encoding.sentence_transformers_model import save_embedder
from ...retrievers.load import save_retriever
from ..presets import TrainingPreset
from ..run import TrainingReport, TrainingRun, refuse_bad_numbers
from .label_store import LabelStore, label_texts
from .losses import DistillationLoss, refuse_bad_weights
from .ridge import bag_of_tokens, fit_tokens
from .rows import DistillationRows
from .static_start import put_head, start_from_tokens, static_embedder
from .targets import CENTRES, Centre, Targets
from .teachers import Teacher

_log = logging.getLogger(__name__)
DEFAULT_LOSS: Mapping[str, float] = {"cosine": 1.0, "contrastive": 0.5}
"""2 : 1 as in the trial in docs/distillation.md: the vector is the aim, the contrast keeps texts apart."""
_Array = npt.NDArray[np.float32]


class TeacherOptions(TypedDict, total=False):
    """What every student takes beside its rows and settings.

    Attributes:
        teacher: Of `open_teacher`.
        labels: Folder that keeps the teacher's vectors; a run that was stopped, or another one, goes on with them.
        dev: Held-out rows, scored before, during and after training; None: no scores.
        centre: What is taken off the teacher's vectors, see `Targets`; "none" by default.
        ridge: Penalty of the regression from tokens to the teacher, see `fit_tokens`; 1 by default.
    """

    teacher: Required[Teacher]
    labels: Required[str | os.PathLike[str]]
    dev: DistillationRows | None
    centre: Centre
    ridge: float


def distil_embedder(
    checkpoint: str | os.PathLike[str],
    rows: DistillationRows,
    output: str | os.PathLike[str],
    *,
    settings: TrainingPreset,
    loss: Mapping[str, float] = DEFAULT_LOSS,
    temperature: float = 0.05,
    margin: float = 0.05,
    start: str | os.PathLike[str] = "model",
    max_steps: int | None = None,
    seed: int = 0,
    device: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    **options: Unpack[TeacherOptions],
) -> TrainingReport:
    """Train a student to give the teacher's vectors, and save it as a SentenceTransformer for everybody.

    Args:
        checkpoint: Encoder or saved SentenceTransformer, as for `load_embedder`. If its vectors have another width than
            the teacher's, it gets a linear layer.
        rows: Texts of teacher and student.
        output: Folder to write.
        settings: Batch, rate, length and so on; its objective is not used.
        loss: Weight of each part, see `DistillationLoss`.
        temperature: Of the parts that compare similarities.
        margin: Of the filter of wrong answers.
        start: `model`: train the student as it is; `tokens`: begin with the ridge regression from tokens to the
            teacher, which replaces what the network has learned before; a folder of `distil_static`: with that one.
        max_steps: Stop after so many steps.
        seed: Of batches and dropout.
        device: Like `cpu` or `cuda:1`; None: the best one there is.
        arguments: Further SentenceTransformerTrainingArguments.
        **options: See `TeacherOptions`.

    Returns:
        Steps, time, losses, scores and what was left out.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If a number is out of range, the teacher fails, the output is in use, or the loss is not finite.
    """
    run = TrainingRun(output, rows.pairs, settings, max_steps=max_steps, seed=seed, arguments=arguments)
    refuse_bad_weights(loss, temperature, margin)
    lesson = _Lesson(rows, settings, **options)
    refuse_bad_start(start)
    embedder: Any = load_embedder(checkpoint, dtype="float32", device=device)
    targets = lesson.targets
    with run.shortened(embedder):
        if start != "model":
            vocabulary = int(embedder[0].model.get_input_embeddings().weight.shape[0])
            bags = lesson.bags(embedder.tokenizer, vocabulary)
            table, mean = lesson.fit(bags) if start == "tokens" else _read_table(start, embedder, targets.width)
            counts = np.asarray(bags.sum(axis=0), dtype=np.float64).ravel()[: len(table)]
            kept = start_from_tokens(embedder, table, mean, counts)
            _log.info("the student begins as the regression from tokens does: %.0f%% of it kept", 100 * kept)
        elif embedder.get_embedding_dimension() != targets.width:
            put_head(embedder, targets.width)
        evaluator = lesson.evaluator()
        from datasets import Dataset
        from sentence_transformers.base.sampler import BatchSamplers

        data = Dataset.from_dict({"text": [row[1] for row in rows.pairs.rows], "label": lesson.numbers})
        objective = DistillationLoss(embedder, targets, loss, temperature=temperature, margin=margin)
        batches = BatchSamplers.BATCH_SAMPLER
        run.train("SentenceTransformer", embedder, data, objective, evaluator=evaluator, batches=batches)
    return run.save(embedder, save_embedder)


def distil_static(
    tokenizer: Any,
    rows: DistillationRows,
    output: str | os.PathLike[str],
    *,
    settings: TrainingPreset,
    **options: Unpack[TeacherOptions],
) -> TrainingReport:
    """Make a static embedder, a table of token vectors, by ridge regression: no training, no network.

    Args:
        tokenizer: A fast tokenizer of transformers, or where one is.
        rows: Texts of teacher and student.
        output: Folder to write, a SentenceTransformer with a StaticEmbedding.
        settings: Only its length of texts is used.
        **options: See `TeacherOptions`.

    Returns:
        Time, scores and what was left out; 0 steps.

    Raises:
        FileNotFoundError: If there is no such tokenizer.
        ImportError: If sentence-transformers is not installed.
        ValueError: If a number is out of range, the teacher fails, or the output is in use.
    """
    refuse_existing(output)
    refuse_bad_numbers(settings)
    lesson = _Lesson(rows, settings, **options)
    if isinstance(tokenizer, str | os.PathLike):
        tokenizer = load_tokenizer(tokenizer)
    evaluator = lesson.evaluator()  # its teacher is asked before the clock runs
    began = time.monotonic()
    embedder = static_embedder(tokenizer, *lesson.fit(lesson.bags(tokenizer, len(tokenizer))))
    seconds = time.monotonic() - began
    scores = [] if evaluator is None else [(0, evaluator(embedder))]
    path = save_retriever(embedder, output)
    return TrainingReport(path, len(rows), dict(rows.pairs.skipped), 0, seconds, [], scores)


def refuse_bad_start(start: str | os.PathLike[str]) -> None:
    """Refuse a start that is neither a word that we know nor a folder."""
    if not Path(start).is_dir():
        require_known("start", str(start), ("model", "tokens"), "give the folder of a static embedder.")


class _Lesson:
    """Rows, the teacher's vectors for them, and what is made of both; the teacher is asked at first use."""

    def __init__(
        self,
        rows: DistillationRows,
        settings: TrainingPreset,
        *,
        teacher: Teacher,
        labels: str | os.PathLike[str],
        dev: DistillationRows | None = None,
        centre: Centre = "none",
        ridge: float = 1.0,
    ) -> None:
        require_known("center", centre, CENTRES)
        self.rows, self.dev, self.centre, self.ridge = rows, dev, centre, ridge
        self._teacher, self._labels, self._length = teacher, labels, settings.max_seq_length

    @cached_property
    def _store(self) -> LabelStore:
        texts = self.rows.teacher_texts + (self.dev.teacher_texts if self.dev is not None else [])
        return label_texts(self._teacher, texts, self._labels)

    @cached_property
    def targets(self) -> Targets:
        """A target per text of the teacher."""
        texts = self.rows.teacher_texts
        return Targets.of(self._store, texts, self.rows.languages_of(texts), self.centre)

    @cached_property
    def numbers(self) -> npt.NDArray[np.int64]:
        """(rows,) the number of each row's target."""
        place = {text: number for number, text in enumerate(self.rows.teacher_texts)}
        return np.fromiter((place[row[0]] for row in self.rows.pairs.rows), np.int64, len(self.rows))

    def bags(self, tokenizer: Any, vocabulary: int) -> Any:
        """Count the tokens of the student's texts."""
        return bag_of_tokens(tokenizer, [row[1] for row in self.rows.pairs.rows], vocabulary, self._length)

    def fit(self, bags: Any) -> tuple[_Array, _Array]:
        """Solve for the table of token vectors, and the targets' mean."""
        began = time.monotonic()
        table, mean = fit_tokens(bags, self.targets.select(self.numbers), ridge=self.ridge)
        seen = len(np.unique(bags.indices))
        seconds = time.monotonic() - began
        _log.info(
            "regression from %d tokens (%d of them occur) to the teacher: %s", len(table), seen, duration(seconds)
        )
        return table, mean

    def evaluator(self) -> Any:
        """Score held-out texts: cosine to the teacher's vector, and how often that one is the nearest."""
        if self.dev is None:
            return None
        dev, train = self.dev, self.rows
        # held-out texts are centred together with the others, or a language's few would have a mean of their own
        both = [*dev.teacher_texts, *train.teacher_texts]
        spoken = {**train.teacher_languages, **dev.teacher_languages}
        wanted = Targets.of(self._store, both, [spoken.get(text, "") for text in both], self.centre)
        place = {text: number for number, text in enumerate(dev.teacher_texts)}
        right = np.asarray([place[row[0]] for row in dev.pairs.rows])
        return _evaluator([row[1] for row in dev.pairs.rows], wanted[: len(dev.teacher_texts)], right)


def _read_table(folder: str | os.PathLike[str], student: Any, width: int) -> tuple[_Array, _Array]:
    """Read what `distil_static` saved; the targets' mean is in its rows already."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    with one_line_errors(folder):
        static = SentenceTransformer(str(folder), device="cpu", local_files_only=True)[0]
    if not isinstance(static, StaticEmbedding):
        raise ValueError(f"{folder}: start needs a static embedder (mmbert train distilled --static), this is another")
    if static.tokenizer.get_vocab() != student.tokenizer.get_vocab():
        raise ValueError(f"{folder}: its vocabulary is not the student's; make it with --static from the same model")
    table = static.embedding.weight.detach().numpy()
    if table.shape[1] != width:
        raise ValueError(f"{folder}: its vectors have {table.shape[1]} dimensions, the teacher's {width}")
    return table, np.zeros(width, np.float32)


def _evaluator(texts: list[str], wanted: _Array, right: npt.NDArray[np.int64]) -> Any:
    from sentence_transformers.sentence_transformer.evaluation import SentenceEvaluator

    wanted = wanted / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)

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

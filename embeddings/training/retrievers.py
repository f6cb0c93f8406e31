"""Trains the three other kinds of retriever: reranker, multi-vector (ColBERT), SPLADE.

Trainers, losses and evaluators are sentence-transformers'. A reranker learns from what a first search got wrong, so it
wants triplets (see `mine_negatives`): every question with its passage and each of the wrong ones, as yes or no. The
other two are contrastive like an embedder.

Trade-off: from plain pairs a reranker learns against random passages of its batch. That is easier than its job, which
is to tell the nearest twenty apart.
"""

import logging
import os
import random
from typing import Any, Unpack

from ..pairs.pair_set import PairSet
from ..retrievers.load import load_multi_vector, load_reranker, load_sparse_encoder, save_retriever
from .losses import retrieval_task, search_evaluator
from .presets import TrainingPreset
from .run import RunOptions, TrainingReport, TrainingRun

logger = logging.getLogger(__name__)

_LOOKED_AT = 8
_CANDIDATES = 20  # passages that a question of the held-out pairs is evaluated among


def train_reranker(
    checkpoint: str | os.PathLike[str],
    pairs: PairSet,
    output: str | os.PathLike[str],
    *,
    settings: TrainingPreset,
    dev: PairSet | None = None,
    **options: Unpack[RunOptions],
) -> TrainingReport:
    """Train a CrossEncoder: triplets as yes and no, scored pairs by their score, pairs against the batch.

    Args:
        checkpoint: See `load_reranker`.
        pairs: Training rows; triplets are best.
        output: Folder to write.
        settings: Batch, rate and so on; a batch counts question-passage pairs.
        dev: Held-out rows. Pairs and triplets: is the right passage ranked above 19 others, among them the row's own
            negatives? Scored pairs: rank correlation.
        **options: See `RunOptions`.

    Returns:
        The report of the run; the model is saved for plain sentence-transformers.

    Raises:
        ValueError: If numbers are out of range, the output is in use, or the loss is not finite.
    """
    import torch
    from sentence_transformers.cross_encoder import losses

    run = TrainingRun(output, pairs, settings, **options)
    if pairs.scores is not None and not 0 <= min(pairs.scores) <= max(pairs.scores) <= 1:
        low, high = min(pairs.scores), max(pairs.scores)
        raise ValueError(f"a reranker learns scores between 0 and 1, got {low} to {high}; bring them there first")
    model = load_reranker(checkpoint, device=run.device)
    loss: Any
    if pairs.kind == "pairs":
        batches, dataset = None, pairs.dataset()
        loss = losses.MultipleNegativesRankingLoss(model, num_negatives=min(4, settings.batch_size - 1))
    else:  # a question comes up with each of its passages, so texts recur in a batch
        batches, dataset = "batch_sampler", pairs.dataset() if pairs.kind == "scored" else labelled_rows(pairs)
        wrong = max(1, len(pairs.columns) - 2)
        loss = losses.BinaryCrossEntropyLoss(model, pos_weight=torch.tensor(float(wrong), device=model.device))
    evaluator = None if dev is None else _reranking_evaluator(dev, run.seed)
    with run.shortened(model):
        run.train("CrossEncoder", model, dataset, loss, evaluator=evaluator, batches=batches)
    return run.save(model, save_retriever)


def train_multi_vector(
    checkpoint: str | os.PathLike[str],
    pairs: PairSet,
    output: str | os.PathLike[str],
    *,
    settings: TrainingPreset,
    dims: int = 128,
    dev: PairSet | None = None,
    **options: Unpack[RunOptions],
) -> TrainingReport:
    """Train a MultiVectorEncoder: the question's tokens each find their best token of the right passage.

    Args:
        checkpoint: See `load_multi_vector`.
        pairs: Pairs or triplets.
        output: Folder to write.
        settings: Batch, rate and so on.
        dims: Dimensions of a token's vector, for a new projection.
        dev: Held-out rows, searched before, during and after.
        **options: See `RunOptions`.

    Returns:
        The report of the run; the model is saved for plain sentence-transformers.

    Raises:
        ValueError: If the rows are scored pairs, numbers are out of range, the output is in use, or the loss is not
            finite.
    """
    import torch
    from sentence_transformers.multi_vector_encoder import evaluation, losses

    run = TrainingRun(output, pairs, settings, **options)
    _refuse_scored(pairs, dev)
    torch.manual_seed(run.seed)
    model = load_multi_vector(checkpoint, dims=dims, device=run.device)
    if settings.mini_batch_tokens is None:
        loss: Any = losses.MultiVectorMultipleNegativesRankingLoss(model)
    else:
        parts: dict[str, Any] = {"mini_batch_num_tokens": settings.mini_batch_tokens}
        loss = losses.CachedMultiVectorMultipleNegativesRankingLoss(model, **parts)
    evaluator = evaluation.MultiVectorInformationRetrievalEvaluator
    return _train_to_search(run, "MultiVectorEncoder", model, loss, evaluator, dev)


def train_sparse_encoder(
    checkpoint: str | os.PathLike[str],
    pairs: PairSet,
    output: str | os.PathLike[str],
    *,
    settings: TrainingPreset,
    query_weight: float = 5e-5,
    document_weight: float = 3e-5,
    dev: PairSet | None = None,
    **options: Unpack[RunOptions],
) -> TrainingReport:
    """Train a SPLADE encoder: contrastive, with a price on every word that scores (FLOPS, arXiv 2205.04733).

    Args:
        checkpoint: Masked language model, see `load_sparse_encoder`.
        pairs: Pairs or triplets.
        output: Folder to write.
        settings: Batch, rate and so on.
        query_weight: Price of words in questions; it rises to this over the first third of the run.
        document_weight: Price of words in passages, likewise.
        dev: Held-out rows, searched before, during and after.
        **options: See `RunOptions`.

    Returns:
        The report of the run; the model is saved for plain sentence-transformers.

    Raises:
        ValueError: If the rows are scored pairs, numbers are out of range, the output is in use, or the loss is not
            finite.
    """
    from sentence_transformers.sparse_encoder import evaluation, losses

    run = TrainingRun(output, pairs, settings, **options)
    _refuse_scored(pairs, dev)
    if query_weight < 0 or document_weight < 0:
        raise ValueError(f"weights must not be below 0, got {query_weight} and {document_weight}")
    model = load_sparse_encoder(checkpoint, device=run.device)
    _warn_of_untrained_head(model, pairs)
    inner = losses.SparseMultipleNegativesRankingLoss(model)
    prices: dict[str, Any] = {"query_regularizer_weight": query_weight, "document_regularizer_weight": document_weight}
    if settings.mini_batch_tokens is None:
        loss: Any = losses.SpladeLoss(model, inner, **prices)
    else:
        loss = losses.CachedSpladeLoss(model, inner, mini_batch_num_tokens=settings.mini_batch_tokens, **prices)
    evaluator = evaluation.SparseInformationRetrievalEvaluator
    return _train_to_search(run, "SparseEncoder", model, loss, evaluator, dev)


def _train_to_search(
    run: TrainingRun, family: str, model: Any, loss: Any, evaluator: Any, dev: PairSet | None
) -> TrainingReport:
    with run.shortened(model):
        searched = None if dev is None else search_evaluator(evaluator, dev)
        run.train(family, model, run.pairs.dataset(), loss, evaluator=searched)
    return run.save(model, save_retriever)


def _warn_of_untrained_head(model: Any, pairs: PairSet) -> None:
    """Say at the start that most words score for any passage: training from there takes a multiple of the rows."""
    texts = [row[1] for row in pairs.rows[:_LOOKED_AT]]
    active = 1 - model.sparsity(model.encode_document(texts, show_progress_bar=False))["sparsity_ratio"]
    if active > 0.5:
        logger.warning(
            "%.0f %% of the vocabulary scores for a passage before training: the masked-LM head has learned little; "
            "pre-train it first (`mmbert pretrain`, `mmbert continue`), or expect to need far more rows",
            100 * active,
        )


def labelled_rows(pairs: PairSet) -> Any:
    """Turn triplets into rows of question, passage and label: 1 for the positive, 0 for each negative."""
    from datasets import Dataset

    rows = [(row[0], text, float(n == 0)) for row in pairs.rows for n, text in enumerate(row[1:])]
    anchors, passages, labels = (list(column) for column in zip(*rows, strict=True))
    return Dataset.from_dict({"anchor": anchors, "passage": passages, "label": labels})


def _reranking_evaluator(dev: PairSet, seed: int) -> Any:
    from sentence_transformers.cross_encoder import evaluation

    if dev.scores is not None:
        texts = [[first, second] for first, second in dev.rows]
        return evaluation.CrossEncoderCorrelationEvaluator(texts, dev.scores, name="dev", write_csv=False)
    draw = random.Random(seed)
    queries, passages, relevant = retrieval_task(dev)
    samples: list[Any] = []
    for number, query in queries.items():
        right = relevant[number]
        answers = [passages[n] for n in sorted(right)]
        own = [text for row in dev.rows if row[0] == query for text in row[2:]]
        others = [passages[n] for n in draw.sample(sorted(passages), min(len(passages), 2 * _CANDIDATES + len(right)))]
        wrong = [text for text in dict.fromkeys([*own, *others]) if text not in answers][: _CANDIDATES - 1]
        samples.append({"query": query, "positive": answers, "negative": wrong})
    return evaluation.CrossEncoderRerankingEvaluator(samples, name="dev", write_csv=False, batch_size=32)


def _refuse_scored(*sets: PairSet | None) -> None:
    if any(rows is not None and rows.kind == "scored" for rows in sets):
        raise ValueError("scored pairs have no right answer to search for; give pairs or triplets")

"""What an embedder is trained for: the loss and the columns that each objective needs, and how the result is evaluated.

Losses and evaluators are sentence-transformers'. Which one fits is decided by the rows: scored pairs take CoSENT,
triplets distil a teacher's preferences (KL), pairs its vectors (the multilingual distillation of arXiv 2004.09813).

Trade-off: a teacher embeds the training set once, before training, so its vectors lie in memory (rows x width x 4
bytes); a guide (GIST) embeds every batch as it comes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...common.messages import require_known
from ..pairs.pair_set import PairSet

if TYPE_CHECKING:
    from datasets import Dataset

OBJECTIVES = ("contrastive", "gist", "distill", "scored")

# Cosines lie within 1 of each other; a temperature of 0.05 is the scale of 20 of the contrastive losses.
_TEMPERATURE = 0.05


def refuse_unfit(objective: str, pairs: PairSet, teacher: Any) -> None:
    """Refuse an objective that the rows, or the want of a teacher, do not allow."""
    require_known("objective", objective, OBJECTIVES)
    if (objective == "scored") != (pairs.kind == "scored"):
        raise ValueError(f"objective {objective!r} does not fit {pairs.kind}; scored pairs need objective 'scored'")
    if objective == "distill" and teacher is None and pairs.teacher_scores is not None:
        return
    if (objective in ("gist", "distill")) != (teacher is not None):
        need = "needs a teacher" if teacher is None else "takes no teacher; use gist or distill"
        raise ValueError(f"objective {objective!r} {need}")


def build_loss(
    objective: str,
    embedder: Any,
    dataset: "Dataset",
    *,
    teacher: Any = None,
    matryoshka: Sequence[int] = (),
    both_directions: bool = False,
    mini_batch_tokens: int | None = None,
) -> tuple[Any, "Dataset"]:
    """Build the loss of an objective, and the rows with the labels that it needs."""
    from sentence_transformers.sentence_transformer import losses

    parts: dict[str, Any] = {"mini_batch_num_tokens": mini_batch_tokens}
    loss: Any
    if objective == "scored":
        loss = losses.CoSENTLoss(embedder)
    elif objective == "gist":
        loss = losses.CachedGISTEmbedLoss(embedder, teacher, **parts)
    elif objective == "distill":
        loss, dataset = _distillation(embedder, dataset, teacher)
    else:
        directions: Any = ("query_to_doc", "doc_to_query") if both_directions else ("query_to_doc",)
        if mini_batch_tokens is None:
            loss = losses.MultipleNegativesRankingLoss(embedder, directions=directions)
        else:
            loss = losses.CachedMultipleNegativesRankingLoss(embedder, directions=directions, **parts)
    if matryoshka:
        width = embedder.get_embedding_dimension()
        if objective == "distill" or not all(1 <= dims <= width for dims in matryoshka):
            reason = "distillation is not cut" if objective == "distill" else f"they must lie between 1 and {width}"
            raise ValueError(f"matryoshka dimensions {list(matryoshka)}: {reason}")
        loss = losses.MatryoshkaLoss(embedder, loss, sorted({*matryoshka, width}, reverse=True))
    return loss, dataset


def _distillation(embedder: Any, dataset: "Dataset", teacher: Any) -> tuple[Any, "Dataset"]:
    from sentence_transformers.sentence_transformer import losses

    columns = dataset.column_names
    if teacher is None:  # scores of a reranker that came with the rows: its softmax has no temperature of its own
        scale = {"label": [[_TEMPERATURE * one for one in row] for row in dataset["label"][:]]}
        from datasets import Dataset

        texts = {name: dataset[name][:] for name in columns if name != "label"}
        return losses.DistillKLDivLoss(embedder, temperature=_TEMPERATURE), Dataset.from_dict({**texts, **scale})
    if len(columns) > 2:  # triplets: the teacher's preference among the passages
        vectors = {
            name: teacher.encode(dataset[name][:], convert_to_tensor=True, show_progress_bar=False) for name in columns
        }
        anchor = vectors.pop(columns[0])
        scores = [teacher.similarity_pairwise(anchor, passages).cpu() for passages in vectors.values()]
        rows = [list(map(float, row)) for row in zip(*scores, strict=True)]
        return losses.DistillKLDivLoss(embedder, temperature=_TEMPERATURE), dataset.add_column("label", rows)
    # both texts of a pair, a sentence and its translation, shall have the teacher's vector of the first
    targets = teacher.encode(dataset[columns[0]][:], show_progress_bar=False)
    width = embedder.get_embedding_dimension()
    projection = targets.shape[1] if targets.shape[1] != width else None
    loss = losses.EmbedDistillLoss(embedder, distance_metric="cosine", projection_dim=projection)
    return loss, dataset.add_column("label", targets.tolist())


def build_evaluator(pairs: PairSet, dims: Sequence[int] = (), batch_size: int = 64) -> Any:
    """Build the evaluator that fits held-out rows: triplets by accuracy, scores by correlation, pairs by search."""
    from sentence_transformers.base.evaluation import SequentialEvaluator
    from sentence_transformers.sentence_transformer import evaluation

    evaluators: list[Any] = []
    for cut in (None, *sorted(dims, reverse=True)):
        name = "dev" if cut is None else f"dev_{cut}"
        options: dict[str, Any] = {"name": name, "batch_size": batch_size, "write_csv": False, "truncate_dim": cut}
        columns: Any = [list(column) for column in zip(*pairs.rows, strict=True)]
        if pairs.scores is not None:
            evaluators.append(evaluation.EmbeddingSimilarityEvaluator(columns[0], columns[1], pairs.scores, **options))
        elif pairs.kind == "triplets":
            evaluators.append(evaluation.TripletEvaluator(*columns[:3], **options))
        else:
            evaluators.append(search_evaluator(evaluation.InformationRetrievalEvaluator, pairs, **options))
    return SequentialEvaluator(evaluators, main_score_function=lambda scores: scores[0])


def search_evaluator(kind: Any, pairs: PairSet, **options: Any) -> Any:
    """Build an evaluator that searches held-out rows, writes no file and calls its numbers `dev_...`."""
    queries, passages, relevant = retrieval_task(pairs)
    named = {"name": "dev", "write_csv": False, **options}
    return kind(queries=queries, corpus=passages, relevant_docs=relevant, **named)


def retrieval_task(pairs: PairSet) -> tuple[dict[str, str], dict[str, str], dict[str, set[str]]]:
    """Turn pairs into queries, passages (negatives too) and the right passages of each query, by number."""
    passages = {text: f"p{n}" for n, text in enumerate(dict.fromkeys(text for row in pairs.rows for text in row[1:]))}
    queries = {text: f"q{n}" for n, text in enumerate(dict.fromkeys(row[0] for row in pairs.rows))}
    relevant: dict[str, set[str]] = {number: set() for number in queries.values()}
    for row in pairs.rows:
        relevant[queries[row[0]]].add(passages[row[1]])
    return {n: text for text, n in queries.items()}, {n: text for text, n in passages.items()}, relevant

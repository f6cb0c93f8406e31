"""How good it is: tasks, metrics and per-language reports."""

from ..common.lazy import lazy_exports

_HOMES = {
    "bitext_accuracy": "embeddings.bitext",
    "embedding_markdown": "embeddings.evaluate",
    "embedding_model_index": "embeddings.evaluate",
    "evaluate_embedder": "embeddings.evaluate",
    "local_task": "embeddings.mteb_tasks",
    "neighbour_scores": "embeddings.knn",
    "retrieval_scores": "embeddings.retrieval",
    "sts_scores": "embeddings.sts",
    "summary_table": "embeddings.evaluate",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

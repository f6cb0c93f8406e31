"""Rerankers, multi-vector and sparse models: `load` opens and saves them, `splade` holds few logits at a time."""

from ...common.lazy import lazy_exports

_HOMES = {"load_multi_vector": "load", "load_reranker": "load", "load_sparse_encoder": "load", "save_retriever": "load"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

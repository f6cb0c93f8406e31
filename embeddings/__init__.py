"""Sentence vectors, rerankers, multi-vector and sparse encoders, search: load, train, save for everybody.

`encoding` turns texts into vectors, `training` tunes embedders and retrievers on what `pairs` reads, `retrievers`
loads the other kinds, `search` finds passages. torch and sentence-transformers are imported when they are first needed.
"""

from ..common.lazy import lazy_exports

_HOMES = {
    "AlignmentReport": "training.alignment",
    "CompactVectors": "encoding.vectors",
    "Document": "search.documents",
    "FileEncoding": "encoding.to_file",
    "PairSet": "pairs.pair_set",
    "Passage": "search.passages",
    "RunOptions": "training.run",
    "SearchHit": "search.hits",
    "SearchIndex": "search.index",
    "TrainingPreset": "training.presets",
    "TrainingReport": "training.run",
    "align_encoder": "training.alignment",
    "compact": "encoding.vectors",
    "cut_passages": "search.passages",
    "encode_to_file": "encoding.to_file",
    "load_embedder": "encoding.load",
    "load_multi_vector": "retrievers.load",
    "load_reranker": "retrievers.load",
    "load_sparse_encoder": "retrievers.load",
    "mine_negatives": "training.hard_negatives",
    "model_fingerprint": "encoding.fingerprint",
    "preset": "training.presets",
    "read_documents": "search.documents",
    "read_pairs": "pairs.cleaning",
    "save_embedder": "encoding.sentence_transformers_model",
    "save_retriever": "retrievers.load",
    "train_embedder": "training.embedder",
    "train_multi_vector": "training.retrievers",
    "train_reranker": "training.retrievers",
    "train_sparse_encoder": "training.retrievers",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

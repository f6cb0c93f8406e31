"""Sentence vectors, rerankers, multi-vector and sparse encoders, search: load, train, save for everybody.

`encoding` turns texts into vectors, `training` tunes embedders and retrievers on what `pairs` reads, `retrievers`
loads the other kinds, `search` finds passages. torch and sentence-transformers are imported when they are first needed.
"""

from ..common.lazy import lazy_exports

_HOMES = {
    "AlignmentReport": "training.alignment",
    "CompactVectors": "encoding.vectors",
    "DistillationRows": "training.distillation.rows",
    "Document": "search.documents",
    "FileEncoding": "encoding.to_file",
    "LabelStore": "training.distillation.label_store",
    "PairSet": "pairs.pair_set",
    "Passage": "search.passages",
    "RunOptions": "training.run",
    "SearchHit": "search.hits",
    "SearchIndex": "search.index",
    "TeacherOptions": "training.distillation.run",
    "TrainingPreset": "training.presets",
    "TrainingReport": "training.run",
    "align_encoder": "training.alignment",
    "compact": "encoding.vectors",
    "cut_passages": "search.passages",
    "distil_embedder": "training.distillation.run",
    "distil_static": "training.distillation.run",
    "encode_to_file": "encoding.to_file",
    "label_texts": "training.distillation.label_store",
    "load_embedder": "encoding.load",
    "load_multi_vector": "retrievers.load",
    "load_reranker": "retrievers.load",
    "load_sparse_encoder": "retrievers.load",
    "mine_negatives": "training.hard_negatives",
    "model_fingerprint": "encoding.fingerprint",
    "open_teacher": "training.distillation.teachers",
    "preset": "training.presets",
    "read_distillation_rows": "training.distillation.rows",
    "read_documents": "search.documents",
    "read_pairs": "pairs.cleaning",
    "save_embedder": "encoding.sentence_transformers_model",
    "save_retriever": "retrievers.load",
    "texts_digest": "encoding.to_file",
    "train_embedder": "training.embedder",
    "train_multi_vector": "training.retrievers",
    "train_reranker": "training.retrievers",
    "train_sparse_encoder": "training.retrievers",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

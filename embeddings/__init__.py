"""Sentence vectors, rerankers, multi-vector and sparse encoders, search: load, train, save for everybody.

sentence-transformers is imported only when one of these functions runs.
"""

from .alignment import AlignmentReport, align_encoder
from .documents import Document, read_documents
from .fingerprint import model_fingerprint
from .index import SearchIndex
from .index_search import SearchHit
from .loader import load_embedder
from .negatives import mine_negatives
from .pair_reading import read_pairs
from .pairs import PairSet
from .passages import Passage, cut_passages
from .presets import TrainingPreset, preset
from .retriever_training import train_multi_vector, train_reranker, train_sparse_encoder
from .retrievers import load_multi_vector, load_reranker, load_sparse_encoder, save_retriever
from .saving import save_embedder
from .streaming import FileEncoding, encode_to_file
from .training import train_embedder
from .training_report import TrainingReport
from .vectors import CompactVectors, compact

__all__ = [
    "AlignmentReport",
    "CompactVectors",
    "Document",
    "FileEncoding",
    "PairSet",
    "Passage",
    "SearchHit",
    "SearchIndex",
    "TrainingPreset",
    "TrainingReport",
    "align_encoder",
    "compact",
    "cut_passages",
    "encode_to_file",
    "load_embedder",
    "load_multi_vector",
    "load_reranker",
    "load_sparse_encoder",
    "mine_negatives",
    "model_fingerprint",
    "preset",
    "read_documents",
    "read_pairs",
    "save_embedder",
    "save_retriever",
    "train_embedder",
    "train_multi_vector",
    "train_reranker",
    "train_sparse_encoder",
]

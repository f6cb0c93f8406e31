"""Sentence vectors, rerankers, multi-vector and sparse encoders, search: load, train, save for everybody.

sentence-transformers is imported only when one of these functions runs.
"""

from .encoding.fingerprint import model_fingerprint
from .encoding.load import load_embedder
from .encoding.sentence_transformers_model import save_embedder
from .encoding.to_file import FileEncoding, encode_to_file
from .encoding.vectors import CompactVectors, compact
from .pairs.cleaning import read_pairs
from .pairs.pair_set import PairSet
from .retrievers.load import load_multi_vector, load_reranker, load_sparse_encoder, save_retriever
from .search.documents import Document, read_documents
from .search.index import SearchIndex
from .search.passages import Passage, cut_passages
from .search.query import SearchHit
from .training.alignment import AlignmentReport, align_encoder
from .training.embedder import train_embedder
from .training.hard_negatives import mine_negatives
from .training.presets import TrainingPreset, preset
from .training.retrievers import train_multi_vector, train_reranker, train_sparse_encoder
from .training.run import TrainingReport

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

"""Sentence vectors: load an encoder as a SentenceTransformer, tune it on parallel text, save it for everybody.

sentence-transformers is imported only when one of these functions runs.
"""

from .alignment import AlignmentReport, align_encoder
from .fingerprint import model_fingerprint
from .loader import load_embedder
from .saving import save_embedder
from .streaming import FileEncoding, encode_to_file
from .vectors import CompactVectors, compact

__all__ = [
    "AlignmentReport",
    "CompactVectors",
    "FileEncoding",
    "align_encoder",
    "compact",
    "encode_to_file",
    "load_embedder",
    "model_fingerprint",
    "save_embedder",
]

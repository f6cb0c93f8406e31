"""Sentence vectors: load an encoder as a SentenceTransformer, tune it on parallel text, save it for everybody.

sentence-transformers is imported only when one of these functions runs.
"""

from .alignment import AlignmentReport, align_encoder
from .loader import load_embedder
from .saving import save_embedder

__all__ = ["AlignmentReport", "align_encoder", "load_embedder", "save_embedder"]

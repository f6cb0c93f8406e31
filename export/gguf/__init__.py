"""GGUF for llama.cpp and Ollama: `tokenizer` writes the vocabulary for SentencePiece, `write` the network beside it."""

from ...common.lazy import lazy_exports

_HOMES = {"GgufExport": "write", "export_gguf": "write"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

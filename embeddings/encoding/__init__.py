"""From texts to vectors.

`load` gives an embedder, `packed` encodes without padding, `to_file` more than memory holds.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "CompactVectors": "vectors",
    "FileEncoding": "to_file",
    "check_text": "texts",
    "compact": "vectors",
    "encode_to_file": "to_file",
    "existing": "backend",
    "load_embedder": "load",
    "make_portable": "sentence_transformers_model",
    "model_fingerprint": "fingerprint",
    "needs_sentence_transformers": "backend",
    "one_line_errors": "backend",
    "save_embedder": "sentence_transformers_model",
    "set_length": "load",
    "use_our_network": "backend",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""Vectors of texts for evaluation: every distinct text once, of length 1, as a query, a document or by itself."""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Kind = Literal["query", "document", "text"]


def embed(encoder: Any, texts: Iterable[str], kind: Kind = "text", batch_size: int | None = None) -> dict[str, Floats]:
    """Embed texts.

    Args:
        encoder: With `encode`, and `encode_query` and `encode_document` where those differ, as a SentenceTransformer.
        texts: What to embed; repeated ones are embedded once.
        kind: What they are: a model may put another prompt before a query than before a document.
        batch_size: Texts in one forward pass; None: what the encoder chooses.

    Returns:
        Vectors of length 1 by text.

    Raises:
        ValueError: If something is no text, or a vector is not finite.
    """
    found = list(dict.fromkeys(texts))
    for text in found:
        if not isinstance(text, str):
            raise ValueError(f"expected text to embed, got {type(text).__name__} {text!r:.40}; drop such rows")
    if not found:
        return {}
    method = {"query": "encode_query", "document": "encode_document", "text": "encode"}[kind]
    encode = getattr(encoder, method, None) or encoder.encode
    options = {} if batch_size is None else {"batch_size": batch_size}
    return by_text(found, encode(found, show_progress_bar=False, **options))


def by_text(texts: list[str], found: Any) -> dict[str, Floats]:
    """Give each text its vector, of length 1; one that is not finite is an error."""
    vectors = np.asarray(found, dtype=np.float32)
    if not (finite := np.isfinite(vectors).all(axis=1)).all():
        broken = texts[int(np.argmin(finite))]
        raise ValueError(f"the vector of {broken[:60]!r} is not finite; try the encoder in float32")
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return dict(zip(texts, vectors, strict=True))

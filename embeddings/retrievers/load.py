"""Loads and saves the three other kinds of retriever on our network: reranker, multi-vector (ColBERT), SPLADE.

All are classes of sentence-transformers, built from the same checkpoint as an embedder: a CrossEncoder reads question
and passage together, a MultiVectorEncoder keeps a vector a token, a SparseEncoder scores words of the vocabulary. The
network underneath computes no padding.

Trade-off: these three are trained and saved in float32 unless another dtype is named; `load_embedder`, which mostly
embeds, chooses the fast one.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...common.checkpoints.reader import require_start
from ...common.checkpoints.writer import atomic_directory
from ...modeling import MmBertForMaskedLM, MmBertForSequenceClassification, MmBertModel, register
from ..encoding.backend import existing, needs_sentence_transformers, one_line_errors, use_our_network
from ..encoding.load import set_length

_MULTI_VECTOR_DIMS = 128  # a token; ColBERT's choice (arXiv 2004.12832)


def load_reranker(
    checkpoint: str | os.PathLike[str],
    *,
    max_seq_length: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> Any:
    """Load a CrossEncoder, or put an untrained score on an encoder.

    Args:
        checkpoint: Folder or Hub id of a saved CrossEncoder, or of an encoder or embedder to train one from.
        max_seq_length: Cut question and passage together after so many tokens; None: what the checkpoint allows.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: as stored.
        device: Like `cpu` or `cuda:1`; None: the best one there is.

    Returns:
        A `sentence_transformers.CrossEncoder` with one output; its `untrained` says whether its head is new.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If it is no mmBERT or ModernBERT, has more outputs than one, or the length is beyond it.
    """
    with _loading(checkpoint) as (libraries, place):
        require_one_output(place)
        model = libraries.Reranker(place, device=device, model_kwargs={"dtype": dtype}, num_labels=1)
    names = getattr(model[0].model.config, "architectures", None) or ()
    model.untrained = not any(name.endswith("ForSequenceClassification") for name in names)
    use_our_network(model, MmBertForSequenceClassification, "a retriever")
    set_length(model, max_seq_length)
    return model


def load_multi_vector(
    checkpoint: str | os.PathLike[str],
    *,
    dims: int = _MULTI_VECTOR_DIMS,
    max_seq_length: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> Any:
    """Load a MultiVectorEncoder, or put an untrained projection of every token on an encoder.

    Questions and passages get no marker tokens: those that ColBERT puts before a text are no single tokens to a
    SentencePiece vocabulary, and break the first word.

    Args:
        checkpoint: Folder or Hub id of a saved MultiVectorEncoder, or of an encoder or embedder to train one from.
        dims: Dimensions of a token's vector, for a new projection; a saved one keeps its own.
        max_seq_length: Cut texts after so many tokens; None: what the checkpoint allows.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: as stored.
        device: Like `cpu` or `cuda:1`; None: the best one there is.

    Returns:
        A `sentence_transformers.MultiVectorEncoder`; it scores by MaxSim.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If it is no mmBERT or ModernBERT, or a number lies outside what it has.
    """
    if dims < 1:
        raise ValueError(f"dims must be at least 1, got {dims}")
    options: dict[str, Any] = {"device": device}
    with _loading(checkpoint) as (libraries, place):
        if _saved_kind(place) == "MultiVectorEncoder":
            model = libraries.MultiVector(place, model_kwargs={"dtype": dtype}, **options)
        else:
            model = libraries.MultiVector(modules=_token_modules(place, dims, dtype), **options)
    use_our_network(model, MmBertModel, "a retriever")
    set_length(model, max_seq_length)
    return model


def load_sparse_encoder(
    checkpoint: str | os.PathLike[str],
    *,
    max_seq_length: int | None = None,
    chunk_size: int | None = None,
    dtype: str = "float32",
    device: str | None = None,
) -> Any:
    """Load a SPLADE SparseEncoder whose logits are never all in memory.

    Args:
        checkpoint: Folder or Hub id of a masked language model, or of a saved SPLADE model.
        max_seq_length: Cut texts after so many tokens; None: what the checkpoint allows.
        chunk_size: Tokens whose logits stand in memory together; None for as many as 256 MB hold.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: as stored.
        device: Like `cpu` or `cuda:1`; None: the best one there is.

    Returns:
        A `sentence_transformers.SparseEncoder`.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If it is no mmBERT or ModernBERT with its masked-LM head, or does not pool by maximum.
    """
    with _loading(checkpoint, masked_lm=True) as (libraries, place):
        from .splade import stream_vocabulary

        model = libraries.Splade(place, device=device, model_kwargs={"dtype": dtype})
    use_our_network(model, MmBertForMaskedLM, "a retriever")
    stream_vocabulary(model)
    model.splade_pooling_chunk_size = chunk_size
    set_length(model, max_seq_length)
    return model


def save_retriever(model: Any, output: str | os.PathLike[str]) -> Path:
    """Write a reranker, multi-vector or sparse encoder as a folder that is either absent or whole.

    Args:
        model: What one of the loaders gave, trained or not.
        output: Folder to write; it must not exist, or be empty.

    Returns:
        The folder; plain sentence-transformers loads it.

    Raises:
        ValueError: If the folder is in use or cannot be written.
    """
    with atomic_directory(output) as partial:
        model.save_pretrained(str(partial), create_model_card=False)
    return Path(output)


@contextmanager
def _loading(checkpoint: str | os.PathLike[str], *, masked_lm: bool = False) -> Iterator[tuple[Any, str]]:
    """Hand out the classes and the checkpoint's place; what goes wrong in the block is told in one line."""
    place = existing(checkpoint)
    require_start(place, masked_lm=masked_lm)
    with needs_sentence_transformers():
        from . import sentence_transformers_models
    register()
    with one_line_errors(place):
        yield sentence_transformers_models, place


def require_one_output(checkpoint: str) -> None:
    """Refuse a classifier: its head decides among several labels, or about every token."""
    head = require_start(checkpoint).tensors.get("classifier.weight")
    if head is not None and head.shape[0] != 1:
        raise ValueError(
            f"a reranker has one output, {checkpoint} has {head.shape[0]}; give an encoder, an embedder or a reranker"
        )


def _saved_kind(checkpoint: str) -> str | None:
    """Return which class of sentence-transformers saved a folder; None for a plain encoder or a Hub id of one."""
    from sentence_transformers.util import load_file_path

    path = load_file_path(checkpoint, "config_sentence_transformers.json")
    return json.loads(Path(path).read_text(encoding="utf-8")).get("model_type") if path else None


def _token_modules(checkpoint: str, dims: int, dtype: str) -> list[Any]:
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from torch import nn

    encoder = Transformer(checkpoint, model_kwargs={"dtype": dtype})
    width = encoder.get_embedding_dimension()
    names: dict[str, Any] = {"module_input_name": "token_embeddings"}
    projection = Dense(width, dims, bias=False, activation_function=nn.Identity(), **names)
    return [encoder, projection, MultiVectorMask(), Normalize(**names)]

"""Loads and saves the three other kinds of retriever on our network: reranker, multi-vector (ColBERT), SPLADE.

All are classes of sentence-transformers, built from the same checkpoint as an embedder: a CrossEncoder reads question
and passage together, a MultiVectorEncoder keeps a vector a token, a SparseEncoder scores words of the vocabulary. The
network underneath computes no padding. A save has `model_type` `modernbert` and stock modules, so that plain
sentence-transformers loads it without this package.

Trade-off: these three are trained and saved in float32 unless another dtype is named; `load_embedder`, which mostly
embeds, chooses the fast one.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..modeling import MmBertConfig, MmBertForMaskedLM, MmBertForSequenceClassification, MmBertModel, register
from ..modeling.checkpoint_writer import atomic_directory, write_json
from ..modeling.tokenizer import save_tokenizer
from .saving import make_portable

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
        A `sentence_transformers.CrossEncoder` with one output.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If sentence-transformers is not installed.
        ValueError: If it is no mmBERT or ModernBERT, has more outputs than one, or the length is beyond it.
    """
    with _loading(checkpoint) as libraries:
        model = libraries.CrossEncoder(str(checkpoint), device=device, model_kwargs={"dtype": dtype}, num_labels=1)
    _use_our_network(model, MmBertForSequenceClassification)
    _set_length(model, max_seq_length)
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
    with _loading(checkpoint) as libraries:
        if _saved_kind(checkpoint) == "MultiVectorEncoder":
            model = libraries.MultiVectorEncoder(str(checkpoint), model_kwargs={"dtype": dtype}, **options)
        else:
            model = libraries.MultiVectorEncoder(modules=_token_modules(checkpoint, dims, dtype), **options)
    _use_our_network(model, MmBertModel)
    _set_length(model, max_seq_length)
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
    with _loading(checkpoint) as libraries:
        from .sparse import stream_vocabulary

        model = libraries.SparseEncoder(str(checkpoint), device=device, model_kwargs={"dtype": dtype})
    if type(model[0].model).__name__ not in ("MmBertForMaskedLM", "ModernBertForMaskedLM"):
        raise ValueError(
            f"SPLADE scores words with the masked-LM head, {checkpoint} is a {type(model[0].model).__name__}; "
            "give the checkpoint of the masked language model"
        )
    _use_our_network(model, MmBertForMaskedLM)
    stream_vocabulary(model)
    model.splade_pooling_chunk_size = chunk_size
    _set_length(model, max_seq_length)
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
        architectures = json.loads((partial / "config.json").read_text(encoding="utf-8")).get("architectures") or []
        make_portable(partial)
        fields = json.loads((partial / "config.json").read_text(encoding="utf-8"))
        fields["architectures"] = [name.replace("MmBert", "ModernBert") for name in architectures]
        write_json(partial / "config.json", fields)
        _name_stock_modules(partial / "modules.json")
        save_tokenizer(model.tokenizer, partial)
    return Path(output)


def _name_stock_modules(path: Path) -> None:
    modules = json.loads(path.read_text(encoding="utf-8"))
    if any(module["type"].startswith(f"{__package__}.") for module in modules):
        from .sparse import STOCK_MODULES

        for module in modules:
            name = module["type"].rpartition(".")[2]
            module["type"] = STOCK_MODULES.get(name, module["type"])
        write_json(path, modules)


@contextmanager
def _loading(checkpoint: str | os.PathLike[str]) -> Iterator[Any]:
    """Check the checkpoint, hand out the library, and shorten what it says about files."""
    path = Path(checkpoint)
    if path.exists() and not (path / "config.json").is_file() and not (path / "modules.json").is_file():
        raise FileNotFoundError(f"{path} holds neither config.json nor modules.json; give the folder of a saved model")
    try:
        import sentence_transformers
    except ImportError as missing:
        raise ImportError('retrievers need sentence-transformers: pip install "mmbert[embeddings]"') from missing
    register()
    try:
        yield sentence_transformers
    except OSError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FileNotFoundError(f"cannot load {checkpoint}: {reason}") from error


def _saved_kind(checkpoint: str | os.PathLike[str]) -> str | None:
    """Return which class of sentence-transformers saved a folder; None for a plain encoder or a Hub id of one."""
    from sentence_transformers.util import load_file_path

    path = load_file_path(str(checkpoint), "config_sentence_transformers.json")
    return json.loads(Path(path).read_text(encoding="utf-8")).get("model_type") if path else None


def _token_modules(checkpoint: str | os.PathLike[str], dims: int, dtype: str) -> list[Any]:
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from torch import nn

    encoder = Transformer(str(checkpoint), model_kwargs={"dtype": dtype})
    width = encoder.get_embedding_dimension()
    names: dict[str, Any] = {"module_input_name": "token_embeddings"}
    projection = Dense(width, dims, bias=False, activation_function=nn.Identity(), **names)
    return [encoder, projection, MultiVectorMask(), Normalize(**names)]


def _use_our_network(model: Any, wanted: Any) -> None:
    """Put our class under the first module; a ModernBERT gives it its own tensors."""
    network: Any = getattr(model[0], "model", None)
    kind = getattr(getattr(network, "config", None), "model_type", None)
    if kind not in (MmBertConfig.model_type, "modernbert"):
        raise ValueError(f"the checkpoint is of type {kind!r}, a retriever needs mmbert or modernbert")
    if network.config.num_labels != 1 and wanted is MmBertForSequenceClassification:
        raise ValueError(f"a reranker has one output, the checkpoint has {network.config.num_labels}")
    if isinstance(network, wanted):
        return
    config = MmBertConfig.from_dict(network.config.to_dict() | {"model_type": MmBertConfig.model_type})
    ours = wanted.from_pretrained(None, config=config, state_dict=network.state_dict(), dtype=network.dtype)
    model[0].model = ours.to(network.device)


def _set_length(model: Any, max_seq_length: int | None) -> None:
    limit = model[0].model.config.max_position_embeddings
    if max_seq_length is not None and not 2 < max_seq_length <= limit:
        raise ValueError(f"max_seq_length must lie between 3 and the model's {limit} tokens, got {max_seq_length}")
    saved = model.max_seq_length or limit
    model.max_seq_length = min(saved, limit) if max_seq_length is None else max_seq_length

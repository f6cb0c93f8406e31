"""Encodes texts in batches of a token budget, behind each other in one row, and pools every stretch by itself.

    texts -> ids (`token_batches`) -> (1, T) packed --network--> (1, T, h) --pooling by segment--> (texts, dimensions)

Nothing is padded on the way: the network takes packed sequences, and so does the pooling of sentence-transformers.
A compiled network and one of another runtime read rows (B, L) instead; they are filled up to the longest text, and what
is filled counts against the budget.

What this cannot carry (token embeddings, modules between network and pooling, chat templates, processing options of a
call) is left to sentence-transformers: `can_encode` says so.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .batching import TextTokenizer, TokenizedText, token_batches
from .progress import EncodingProgress

# Tokens of a batch where nobody names a number: a processor's products are fastest at 256 to 2,048 rows and its caches
# like small batches, a GPU wants to be filled.
_BUDGETS = {"cpu": 4_096}
_GPU_BUDGET = 65_536
# What may stand behind the network: it reads packed tokens, or vectors only.
_AFTER_NETWORK = {"Pooling", "Normalize", "Dense", "LayerNorm", "Dropout"}


@dataclass(slots=True)
class EncodingRecord:
    """What one call of `encode` did."""

    texts: int = 0  # texts encoded
    tokens: int = 0  # tokens that the network read, without any filling
    cut: int = 0  # texts that were longer than the limit
    limit: int | None = None  # most tokens of a text
    seconds: float = 0.0  # time on the wall


def default_budget(device: torch.device) -> int:
    """Return the tokens of a batch on a device."""
    return _BUDGETS.get(device.type, _GPU_BUDGET)


def can_encode(embedder: Any, options: dict[str, Any]) -> bool:
    """Tell whether the texts of a call can go through `encode_texts`; False: sentence-transformers has to do it."""
    first = embedder[0]
    plain_call = not set(options) - {"task"}
    plain_text = "text" in first.modality_config and "message" not in first.modality_config
    plain_query = options.get("task") != "query" or getattr(first, "query_expansion", None) is None
    fast = bool(getattr(first.tokenizer, "is_fast", False))
    modules = all(type(module).__name__ in _AFTER_NETWORK for module in list(embedder)[1:])
    configured = bool(getattr(first, "processing_kwargs", None))
    return plain_call and plain_text and plain_query and fast and modules and not configured


def reads_packed(embedder: Any) -> bool:
    """Tell whether the network takes sequences behind each other; compiled and foreign ones take rows."""
    first = embedder[0]
    return getattr(first, "reads_packed", True) and getattr(first.model, "_compiled_call_impl", None) is None


def encode_texts(
    embedder: Any,
    texts: Sequence[str],
    *,
    prompt: str | None,
    max_rows: int | None,
    show_progress: bool,
    to_cpu: bool,
    normalize: bool,
    dims: int | None,
    device: torch.device,
    task: str | None = None,
) -> tuple[Tensor, EncodingRecord]:
    """Encode texts in evaluation mode, without gradients.

    Args:
        embedder: A SentenceTransformer for which `can_encode` holds.
        texts: What to encode.
        prompt: Put before every text.
        max_rows: Most texts of a batch, beside the budget; None: no limit.
        show_progress: Whether to draw a bar.
        to_cpu: Whether the vectors shall lie in main memory.
        normalize: Whether to scale the vectors to length 1 after the cut.
        dims: Cut vectors after so many dimensions.
        device: Where the network is.
        task: `query` or `document`, for models whose limits differ.

    Returns:
        (texts, dimensions) vectors in the order of the input, and what was done.
    """
    began = time.perf_counter()
    record = EncodingRecord(texts=len(texts), limit=_limit(embedder, task))
    tokenize = TextTokenizer(embedder.tokenizer, record.limit, prompt)
    extras = _prompt_features(embedder, prompt, task)
    packed = reads_packed(embedder)
    budget = embedder.token_budget or default_budget(device)
    vectors: Tensor | None = None
    with EncodingProgress(texts, record.limit, shown=show_progress) as progress:
        for batch in token_batches(texts, tokenize, budget, max_rows, padded=not packed):
            record.tokens += sum(len(text.ids) for text in batch)
            record.cut += sum(text.cut for text in batch)
            readable = [text for text in batch if len(text.ids)]  # a tokenizer without <bos> and <eos> may give nothing
            if readable:
                features = {**(_pack(readable, device) if packed else _pad(readable, embedder, device)), **extras}
                found = embedder(features)["sentence_embedding"][:, :dims]
                found = torch.nn.functional.normalize(found, dim=1) if normalize else found
                if vectors is None:
                    place = torch.device("cpu") if to_cpu else found.device
                    vectors = torch.zeros(len(texts), found.shape[1], dtype=found.dtype, device=place)
                rows = torch.tensor([text.row for text in readable], device=vectors.device)
                vectors.index_copy_(0, rows, found.to(vectors.device))
            progress.advance(batch)
    if vectors is None:
        vectors = torch.zeros(len(texts), dims or embedder.get_embedding_dimension())
    record.seconds = time.perf_counter() - began
    return vectors, record


def _limit(embedder: Any, task: str | None) -> int | None:
    own = getattr(embedder[0], f"{task}_length", None) if task in ("query", "document") else None
    limit: int | None = own if own is not None else embedder.max_seq_length
    return limit


def _prompt_features(embedder: Any, prompt: str | None, task: str | None) -> dict[str, Any]:
    """Return what every batch says beside its tokens."""
    if not prompt:
        return {"modality": "text"}
    options = {"task": task} if task else {}
    features = embedder.preprocess([""], prompt=prompt, **options)
    return {key: features[key] for key in ("modality", "prompt_length") if key in features}


def _pack(batch: Sequence[TokenizedText], device: torch.device) -> dict[str, Any]:
    """Lay the texts behind each other."""
    lengths = [len(text.ids) for text in batch]
    ids = torch.from_numpy(np.concatenate([text.ids for text in batch])).long()[None]
    boundaries = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return {"input_ids": ids.to(device), "cu_seq_lens_q": boundaries.to(device), "max_length_q": max(lengths)}


def _pad(batch: Sequence[TokenizedText], embedder: Any, device: torch.device) -> dict[str, Any]:
    """Lay the texts above each other, filled up on the right."""
    width = max(len(text.ids) for text in batch)
    ids = np.full((len(batch), width), embedder.tokenizer.pad_token_id or 0, dtype=np.int64)
    mask = np.zeros_like(ids)
    for number, text in enumerate(batch):
        ids[number, : len(text.ids)] = text.ids
        mask[number, : len(text.ids)] = 1
    return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}

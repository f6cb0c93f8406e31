"""Tells one embedder from another: vectors of two models must not meet in one file or index."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch

from ...modeling.int8_weights import Int8Linear


def model_fingerprint(embedder: Any) -> str:
    """Digest the weights and the settings that vectors depend on.

    Args:
        embedder: A SentenceTransformer.

    Returns:
        64 hexadecimal digits. Another dtype of the weights is another model; the cut of `dims`, prompts and limits of
        length are not part of it.
    """
    digest = hashlib.sha256()
    for name, tensor in _tensors(embedder):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for module in embedder:
        for holder in (module, getattr(module, "model", None)):
            if (foreign := getattr(holder, "fingerprint", None)) is not None:  # weights that torch does not hold
                digest.update(str(foreign() if callable(foreign) else foreign).encode())
        settings = {"kind": type(module).__name__, "pooling": getattr(module, "pooling_mode", None)}
        if getattr(module, "include_prompt", True) is False:
            settings["include_prompt"] = False
        digest.update(json.dumps(settings, default=str).encode())
    fast = getattr(embedder.tokenizer, "backend_tokenizer", None)
    if fast is not None:
        digest.update(json.dumps(json.loads(fast.to_str())["model"], sort_keys=True).encode())
    return digest.hexdigest()


def _tensors(embedder: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a state dict holds, and int8 weights, which none does."""
    rounded = {name: module for name, module in embedder.named_modules() if isinstance(module, Int8Linear)}
    if not rounded:
        yield from embedder.state_dict().items()
        return
    yield from embedder.named_parameters()
    for name, module in rounded.items():
        yield f"{name}.rows", module.rows()
        yield f"{name}.scale", module.scale
    for name, module in embedder.named_modules():
        if getattr(module, "into", None) is not None and module.scale is not None:  # a table in int8
            yield f"{name}.rows", module.weight
            yield f"{name}.scale", module.scale

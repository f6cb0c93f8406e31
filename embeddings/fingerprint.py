"""Tells one embedder from another: vectors of two models must not meet in one file or index."""

import hashlib
import json
from typing import Any

import torch


def model_fingerprint(embedder: Any) -> str:
    """Digest the weights and the settings that vectors depend on.

    Args:
        embedder: A SentenceTransformer.

    Returns:
        64 hexadecimal digits. Another dtype of the weights is another model; the cut of `dims`, prompts and limits of
        length are not part of it.
    """
    digest = hashlib.sha256()
    for name, tensor in embedder.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    for module in embedder:
        network = getattr(module, "model", None)
        if (
            foreign := getattr(network, "fingerprint", None)
        ) is not None:  # a network whose weights torch does not hold
            digest.update(str(foreign() if callable(foreign) else foreign).encode())
        settings = {"kind": type(module).__name__, "pooling": getattr(module, "pooling_mode", None)}
        digest.update(json.dumps(settings, default=str).encode())
    fast = getattr(embedder.tokenizer, "backend_tokenizer", None)
    if fast is not None:
        digest.update(json.dumps(json.loads(fast.to_str())["model"], sort_keys=True).encode())
    return digest.hexdigest()

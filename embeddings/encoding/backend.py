"""From a folder or Hub id to a model of sentence-transformers on our network: what all loaders share.

Checkpoints of type `modernbert` are read by transformers' class and handed over to ours without copying a weight: same
numbers, but computed on the tokens alone, without padding.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...common.checkpoints.hub import local_checkpoint, require_address
from ...common.checkpoints.integrity import check_folder, one_line_errors
from ...common.checkpoints.reader import require_finite_weights
from ...common.files import read_json
from ...common.messages import option
from ...modeling import MmBertConfig

__all__ = ["existing", "known_device", "needs_sentence_transformers", "one_line_errors", "use_our_network"]


def existing(checkpoint: str | os.PathLike[str], *, verify: bool = True) -> str:
    """Give a checkpoint back as text if it is a folder (`verify`: with the bytes of SHA256SUMS) or Hub id to load."""
    require_address(checkpoint, "config.json", "modules.json")
    folder = local_checkpoint(str(checkpoint))
    if (folder / "config.json").is_file():  # told before a gigabyte is compared with its checksums
        kind = read_json(folder / "config.json").get("model_type")
        if kind not in (None, MmBertConfig.model_type, "modernbert"):
            raise ValueError(f"{checkpoint} is a {kind} checkpoint; give one of mmBERT or ModernBERT")
    check_folder(folder, verify=verify)
    require_finite_weights(folder)
    return str(checkpoint)


@contextmanager
def needs_sentence_transformers() -> Iterator[None]:
    """Name the extra when the block cannot import the package."""
    try:
        yield
    except ImportError as missing:
        raise ImportError('embeddings need sentence-transformers: pip install "mmbert[embeddings]"') from missing


def use_our_network(model: Any, ours: Any, what: str) -> None:
    """Put our class under the first module of a model; a ModernBERT gives it its own tensors."""
    transformer = model[0]
    network: Any = getattr(transformer, "model", None)
    kind = getattr(getattr(network, "config", None), "model_type", None)
    if kind not in (MmBertConfig.model_type, "modernbert"):
        raise ValueError(f"the checkpoint is of type {kind!r}, {what} needs mmbert or modernbert")
    if isinstance(network, ours):
        return
    with one_line_errors(network.name_or_path):  # transformers' class may have taken what ours refuses
        config = MmBertConfig.from_dict(network.config.to_dict() | {"model_type": MmBertConfig.model_type})
        made = ours.from_pretrained(None, config=config, state_dict=network.state_dict(), dtype=network.dtype)
    transformer.model = made.to(network.device)


def known_device(name: str) -> torch.device:
    """Return a device that is here."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"{option('device', name)} is none that torch knows; give one like cpu or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= (there := torch.cuda.device_count()):
        told = f"{option('device', name)} is not here, torch sees {there} CUDA devices"
        raise ValueError(f"{told}; leave it out, or give cpu")
    return device

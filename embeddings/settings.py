"""Settings of an embedder: device, pooling, normalisation, limits, prompts; each checked against what the model has."""

from typing import Any

import torch


def known_device(name: str) -> torch.device:
    """Return a device that is here.

    Args:
        name: Such as `cpu` or `cuda:1`.

    Returns:
        The device.

    Raises:
        ValueError: If torch knows no such kind, or this machine has no such GPU.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"device {name!r} is none that torch knows; give one like cpu or cuda:1") from error
    if device.type == "cuda" and (device.index or 0) >= (there := torch.cuda.device_count()):
        raise ValueError(f"device {name!r} is not here, torch sees {there} CUDA devices; leave it out, or give cpu")
    return device


def check_pooling(embedder: Any, pooling: str | None) -> None:
    """Refuse a pooling that a saved embedder was not tuned with.

    Args:
        embedder: What to change.
        pooling: What the user named, or None.

    Raises:
        ValueError: If it is not possible with this embedder.
    """
    saved = next((module.pooling_mode for module in embedder if hasattr(module, "pooling_mode")), None)
    if pooling is not None and saved is not None and saved != pooling:
        raise ValueError(f"the saved embedder was tuned with {saved!r} pooling, got pooling={pooling!r}; leave it out")


def set_normalization(embedder: Any, normalize: bool) -> None:
    """Give vectors length 1, or leave them as they were pooled.

    Args:
        embedder: What to change.
        normalize: Which of the two.

    Raises:
        ValueError: If an exported graph gives nothing but vectors of length 1.
    """
    if not normalize and getattr(embedder[0], "normalized", False):
        raise ValueError(
            "the exported graph gives vectors of length 1, got normalize=False; export it with normalize=False, or "
            "leave it out"
        )
    from sentence_transformers.sentence_transformer.modules import Normalize

    embedder.normalize = normalize
    last = len(embedder) - 1
    if normalize and not isinstance(embedder[last], Normalize):
        embedder.append(Normalize())
    elif not normalize and isinstance(embedder[last], Normalize):
        del embedder[last]


def set_prompts(embedder: Any, prompts: dict[str, str] | None, default: str | None) -> None:
    """Add prompts to those of the checkpoint.

    Args:
        embedder: What to change.
        prompts: More of them, by name.
        default: Name of the one for calls that name none; None: as saved.

    Raises:
        ValueError: If it is not possible with this embedder.
    """
    embedder.prompts = {**embedder.prompts, **(prompts or {})}
    if default is not None and default not in embedder.prompts:
        known = ", ".join(embedder.prompts) or "none"
        raise ValueError(
            f"default_prompt {default!r} is none of the prompts ({known}); name one, or give it in prompts"
        )
    embedder.default_prompt_name = embedder.default_prompt_name if default is None else default


def set_length(embedder: Any, max_seq_length: int | None) -> None:
    """Set the limit of tokens, which the model's own bounds.

    Args:
        embedder: What to change.
        max_seq_length: The limit; None: as saved.

    Raises:
        ValueError: If it is not possible with this embedder.
    """
    exported = getattr(embedder[0], "longest", None)
    limit = embedder[0].model.config.max_position_embeddings if exported is None else exported
    if max_seq_length is not None and not 2 < max_seq_length <= limit:
        raise ValueError(f"max_seq_length must lie between 3 and the model's {limit} tokens, got {max_seq_length}")
    saved = embedder.max_seq_length or limit
    embedder.max_seq_length = min(saved, limit) if max_seq_length is None else max_seq_length


def set_dims(embedder: Any, dims: int | None) -> None:
    """Cut vectors after so many dimensions.

    Args:
        embedder: What to change.
        dims: How many to keep; None: all.

    Raises:
        ValueError: If the model has fewer.
    """
    width = embedder.get_embedding_dimension()
    if dims is not None and not 1 <= dims <= width:
        raise ValueError(f"dims must lie between 1 and the model's {width} dimensions, got {dims}")
    embedder.truncate_dim = dims

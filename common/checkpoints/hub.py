"""Checkpoints of the Hub as folders here, fetched without the files that could hold a pickle."""

from pathlib import Path

_HUB_FILES = ("*.json", "*.safetensors", "tokenizer*", "*.txt", "*.model", "SHA256SUMS")


def local_checkpoint(name: str) -> Path:
    """A checkpoint's folder, checked on opening; one of the Hub is fetched, but for files that could hold a pickle."""
    path = Path(name)
    if path.exists() or path.is_absolute() or len(path.parts) != 2:
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FileNotFoundError(
            f"checkpoint {name} is no folder here, and the Hub did not give it ({reason}); check the path or id, "
            "and unset HF_HUB_OFFLINE to go online."
        ) from None

"""Checkpoints of the Hub as folders here, fetched without the files that could hold a pickle."""

import os
import re
from pathlib import Path
from typing import Any

from ..messages import first_line

_HUB_FILES = ("*.json", "*.safetensors", "tokenizer*", "*.txt", "*.model", "SHA256SUMS")

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def require_address(checkpoint: str | os.PathLike[str], *files: str) -> None:
    """Refuse what is neither a folder with one of these files nor a Hub id, before the Hub is asked for it."""
    path = Path(checkpoint)
    if path.is_dir():
        from .format import inner_model  # imports torch, which `mmbert --help` does without

        if not any((path / name).is_file() for name in files):
            missing = f"neither {' nor '.join(files)}" if len(files) > 1 else f"no {files[0]}"
            raise FileNotFoundError(
                f"{path} holds {missing}; {inner_model(path) or 'give the folder of a saved model'}"
            )
    elif path.exists() or not _HUB_ID.fullmatch(str(checkpoint)):
        raise FileNotFoundError(
            f"{path} is no folder of a saved model; give one, or a Hub id like jhu-clsp/mmBERT-base"
        )


def local_checkpoint(name: str) -> Path:
    """A checkpoint's folder, checked on opening; one of the Hub is fetched, but for files that could hold a pickle."""
    path = Path(name)
    if path.exists() or path.is_absolute() or len(path.parts) != 2:
        return path
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"checkpoint {name} is no folder here, and the Hub did not give it ({first_line(error)}); check the path "
            "or id, and unset HF_HUB_OFFLINE to go online."
        ) from None


def load_tokenizer(checkpoint: str | os.PathLike[str]) -> Any:
    """Load the tokenizer of a folder or Hub id; what is wrong with its files is told in one line."""
    from transformers import AutoTokenizer

    from .integrity import one_line_errors

    folder = local_checkpoint(str(checkpoint))
    with one_line_errors(folder):
        return AutoTokenizer.from_pretrained(folder)

"""Teachers: whatever turns texts into vectors, behind one small interface.

    all-mpnet-folder, org/name             a SentenceTransformer of any family, a folder or a Hub id
    command:python label.py                reads {"text": ...} lines, writes a vector a line (`command_teacher`)
    lines:./embed --stdin                  the same, but reads plain lines
    http://localhost:8000?model=name       an OpenAI-compatible endpoint (`http_teacher`)
    vectors.npy?texts=texts.txt            vectors that are there, and the texts they belong to (`vector_files`)
    vectors.parquet?text=sentence&vector=embedding

Each has `identity`, plain JSON that tells it from other teachers, and `stream(texts, window)`, which yields arrays
(n, dimensions) in the order of the texts.
"""

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...encoding.fingerprint import model_fingerprint
from ...encoding.load import load_embedder
from .label_store import PATIENCE

_FIRST = 64  # texts
_OTHERS = ("command:", "lines:", "http://", "https://")
VECTOR_FILES = (".npy", ".safetensors", ".parquet")


class Teacher(Protocol):
    """Turns texts into vectors.

    Attributes:
        identity: What tells it from other teachers, as plain JSON.
    """

    identity: dict[str, Any]

    def stream(self, texts: Sequence[str], window: int) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """Yield vectors in the order of the texts, some at a time, at most `window`."""


def open_teacher(teacher: str | os.PathLike[str], *, prompt: str | None = None, device: str | None = None) -> Teacher:
    """Open a teacher by what its name looks like; see above.

    Args:
        teacher: Folder, Hub id, `command:...`, `lines:...`, URL, or file of vectors.
        prompt: Put before every text.
        device: Of a SentenceTransformer.

    Returns:
        The teacher; it computes when its vectors are asked for.

    Raises:
        FileNotFoundError: If there is no such model or file.
        ValueError: If the name is none of these, or says too little.
    """
    name = str(teacher)
    place = name.partition("?")[0]
    if name.startswith(_OTHERS[:2]):
        from .command_teacher import CommandTeacher

        kind, _, command = name.partition(":")
        return CommandTeacher(command, plain=kind == "lines", prompt=prompt or "")
    if name.startswith(_OTHERS[2:]):
        from .http_teacher import HttpTeacher

        return HttpTeacher(name, prompt=prompt or "")
    if place.lower().endswith(VECTOR_FILES):
        from .vector_files import FileTeacher

        if prompt:
            raise ValueError(f"{name} holds vectors that are there already; a prompt cannot be put before their texts")
        return FileTeacher(name)
    if " " in name.strip() and not Path(name).is_dir():
        raise ValueError(f"{name!r} is no model; write command:{name} if it is a command")
    return ModelTeacher(name, prompt=prompt, device=device)


class ModelTeacher:
    """A SentenceTransformer.

    Args:
        model: Folder, Hub id, or the loaded model.
        prompt: Put before every text; None: the model's default prompt.
        device: Like `cpu` or `cuda:1`; None: the best one there is.
    """

    def __init__(self, model: Any, *, prompt: str | None = None, device: str | None = None) -> None:
        self.model = load_teacher(model, device) if isinstance(model, str | os.PathLike) else model
        self._prompt = prompt
        default = self.model.prompts.get(self.model.default_prompt_name)
        self.identity = {"model": model_fingerprint(self.model), "prompt": default if prompt is None else prompt}

    def stream(self, texts: Sequence[str], window: int) -> Iterator[npt.NDArray[np.floating[Any]]]:
        """Yield vectors of length 1, at first few at a time, then as many as take some ten seconds."""
        first, size = 0, min(window, _FIRST)
        while first < len(texts):
            began = time.monotonic()
            part = list(texts[first : first + size])
            found = self.model.encode(part, prompt=self._prompt, normalize_embeddings=True, show_progress_bar=False)
            yield np.asarray(found, dtype=np.float32)
            first += len(part)
            size = min(window, 2 * size) if time.monotonic() - began < PATIENCE / 2 else size


def load_teacher(teacher: str | os.PathLike[str], device: str | None) -> Any:
    """Load a SentenceTransformer of any family: ours if it is one, else with the stock classes."""
    if str(teacher).startswith(_OTHERS) or str(teacher).partition("?")[0].lower().endswith(VECTOR_FILES):
        raise ValueError(f"{teacher} is no SentenceTransformer; `mmbert train distilled` takes teachers of all kinds")
    try:
        return load_embedder(teacher, device=device)
    except (ValueError, AttributeError):  # another family, or a model without a network
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(teacher), device=device)

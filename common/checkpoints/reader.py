"""Reads a Hugging Face checkpoint directory without opening it as a model: headers first, tensors piece by piece.

A weight can be read in pieces of any size. Plain file reads are used instead of a memory map: mapped pages count as
the process's own memory, and a merge of three large models should not look like three large models. Trade-off:
`open_checkpoint` proves that the files are whole, not that their bytes are the ones once written; `verify` does that
where a `SHA256SUMS` lies beside the weights.
"""

import hashlib
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..files import read_json
from ..messages import first_of
from .format import CHECKSUMS, DTYPES, INDEX, SIDE_FILES, SINGLE, TensorInfo, architectures, find_shards, read_header
from .hub import local_checkpoint
from .integrity import loaded_folders, verify_checksums

__all__ = [
    "CHECKSUMS",
    "DTYPES",
    "INDEX",
    "SIDE_FILES",
    "SINGLE",
    "Checkpoint",
    "TensorInfo",
    "all_finite",
    "checkpoint_fingerprint",
    "open_checkpoint",
    "require_finite_weights",
    "require_start",
]

_PIECE = 1 << 22  # elements looked at together
_NAMED = 5  # tensors spelled out in a message before it says "and n more"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checked checkpoint directory; make one with `open_checkpoint`.

    Attributes:
        path: The directory.
        config: config.json as a dict.
        tensors: Every stored tensor by name.
        files: The shards, in the order of their names.
        metadata: The headers' `__metadata__`, by shard.
    """

    path: Path
    config: dict[str, Any]
    tensors: dict[str, TensorInfo]
    files: tuple[str, ...]
    metadata: dict[str, dict[str, str]]

    def read_flat(self, name: str, start: int = 0, stop: int | None = None) -> torch.Tensor:
        """Read elements `start` to `stop` of a tensor, in row-major order and in its stored type.

        Args:
            name: The tensor's key.
            start: First element.
            stop: One past the last element; the tensor's end if None.

        Returns:
            A flat tensor of `stop - start` elements with memory of its own.

        Raises:
            ValueError: If the tensor is not stored here or the file became shorter since it was opened.
        """
        info = self._info(name)
        stop = info.numel if stop is None else min(stop, info.numel)
        dtype = DTYPES[info.dtype]
        raw = torch.empty(max(stop - start, 0) * dtype.itemsize, dtype=torch.uint8)
        view, done = raw.numpy().data, 0
        with (self.path / info.file).open("rb", buffering=0) as file:
            file.seek(info.start + start * dtype.itemsize)
            while done < len(view):
                got = file.readinto(view[done:])
                if not got:
                    raise ValueError(f"{self.path / info.file}: ends inside tensor {name!r}; the file is truncated")
                done += got
        return raw.view(dtype)

    def read(self, name: str) -> torch.Tensor:
        """Read one whole tensor."""
        return self.read_flat(name).view(self._info(name).shape)

    def require_float(self) -> None:
        """Refuse weights in int8, which run and are good for nothing else."""
        if any(info.dtype == "I8" for info in self.tensors.values()):
            raise ValueError(f"{self.path}: the weights are in int8, for running only; give the checkpoint they are of")

    def require_finite(self) -> None:
        """Refuse weights that hold NaN or infinity: what is made of them would load and compute nothing."""
        for name, info in self.tensors.items():
            for start in range(0, info.numel if info.is_floating else 0, _PIECE):
                if not all_finite(self.read_flat(name, start, start + _PIECE)):
                    raise ValueError(
                        f"{self.path}: tensor {name!r} holds NaN or infinity; its training diverged or the file is "
                        "damaged, take an earlier checkpoint"
                    )

    def verify(self) -> bool:
        """Compare the folder with `SHA256SUMS`, if it has one; see `verify_checksums`."""
        return verify_checksums(self.path, self.files)

    def check_against(
        self, expected: torch.nn.Module | Mapping[str, Sequence[int]], *, optional: Collection[str] = ()
    ) -> None:
        """Refuse this checkpoint unless it holds exactly the expected tensors."""
        free = tuple(optional)
        if isinstance(expected, torch.nn.Module):
            free += tuple(getattr(expected, "_tied_weights_keys", None) or ())
            expected = {name: tuple(tensor.shape) for name, tensor in expected.state_dict().items()}
        prefixes = tuple(name for name in free if name.endswith("."))

        def demanded(name: str) -> bool:
            return name not in free and not name.startswith(prefixes)

        missing = [name for name in expected if name not in self.tensors and demanded(name)]
        extra = [name for name in self.tensors if name not in expected and demanded(name)]
        other = [
            f"{name} {list(self.tensors[name].shape)} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in self.tensors and self.tensors[name].shape != tuple(shape)
        ]
        found = [("missing", missing), ("extra", extra), ("other shapes", other)]
        if any(names for _, names in found):
            told = "; ".join(f"{kind}: {first_of(names, _NAMED)}" for kind, names in found if names)
            raise ValueError(f"{self.path} does not fit the model: {told}")

    def _info(self, name: str) -> TensorInfo:
        if name not in self.tensors:
            raise ValueError(f"{self.path} holds no tensor {name!r}; it holds {first_of(sorted(self.tensors), _NAMED)}")
        return self.tensors[name]


def all_finite(values: torch.Tensor) -> bool:
    """Tell whether no number is NaN or infinite."""
    # a sum costs a tenth of the exact test, which is needed only where the sum itself overflows
    return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())


def require_finite_weights(folder: str | os.PathLike[str]) -> None:
    """Refuse NaN and infinity in the weights that a loader is about to open.

    The files are read piece by piece: rows of an embedding table that nobody asks for stay out of memory, where a
    look at loaded weights, which are mapped, would bring them in.
    """
    for place in loaded_folders(Path(folder)) if Path(folder).is_dir() else ():
        for file in sorted(place.glob("*.safetensors")):
            tensors, metadata = read_header(file)
            Checkpoint(place, {}, tensors, (file.name,), {file.name: metadata}).require_finite()


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read config.json and every shard's header, and check that the files are whole.

    Args:
        path: A directory with config.json and model.safetensors, or shards with their index.

    Returns:
        The checkpoint, with no weight read yet.

    Raises:
        FileNotFoundError: If the directory, its config, its weights or a shard is absent.
        ValueError: If the weights are pickles only, or a file is truncated, tampered with or contradicts the index.
    """
    directory = Path(path)
    if not directory.is_dir():
        kind = "is a file, not a directory" if directory.exists() else "does not exist"
        raise FileNotFoundError(f"{directory} {kind}; give a checkpoint directory with config.json and {SINGLE}")
    files, index = find_shards(directory)
    config = read_json(directory / "config.json")
    tensors: dict[str, TensorInfo] = {}
    metadata = {}
    for file in files:
        found, metadata[file] = read_header(directory / file)
        twice = tensors.keys() & found.keys()
        if twice:
            raise ValueError(f"{directory / file}: tensor {min(twice)!r} is stored in another shard too")
        tensors.update(found)
    if index is not None and index != {name: info.file for name, info in tensors.items()}:
        wrong = next(
            n for n in sorted(index.keys() | tensors.keys()) if n not in tensors or index.get(n) != tensors[n].file
        )
        raise ValueError(f"{directory / INDEX}: says that tensor {wrong!r} lies in {index.get(wrong)}; it does not")
    return Checkpoint(directory, config, tensors, files, metadata)


def require_start(checkpoint: str | os.PathLike[str], *, masked_lm: bool = False) -> Checkpoint:
    """Open what a training shall start from, by its config and headers alone: milliseconds before any row is read.

    Args:
        checkpoint: A folder, that of a SentenceTransformer too, or a Hub id.
        masked_lm: Whether the masked-LM head must be there.

    Returns:
        The checkpoint, with no weight read yet.

    Raises:
        FileNotFoundError: See `open_checkpoint`.
        ValueError: If it is no mmBERT or ModernBERT, is for running only, or lacks the head.
    """
    root = local_checkpoint(str(checkpoint))
    folders = [place for place in loaded_folders(root) if (place / "config.json").is_file()]
    if not folders and (root / "modules.json").is_file():
        raise ValueError(f"{checkpoint} is an embedder without a network; give a checkpoint of mmBERT or ModernBERT.")
    opened = open_checkpoint(folders[0] if folders else root)
    kind = opened.config.get("model_type")
    if kind not in ("mmbert", "modernbert"):
        raise ValueError(f"{checkpoint} is a {kind} checkpoint; give one of mmBERT or ModernBERT.")
    opened.require_float()
    names = architectures(opened.config)
    if masked_lm and names and not any(name.endswith("ForMaskedLM") for name in names):
        raise ValueError(
            f"{checkpoint} is a {', '.join(names)} without the masked-LM head; give the checkpoint of a masked "
            "language model."
        )
    return opened


def checkpoint_fingerprint(path: str | os.PathLike[str]) -> str:
    """Tell checkpoints apart in milliseconds: names, shapes, types and the first KiB of every tensor.

    It does not depend on how the tensors are spread over shards. It finds another model or another step, not a
    forgery: for that there is `SHA256SUMS`.
    """
    checkpoint = open_checkpoint(path)
    digest = hashlib.sha256()
    for name, info in sorted(checkpoint.tensors.items()):
        digest.update(f"{name} {info.dtype} {info.shape}\n".encode())
        sample = checkpoint.read_flat(name, 0, 1024 // DTYPES[info.dtype].itemsize)
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]

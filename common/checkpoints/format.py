"""The files of a checkpoint directory: which ones there are, what their headers say, and whether they are whole.

safetensors is eight bytes of length, a JSON header and raw tensors, so names, shapes and sizes are known, and checked
against the file's length, before a weight is read. Pickles are recognised by name and never opened.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from ..files import read_json

CHECKSUMS = "SHA256SUMS"  # the format of coreutils: `sha256sum -c SHA256SUMS` checks it without us
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SIDE_FILES = (  # what a directory needs besides weights and config.json to be usable by AutoTokenizer and generation
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "spiece.model",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "generation_config.json",
)
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_CONVERT = (
    'where you trust it, convert it: python -c "import torch, safetensors.torch as s; s.save_file({{k: v.clone() for '
    "k, v in torch.load('{path}', weights_only=True).items()}}, '{target}', {{'format': 'pt'}})\""
)
_MAX_HEADER = 100_000_000  # the safetensors library's own limit, bytes


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies.

    Attributes:
        name: Its key in the state dict.
        dtype: safetensors' name of its type, such as `F32`.
        shape: Its shape.
        file: The shard that holds it, a plain file name.
        start: Its first byte in that file.
        nbytes: Its size in bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    nbytes: int

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_floating(self) -> bool:
        """Whether it holds floating-point numbers."""
        return DTYPES[self.dtype].is_floating_point


def find_shards(directory: Path) -> tuple[tuple[str, ...], dict[str, str] | None]:
    """Name the shards in order, and the index's map of tensor to shard (None where one file holds all)."""
    if (directory / SINGLE).is_file():
        return (SINGLE,), None
    if not (directory / INDEX).is_file():
        _refuse_without_weights(directory)
    index = read_json(directory / INDEX).get("weight_map")
    if not isinstance(index, dict) or not all(isinstance(file, str) for file in index.values()):
        raise ValueError(f"{directory / INDEX}: has no weight_map of tensor to file name")
    files = tuple(sorted(set(index.values())))
    for file in files:
        if not re.fullmatch(r"[\w.\-]+\.safetensors", file):
            raise ValueError(f"{directory / INDEX}: {file!r} is not the plain name of a .safetensors file")
        if not (directory / file).is_file():
            raise FileNotFoundError(f"{directory / file} is missing, though {INDEX} names it; fetch the shard again")
    return files, index


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Read and check the header of a safetensors file: tensors by name, and metadata."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
        if length > min(size - 8, _MAX_HEADER):
            raise ValueError(
                f"{path}: {size} bytes are too few for its header; the file is truncated or no safetensors"
            )
        raw = file.read(length)
    try:
        entries = json.loads(raw)
        metadata = entries.pop("__metadata__", {})
        tensors = {name: _tensor_info(path, name, entry, 8 + length) for name, entry in entries.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        told = error if str(error).startswith(str(path)) else f"{path}: the header is damaged ({error!r})"
        raise ValueError(str(told)) from None
    end = 8 + length
    for info in sorted(tensors.values(), key=lambda info: (info.start, info.nbytes)):
        if info.start != end:
            raise ValueError(
                f"{path}: tensor {info.name!r} starts at byte {info.start} instead of {end}; damaged header"
            )
        end += info.nbytes
    if end != size:
        raise ValueError(f"{path}: {size} bytes where its header promises {end}; the file is truncated or damaged")
    return tensors, metadata


def _tensor_info(path: Path, name: str, entry: dict[str, Any], data: int) -> TensorInfo:
    dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if dtype not in DTYPES:
        raise ValueError(f"{path}: tensor {name!r} has type {dtype!r}; supported are {', '.join(DTYPES)}")
    if not all(isinstance(n, int) and n >= 0 for n in (*shape, start, stop)):
        raise ValueError(f"{path}: tensor {name!r} has shape {list(shape)} at bytes {start} to {stop}; damaged header")
    needed = math.prod(shape) * DTYPES[dtype].itemsize
    if stop - start != needed:
        raise ValueError(f"{path}: tensor {name!r} of shape {list(shape)} has {stop - start} bytes instead of {needed}")
    return TensorInfo(name, dtype, shape, path.name, data + start, needed)


def refuse_pickle(path: Path) -> NoReturn:
    """Refuse a pickle, with the command that converts one that its owner trusts."""
    target = path.with_name(path.name.replace("pytorch_model", "model")).with_suffix(".safetensors")
    raise ValueError(
        f"{path} is a pickle, which can run code when opened, and is never loaded; "
        + _CONVERT.format(path=path, target=target)
    )


def _refuse_without_weights(directory: Path) -> NoReturn:
    names = sorted(file.name for file in directory.iterdir())
    pickles = [name for name in names if Path(name).suffix in PICKLES or name.endswith(".bin.index.json")]
    if "adapter_model.safetensors" in names:
        raise ValueError(f"{directory} is a LoRA adapter; merge it into its base model first (peft: merge_and_unload)")
    if pickles:
        refuse_pickle(directory / pickles[0])
    if kind := exported_kind(directory):
        raise FileNotFoundError(f"{directory} is a model for {kind}, for running only; give the one it is made of")
    raise FileNotFoundError(
        f"{directory} holds neither {SINGLE} nor {INDEX}; {inner_model(directory) or 'it is no checkpoint'}"
    )


def exported_kind(directory: Path) -> str | None:
    """Tell which engine a folder without weights is for: ONNX, OpenVINO or GGUF; None if it is no export."""
    kinds = {"ONNX": "**/*.onnx", "OpenVINO": "**/openvino*.xml", "GGUF": "*.gguf"}
    return next((kind for kind, pattern in kinds.items() if any(directory.glob(pattern))), None)


def inner_model(directory: Path) -> str:
    """Say which folder in an output folder is a model, of a seed or at the end of a run; nothing if none is."""
    found = [path.parent for pattern in ("*", "*/final") for path in sorted(directory.glob(f"{pattern}/config.json"))]
    found = [path for path in found if (path / SINGLE).is_file() or (path / INDEX).is_file()]
    return f"give {found[0]}, which does" if found else ""


def architectures(config: Mapping[str, Any]) -> list[str]:
    """Names of the classes that a config.json is for; none where it says something else there."""
    named = config.get("architectures")
    return [one for one in named if isinstance(one, str)] if isinstance(named, list) else []

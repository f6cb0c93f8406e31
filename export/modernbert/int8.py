"""Weights of an export in int8: matrices, and the embedding table unless a masked LM's decoder is tied to it.

Row by row, each by its own range: a quarter of fp32 on disk. The entry in config.json and the names of the tensors are
those of compressed-tensors, so that stock transformers reads the folder where that package is installed.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from ...common.checkpoints.format import TensorInfo
from ...common.checkpoints.reader import Checkpoint
from ...common.checkpoints.writer import CheckpointWriter, write_index
from ...modeling.int8_format import DECODER, SCALE
from ...modeling.int8_weights import round_rows

_ROWS = 4096  # of a tensor in memory at once


def rounded_names(stock: nn.Module) -> set[str]:
    """Name the weights that become int8."""
    kinds: Any = nn.Linear if hasattr(stock, DECODER) else nn.Linear | nn.Embedding
    return {f"{name}.weight" for name, part in stock.named_modules() if isinstance(part, kinds) and name != DECODER}


def write_int8(directory: Path, source: Checkpoint, names: set[str]) -> None:
    """Write the weights of a checkpoint, those that are named as int8 rows with their scales."""
    tensors: dict[str, TensorInfo] = {}
    for name, info in source.tensors.items():
        if name in names:
            scale = f"{name.removesuffix('weight')}{SCALE}"
            tensors[scale] = replace(info, name=scale, dtype="F32", shape=(info.shape[0], 1), nbytes=4 * info.shape[0])
            info = replace(info, dtype="I8", nbytes=info.numel)
        tensors[name] = info
    template = replace(source, tensors=tensors)
    with CheckpointWriter(directory, template) as writer:
        for name, info in source.tensors.items():
            width = info.shape[-1] if info.shape else 1
            for start in range(0, info.numel, _ROWS * width):
                piece = source.read_flat(name, start, start + _ROWS * width)
                if name in names:
                    piece, scales = round_rows(piece.view(-1, width))
                    writer.write(f"{name.removesuffix('weight')}{SCALE}", start // width, scales.flatten())
                writer.write(name, start, piece.flatten())
    write_index(directory, template)

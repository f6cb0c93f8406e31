"""Writes a merged model: weights in the first parent's types and shards, its config and tokenizer, and merge.json."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..common.checkpoints.reader import DTYPES, SIDE_FILES, all_finite, checkpoint_fingerprint
from ..common.checkpoints.writer import CheckpointWriter, atomic_directory, write_index
from ..common.files import copy_files, write_json
from ..export.modernbert.st_modules import MODULE_FILES, copy_modules
from ..version import __version__
from .parents import Parents

RECORD = "merge.json"


class MergedTensors:
    """Takes merged numbers, rounds them to the stored type once, and writes tied copies along."""

    def __init__(self, writer: CheckpointWriter, parents: Parents) -> None:
        self._writer = writer
        self._first = parents.checkpoints[0]
        stored = {second: first for second, first in parents.copies.items() if second in self._first.tensors}
        self._seconds = {name: [s for s, first in stored.items() if first == name] for name in parents.names}

    def write(self, name: str, start: int, values: torch.Tensor) -> None:
        """Write one piece of a parameter, flat, from its element number `start` on."""
        rounded = self.rounded(name, values)
        for target in (name, *self._seconds[name]):
            self._writer.write(target, start, rounded)

    def patch(self, name: str, start: int, places: torch.Tensor, values: torch.Tensor) -> None:
        """Replace elements at rising `places` of a piece that was written, by values that `rounded` gave."""
        length = int(places[-1]) + 1
        for target in (name, *self._seconds[name]):
            piece = self._writer.read(target, start, length)
            piece[places.long()] = values
            self._writer.write(target, start, piece, again=True)

    def rounded(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """Round numbers to the type in which a parameter is stored."""
        dtype = self._first.tensors[name].dtype
        rounded = values.to(DTYPES[dtype])
        if not all_finite(rounded):
            raise ValueError(f"tensor {name!r}: the merged numbers overflow {dtype}; use a smaller scale or float32")
        return rounded

    def rewind(self) -> None:
        """Start over."""
        self._writer.rewind()


def save_merged(
    parents: Parents, output: str | os.PathLike[str], produce: Callable[[MergedTensors], dict[str, Any]]
) -> Path:
    """Write a merged model, whole or not at all; `produce` writes parameters and returns what merge.json says."""
    first = parents.checkpoints[0]
    with atomic_directory(output) as directory:
        with CheckpointWriter(directory, first) as writer:
            record = produce(MergedTensors(writer, parents))
            for name, info in first.tensors.items():
                if not info.is_floating:
                    writer.write(name, 0, first.read_flat(name))
        write_index(directory, first)
        write_json(directory / "config.json", parents.config)
        for parent in parents.checkpoints:
            if copy_files(parent.path, directory, SIDE_FILES):
                break  # tokenizers were proven equal: the first parent that has one gives it
        if parents.modules is not None:
            copy_files(parents.modules.path, directory, MODULE_FILES)
            copy_modules(parents.modules.path, directory)
        lineage = [
            {"name": label, "fingerprint": checkpoint_fingerprint(parent.path)}
            for label, parent in zip(parents.labels, parents.checkpoints, strict=True)
        ]
        write_json(directory / RECORD, {"parents": lineage, **record, "tied": parents.copies, "mmbert": __version__})
    return Path(output)

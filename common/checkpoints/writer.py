"""Writes a checkpoint directory that is either absent or whole.

Everything goes into a hidden sibling directory, is synced to disk and renamed as the last act, so a crash, a full disk
or a kill never leaves half a checkpoint under the name that was asked for (a kill can leave the sibling, called
`.NAME.*.partial`). Weights are written in pieces at their final place, so no tensor has to be in memory as a whole.
"""

import json
import os
import secrets
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path
from typing import Any

import torch

from ..files import refuse_existing, sync_to_disk, write_error, write_json
from .format import DTYPES, INDEX, SINGLE
from .integrity import write_checksums
from .reader import Checkpoint


@contextmanager
def atomic_directory(output: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a directory, with its SHA256SUMS, that appears under its name only when the block ends without an error."""
    target = Path(output)
    refuse_existing(target)
    parent = target.absolute().parent
    partial = parent / f".{target.name}.{secrets.token_hex(4)}.partial"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise ValueError(_cannot_write(target, error)) from error
    try:
        yield partial
        _publish(partial, target)
    except OSError as error:
        if error.filename is not None and partial.name not in f"{error.filename} {error.filename2}":
            raise  # about a file that was being read
        raise ValueError(_cannot_write(target, error)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class CheckpointWriter:
    """Writes the tensors of a checkpoint in any order and in pieces, with the shards of a template."""

    def __init__(self, directory: Path, template: Checkpoint) -> None:
        self._directory = directory
        self._template = template
        self._files: dict[str, BufferedRandom] = {}
        self._places: dict[str, int] = {}
        self._left = sum(info.nbytes for info in template.tensors.values())

    def __enter__(self) -> "CheckpointWriter":
        for file in self._template.files:
            self._open_shard(file)
        return self

    def __exit__(self, kind: Any, value: Any, trace: Any) -> None:
        for file in self._files.values():
            file.close()
        if kind is None and self._left:
            raise RuntimeError(f"{self._left} bytes of the checkpoint were never written")

    def write(self, name: str, start: int, values: torch.Tensor, *, again: bool = False) -> None:
        """Write flat values from element `start` on, row-major; each element exactly once, unless `again`."""
        raw = values.contiguous().view(torch.uint8).numpy()
        file = self._seek(name, start)
        file.write(raw.data)
        if not again:
            self._left -= raw.nbytes

    def read(self, name: str, start: int, length: int) -> torch.Tensor:
        """Read back a flat run of elements that was written."""
        dtype = DTYPES[self._template.tensors[name].dtype]
        raw = torch.empty(length * dtype.itemsize, dtype=torch.uint8)
        self._seek(name, start).readinto(raw.numpy().data)
        return raw.view(dtype)

    def rewind(self) -> None:
        """Forget what was written, to write everything anew."""
        self._left = sum(info.nbytes for info in self._template.tensors.values())

    def _seek(self, name: str, start: int) -> BufferedRandom:
        info = self._template.tensors[name]
        file = self._files[info.file]
        file.seek(self._places[name] + start * DTYPES[info.dtype].itemsize)
        return file

    def _open_shard(self, file: str) -> None:
        inside = [info for info in self._template.tensors.values() if info.file == file]
        # safetensors' own order, wide types first, keeps every tensor aligned
        inside.sort(key=lambda info: (-DTYPES[info.dtype].itemsize, info.name))
        entries: dict[str, Any] = {"__metadata__": self._template.metadata[file] or {"format": "pt"}}
        end = 0
        for info in inside:
            entries[info.name] = {
                "dtype": info.dtype,
                "shape": list(info.shape),
                "data_offsets": [end, end + info.nbytes],
            }
            self._places[info.name] = end
            end += info.nbytes
        header = json.dumps(entries, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        stream = (self._directory / file).open("w+b")
        self._files[file] = stream
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + end)
        for info in inside:
            self._places[info.name] += 8 + len(header)


def write_index(directory: Path, template: Checkpoint) -> None:
    """Write the index of a sharded checkpoint; does nothing for a single file."""
    if template.files == (SINGLE,):
        return
    size = sum(info.nbytes for info in template.tensors.values())
    places = {name: info.file for name, info in sorted(template.tensors.items())}
    write_json(directory / INDEX, {"metadata": {"total_size": size}, "weight_map": places})


def _publish(partial: Path, target: Path) -> None:
    write_checksums(partial)
    for path in [*sorted(partial.rglob("*"), reverse=True), partial]:
        sync_to_disk(path)
    refuse_existing(target)  # someone may have written there meanwhile
    if target.is_dir():
        target.rmdir()
    partial.rename(target)
    sync_to_disk(target.absolute().parent)


def _cannot_write(target: Path, error: OSError) -> str:
    return f"cannot write {target}: {write_error(target, error)}; nothing was left there, choose another place"

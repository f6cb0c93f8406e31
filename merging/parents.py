"""The checkpoints that go into a merge, proven to fit together before a weight is merged.

They are opened, verified and compared (`compatibility.py`), then read side by side in small pieces as float32. A
parameter that is stored under two names (decoder tied to the embeddings) is found by its bytes and counted once,
because in a trim over the whole task vector it would otherwise count twice for the threshold.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..common.checkpoints.reader import Checkpoint, all_finite, open_checkpoint
from .compatibility import check_modules, check_tensors, check_tokenizer, merged_config

PIECE = 1 << 16  # elements read at once: a merge's dozen float64 buffers of this size stay in a core's cache

_FINAL = "final"  # where a recipe run puts the model of each of its parts


@dataclass(frozen=True, slots=True)
class Parents:
    """Checkpoints that may be merged."""

    # all of them; the first gives the result its layout, types and tokenizer
    checkpoints: tuple[Checkpoint, ...]
    labels: tuple[str, ...]  # a name for each, made of directory names only
    names: tuple[str, ...]  # every floating-point parameter once, sorted: the order of the task vector
    copies: dict[str, str]  # second names of tied parameters, each with the name under which it is counted
    config: dict[str, Any]  # config.json of the result
    # the checkpoint whose modules (pooling and the like) the result takes over; None for plain networks
    modules: Checkpoint | None = None

    def numel(self, name: str) -> int:
        """Number of elements of a parameter."""
        return self.checkpoints[0].tensors[name].numel

    def pieces(self, names: Sequence[str]) -> Iterator[tuple[str, int, list[torch.Tensor]]]:
        """Yield (name, number of its first element, flat float32 piece of every checkpoint) piece by piece."""
        for name in names:
            for start in range(0, self.numel(name), PIECE):
                values = [c.read_flat(name, start, start + PIECE).float() for c in self.checkpoints]
                for checkpoint, piece in zip(self.checkpoints, values, strict=True):
                    if not all_finite(piece):
                        raise ValueError(
                            f"{checkpoint.path}: tensor {name!r} holds NaN or infinity, which cannot be merged"
                        )
                yield name, start, values


def open_parents(paths: Sequence[str | os.PathLike[str]]) -> Parents:
    """Open checkpoints, the first is the reference, and prove that they can be merged."""
    checkpoints = tuple(open_checkpoint(path) for path in paths)
    for checkpoint in checkpoints:
        checkpoint.require_float()
    places = [checkpoint.path.resolve() for checkpoint in checkpoints]
    if twice := [str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1]:
        raise ValueError(f"{twice[0]} is given {len(twice)} times; a merge takes each checkpoint once")
    first = checkpoints[0]
    copies = _stored_twice(checkpoints)
    for other in checkpoints[1:]:
        check_tensors(first, other, copies)
        check_tokenizer(first, other)
    config = merged_config(checkpoints)
    modules = check_modules(checkpoints)
    for checkpoint in checkpoints:  # after what is quickly seen: it reads every byte
        checkpoint.verify()
    names = sorted(name for name, info in first.tensors.items() if info.is_floating and name not in copies)
    if not names:
        raise ValueError(f"{first.path} holds no floating-point tensor; there is nothing to merge")
    return Parents(checkpoints, _labels(checkpoints), tuple(names), copies, config, modules)


def check_weights(weights: Sequence[float] | None, count: int, what: str) -> list[float]:
    """Check the weights of a merge, one per model or None for equal ones; return floats, not normalised."""
    if count < 1:
        raise ValueError(f"no {what} given; a merge needs at least one")
    values = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if len(values) != count:
        raise ValueError(f"{len(values)} weights for {count} {what}; give one weight for each, in the same order")
    if not all(0.0 <= value < float("inf") for value in values) or sum(values) <= 0.0:
        raise ValueError(f"weights must be finite, not negative and not all zero, got {values}")
    return values


def _labels(checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    """Directory names, with the parent's name where two are the same; `decay-all/final` is called `decay-all`."""
    resolved = [checkpoint.path.resolve() for checkpoint in checkpoints]
    paths = [path.parent if path.name == _FINAL else path for path in resolved]
    names = [path.name for path in paths]
    return tuple(
        name if names.count(name) == 1 else f"{path.parent.name}/{name}"
        for name, path in zip(names, paths, strict=True)
    )


def _stored_twice(checkpoints: Sequence[Checkpoint]) -> dict[str, str]:
    """Find tied parameters stored under two names; only the embeddings and their outputs are ever tied."""
    rows = checkpoints[0].config.get("vocab_size")
    found = {n for c in checkpoints for n, info in c.tensors.items() if info.shape[:1] == (rows,)}
    order = sorted(found, key=lambda name: ("embed" not in name, name))
    copies: dict[str, str] = {}
    for second in reversed(order):
        for first in order:
            if first == second or first in copies or not all(first in c.tensors for c in checkpoints):
                continue
            if all(_equal(c, first, second) for c in checkpoints if second in c.tensors):
                copies[second] = first
                break
    return copies


def _equal(checkpoint: Checkpoint, first: str, second: str) -> bool:
    one, other = checkpoint.tensors[first], checkpoint.tensors[second]
    if (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    starts = range(0, one.numel, PIECE)
    return all(
        torch.equal(checkpoint.read_flat(first, s, s + PIECE), checkpoint.read_flat(second, s, s + PIECE))
        for s in starts
    )

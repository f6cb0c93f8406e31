"""Vectors that are cheap to keep: one bit a dimension to search, one byte a dimension to put the finds in order.

    float32 768 -> 3,072 bytes;  first 256 -> 1,024;  int8 256 -> 256;  bits of 256 -> 32

A search compares bits (Hamming distance) with everything, takes a few times more than it was asked for, and scores
those again with the query in full precision. Only the vectors that are scored again are read, so they may lie in a
memory-mapped file.

A bit says on which side of the corpus' own mean a value lies. sentence-transformers puts the border at zero, which is
the same for centred vectors only; those of encoders lie in a cone, where many dimensions have one sign for all texts.

Trade-off: the search is exact over bits and takes time in proportion to the corpus, some 10 ms a query and million of
256 bits on one core. An approximate index (usearch, faiss) is for more than that.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...common.checkpoints.writer import atomic_directory
from ...common.files import write_json

Floats = npt.NDArray[np.float32]
Keep = Literal["int8", "float16", "float32"]

_KEPT = ("int8", "float16", "float32")
_CHUNK = 65_536  # vectors that are turned, or compared, at a time


@dataclass(frozen=True, slots=True)
class CompactVectors:
    """Vectors of a corpus, as bits for searching and as something finer for the order of what was found.

    Attributes:
        bits: (n, ceil(dims / 64) * 8) uint8, a bit a dimension, filled up with zeros.
        centre: (dims,) float32, the border of each bit.
        fine: (n, dims) int8, float16 or float32; None if only bits are kept.
        ranges: (2, dims) float32, least and greatest value of each dimension, for int8; else None.
    """

    bits: npt.NDArray[np.uint8]
    centre: Floats
    fine: npt.NDArray[Any] | None
    ranges: Floats | None

    def __len__(self) -> int:
        return len(self.bits)

    @property
    def dims(self) -> int:
        """Dimensions of a vector."""
        return len(self.centre)

    @property
    def bytes_per_vector(self) -> int:
        """Bytes that are kept of one vector."""
        fine = 0 if self.fine is None else self.fine.dtype.itemsize * self.dims
        return int(self.bits.shape[1] + fine)

    def search(self, queries: Any, top_k: int = 10, *, oversampling: int = 4) -> tuple[npt.NDArray[np.int64], Floats]:
        """Find the vectors nearest to each query.

        Args:
            queries: (q, at least dims) float; cut and normalised like the corpus.
            top_k: How many to find.
            oversampling: Find so many times more by their bits, and order those by the finer vectors.

        Returns:
            (q, k) places in the corpus and (q, k) scores, the best first; k is `top_k`, or the size of the corpus if
            that is smaller. A score is the cosine with the kept vector; without one, the query against the bits.

        Raises:
            ValueError: If a number is out of range, or queries are too short or not finite.
        """
        if top_k < 1 or oversampling < 1:
            raise ValueError(f"top_k and oversampling must be at least 1, got {top_k} and {oversampling}")
        ready = _cut(np.atleast_2d(np.asarray(queries, dtype=np.float32)), self.dims, "query")
        wanted = min(len(self), top_k * oversampling)
        places = np.empty((len(ready), min(top_k, len(self))), dtype=np.int64)
        scores = np.empty(places.shape, dtype=np.float32)
        for number, query in enumerate(ready):
            near = np.sort(self._nearest_by_bits(query, wanted))  # in the order of the file
            found = self._fine(near) @ (query if self.fine is not None else query - self.centre)
            order = np.argsort(-found, kind="stable")[: places.shape[1]]
            places[number], scores[number] = near[order], found[order]
        return places, scores

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a folder that is either absent or whole."""
        with atomic_directory(folder) as partial:
            for name in ("bits", "centre", "fine", "ranges"):
                if (array := getattr(self, name)) is not None:
                    np.save(partial / f"{name}.npy", array, allow_pickle=False)
            about = {"vectors": len(self), "dims": self.dims, "bytes_per_vector": self.bytes_per_vector}
            write_json(partial / "compact.json", about, indent=None)
        return Path(folder)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "CompactVectors":
        """Open a folder that `save` wrote; the finer vectors stay on disk until they are asked for."""
        path = Path(folder)
        if not (path / "compact.json").is_file():
            raise FileNotFoundError(f"{path} holds no compact.json; give a folder that CompactVectors.save wrote")
        arrays: dict[str, Any] = {"fine": None, "ranges": None}
        for file in path.glob("*.npy"):
            arrays[file.stem] = np.load(file, mmap_mode="r" if file.stem == "fine" else None, allow_pickle=False)
        found = cls(**arrays)
        about = json.loads((path / "compact.json").read_text(encoding="utf-8"))
        kept = len(found) if found.fine is None else len(found.fine)
        if not about["vectors"] == len(found) == kept or about["dims"] != found.dims:
            raise ValueError(f"{path}: {len(found)} rows of bits, {kept} of vectors, {about}; make the folder again")
        return found

    def _nearest_by_bits(self, query: Floats, count: int) -> npt.NDArray[np.int64]:
        wanted = _pack(query[None] > self.centre).view(np.uint64)[0]
        distances = np.empty(len(self), dtype=np.int32)
        for start in range(0, len(self), _CHUNK):
            words = np.ascontiguousarray(self.bits[start : start + _CHUNK]).view(np.uint64)
            distances[start : start + _CHUNK] = np.bitwise_count(words ^ wanted).sum(axis=1, dtype=np.int32)
        if count == len(self):
            return np.arange(count)
        nearest: npt.NDArray[np.int64] = np.argpartition(distances, count - 1)[:count]
        return nearest

    def _fine(self, rows: npt.NDArray[np.int64]) -> Floats:
        """Return vectors of length 1 of some rows, as good as they were kept."""
        if self.fine is None:
            signs = np.unpackbits(self.bits[rows], axis=1)[:, : self.dims].astype(np.float32)
            values = 2 * signs - 1
        else:
            values = np.asarray(self.fine[rows], dtype=np.float32)
        if self.ranges is not None:
            values = (values + 128.5) * _steps(self.ranges) + self.ranges[0]  # the middle of each step
        return _unit(values)


def compact(vectors: Any, *, dims: int | None = None, keep: Keep | None = "int8") -> CompactVectors:
    """Make vectors small.

    Args:
        vectors: (n, width) float array, which may be memory-mapped: it is read in pieces, twice.
        dims: Keep only the first so many dimensions; for models trained with Matryoshka.
        keep: What to keep beside the bits: `int8`, `float16`, `float32`, or None for nothing.

    Returns:
        The small vectors.

    Raises:
        ValueError: If there is no vector, one is not finite, or an option is out of range.
    """
    if keep is not None and keep not in _KEPT:
        raise ValueError(f"keep must be None, {', '.join(_KEPT)}, got {keep!r}")
    if getattr(vectors, "ndim", 0) != 2 or 0 in vectors.shape:
        raise ValueError(f"need vectors of shape (n, width), at least one, got {getattr(vectors, 'shape', vectors)}")
    width = vectors.shape[1]
    dims = width if dims is None else dims
    if not 1 <= dims <= width:
        raise ValueError(f"dims must lie between 1 and the vectors' {width} dimensions, got {dims}")
    total = np.zeros(dims)
    low, high = np.full(dims, np.inf, np.float32), np.full(dims, -np.inf, np.float32)
    for start in range(0, len(vectors), _CHUNK):
        piece = _cut(vectors[start : start + _CHUNK], dims, "vector", start)
        total += piece.sum(axis=0, dtype=np.float64)
        low, high = np.minimum(low, piece.min(axis=0)), np.maximum(high, piece.max(axis=0))
    centre = (total / len(vectors)).astype(np.float32)
    ranges = np.stack([low, high]) if keep == "int8" else None
    bits, fine = [], []
    for start in range(0, len(vectors), _CHUNK):
        piece = _cut(vectors[start : start + _CHUNK], dims, "vector", start)
        bits.append(_pack(piece > centre))
        if keep is not None:
            fine.append(_quantise(piece, ranges) if ranges is not None else piece.astype(keep))
    return CompactVectors(np.concatenate(bits), centre, np.concatenate(fine) if fine else None, ranges)


def _quantise(piece: Floats, ranges: Floats) -> npt.NDArray[np.int8]:
    from sentence_transformers.util.quantization import quantize_embeddings

    return np.asarray(quantize_embeddings(piece, precision="int8", ranges=ranges), dtype=np.int8)


def _steps(ranges: Floats) -> Floats:
    """Return the width of a step of int8 in each dimension, as sentence-transformers cuts them."""
    steps: Floats = (ranges[1] - ranges[0]) / 255
    return np.where(steps == 0, np.float32(1), steps)


def _cut(piece: Any, dims: int, what: str, first: int = 0) -> Floats:
    """Return the first dimensions, of length 1; a row of zeros stays one."""
    if piece.shape[1] < dims:
        raise ValueError(f"a {what} has {piece.shape[1]} dimensions, the corpus {dims}; embed both with one model")
    values = np.asarray(piece[:, :dims], dtype=np.float32)
    if not (fine := np.isfinite(values).all(axis=1)).all():
        raise ValueError(f"{what} {first + int(np.argmin(fine))} is not finite; embed it again, in float32")
    return _unit(values)


def _unit(values: Floats) -> Floats:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.where(length == 0, np.float32(1), length), dtype=np.float32)


def _pack(above: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Pack bits, filled up to whole words of 64."""
    packed = np.packbits(above, axis=1)
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))))

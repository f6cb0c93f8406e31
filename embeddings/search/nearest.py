"""Finds the vectors nearest to a query: by comparing all of them, or through a graph of usearch.

Comparing all is exact and needs no time to prepare: with 256 dimensions in float32, a question takes some 4 ms per
100,000 vectors on one core. A graph (HNSW, arXiv 1603.09320) grows little with the number, but has to be built, and
may miss some of the nearest (benchmarks/search.py measures both). What it finds is scored again exactly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
Found = tuple[Ids, Floats]  # rows or passages and their scores, the best first
Mask = npt.NDArray[np.bool_]

_ROWS = 32_768  # vectors that are compared at a time: 34 MB at 256 dimensions
_GRAPH_EFFORT = 128  # candidates while searching: recall before time


@dataclass(slots=True)
class Part:
    """Vectors of one commit: `ids` of their passages, ascending, which of them count, and the graph if there is one."""

    ids: Ids
    vectors: Any
    alive: Mask
    graph: Any

    def nearest(self, query: Floats, count: int, allowed: Mask) -> Found:
        """The passages of the nearest vectors among those allowed; where they are few, a graph would find none."""
        if self.graph is None or allowed.sum() < len(allowed) // 4:
            rows, scores = compare_all(self.vectors, query, count, allowed)
        else:
            rows, scores = walk_graph(self.graph, self.vectors, query, count, allowed)
        return self.ids[rows], scores


def compare_all(vectors: Any, query: Floats, count: int, allowed: Mask) -> Found:
    """Find the nearest of the allowed rows by their dot product with a query."""
    found = []
    for start in range(0, len(vectors), _ROWS):
        piece, rows = vectors[start : start + _ROWS], np.flatnonzero(allowed[start : start + _ROWS])
        few = 4 * len(rows) < len(piece)  # copied, so that the others are not read
        scores = np.asarray(piece[rows] if few else piece, dtype=np.float32) @ query
        scores = scores[rows] if len(rows) < len(scores) else scores
        near = np.argpartition(-scores, count - 1)[:count] if count < len(scores) else slice(None)
        found.append((start + rows[near], scores[near]))
    return best_of(found, count)


def walk_graph(graph: Any, vectors: Any, query: Floats, count: int, allowed: Mask) -> Found:
    """Find near rows through a graph, and score them exactly."""
    wanted = min(len(vectors), max(4 * count, 64) + int((~allowed).sum()))
    graph.expansion_search = max(2 * wanted, _GRAPH_EFFORT)
    rows = np.sort(graph.search(query, wanted, threads=1).keys.astype(np.int64))
    rows = rows[allowed[rows]]
    return best_of([(rows, np.asarray(vectors[rows], dtype=np.float32) @ query)], count)


def best_of(found: list[Found], count: int) -> Found:
    """The best of several findings."""
    ids = np.concatenate([np.empty(0, np.int64), *(one[0] for one in found)])
    scores = np.concatenate([np.empty(0, np.float32), *(one[1] for one in found)])
    order = np.lexsort((ids, -scores))[:count]
    return ids[order], scores[order]


def build_graph(vectors: Any, path: Path) -> None:
    """Write the graph of some vectors, on one thread, so that equal vectors give equal graphs."""
    graph = _usearch().Index(ndim=vectors.shape[1], metric="ip", dtype="f32")
    for start in range(0, len(vectors), _ROWS):
        piece = np.asarray(vectors[start : start + _ROWS], dtype=np.float32)
        graph.add(np.arange(start, start + len(piece), dtype=np.uint64), piece, threads=1)
    graph.save(str(path))


def open_graph(path: Path) -> Any:
    """Open a graph without reading it into memory."""
    try:
        return _usearch().Index.restore(str(path), view=True)
    except (RuntimeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read ({error}); index the documents again") from error


def _usearch() -> Any:
    try:
        from usearch import index
    except ImportError as missing:
        raise ImportError('a graph needs usearch: pip install "mmbert[search]"') from missing
    return index

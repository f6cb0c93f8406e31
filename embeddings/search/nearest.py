"""Finds the vectors nearest to a query: by comparing all of them, or through a graph of usearch.

Comparing all is exact and needs no time to prepare: with 256 dimensions in float32, a question takes some 4 ms per
100,000 vectors on one core. A graph (HNSW, arXiv 1603.09320) grows little with the number, but has to be built, and
may miss some of the nearest (benchmarks/search.py measures both). What it finds is scored again exactly.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

_ROWS = 32_768  # vectors that are compared at a time: 34 MB at 256 dimensions
_GRAPH_EFFORT = 128  # candidates while searching: recall before time


def compare_all(vectors: Any, queries: Floats, count: int, hidden: npt.NDArray[np.bool_] | None = None) -> list[Any]:
    """Find the nearest by their dot product with each query."""
    best: list[tuple[Places, Floats]] = [(np.empty(0, np.int64), np.empty(0, np.float32)) for _ in queries]
    for start in range(0, len(vectors), _ROWS):
        piece = np.asarray(vectors[start : start + _ROWS], dtype=np.float32)
        scores = queries @ piece.T
        if hidden is not None:
            scores[:, hidden[start : start + _ROWS]] = -np.inf
        for number, row in enumerate(scores):
            near = np.argpartition(-row, count - 1)[:count] if count < len(row) else np.arange(len(row))
            near = near[np.isfinite(row[near])]
            best[number] = merge([best[number], (near + start, row[near])], count)
    return best


def merge(found: list[tuple[Places, Floats]], count: int) -> tuple[Places, Floats]:
    """Put pairs of places and scores together and keep the best."""
    places = np.concatenate([one[0] for one in found])
    scores = np.concatenate([one[1] for one in found])
    order = np.lexsort((places, -scores))[:count]
    return places[order], scores[order]


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


def walk_graph(graph: Any, vectors: Any, queries: Floats, count: int, hidden: Any = None) -> list[Any]:
    """Find near vectors through a graph, and score them exactly."""
    wanted = min(len(vectors), max(4 * count, 64) + (0 if hidden is None else int(hidden.sum())))
    graph.expansion_search = max(2 * wanted, _GRAPH_EFFORT)
    found = []
    for query in queries:
        near = np.sort(graph.search(query, wanted, threads=1).keys.astype(np.int64))
        if hidden is not None:
            near = near[~hidden[near]]
        scores = np.asarray(vectors[near], dtype=np.float32) @ query
        found.append(merge([(near, scores)], count))
    return found


def _usearch() -> Any:
    try:
        from usearch import index
    except ImportError as missing:
        raise ImportError('a graph needs usearch: pip install "mmbert[search]"') from missing
    return index

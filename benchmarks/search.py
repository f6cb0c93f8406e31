"""When comparing all vectors is good enough: time a question, exactly and through a graph of usearch.

    python benchmarks/search.py --sizes 10000,100000,500000 --dims 256 --output build/search

Vectors are drawn around 1,000 centres (seed 0), so that there are near ones to find; questions are drawn likewise.
One question at a time, median of 21, one thread (set OMP_NUM_THREADS=1). Recall is the share of the exact first 10 that
the graph finds.
"""

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mmbert.embeddings.search.nearest import build_graph, compare_all, open_graph, walk_graph
from support import parser_of, write_results


def drawn(count: int, dims: int, seed: int) -> np.ndarray:
    """Return vectors of length 1 around shared centres."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(1_000, dims)).astype(np.float32)
    vectors = centres[draw.integers(0, 1_000, count)] + 0.7 * draw.normal(size=(count, dims)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def median_ms(find: Callable[[np.ndarray], Any], questions: np.ndarray) -> float:
    """Time one question after the other; the first warms up."""
    find(questions[0])
    spent = []
    for question in questions[1:]:
        began = time.perf_counter()
        find(question)
        spent.append(1000 * (time.perf_counter() - began))
    return statistics.median(spent)


def measured(size: int, dims: int, folder: Path) -> dict[str, float]:
    """Compare both ways on one size."""
    vectors, questions, every = drawn(size, dims, seed=1), drawn(22, dims, seed=2), np.ones(size, np.bool_)
    row = {"vectors": size, "exact, float32, ms": median_ms(lambda q: compare_all(vectors, q, 10, every), questions)}
    half = vectors.astype(np.float16)
    row["exact, float16, ms"] = median_ms(lambda q: compare_all(half, q, 10, every), questions)
    began = time.perf_counter()
    build_graph(vectors, folder / "graph")
    row["graph built, s"] = time.perf_counter() - began
    graph = open_graph(folder / "graph")
    row["graph, ms"] = median_ms(lambda q: walk_graph(graph, vectors, q, 10, every), questions)
    exact = [set(compare_all(vectors, one, 10, every)[0]) for one in questions]
    found = [set(walk_graph(graph, vectors, one, 10, every)[0]) for one in questions]
    row["graph, recall of 10"] = statistics.fmean(len(a & b) / 10 for a, b in zip(exact, found, strict=True))
    return row


def main() -> None:
    """Measure all sizes, print and write a table."""
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", default="10000,100000,500000")
    parser.add_argument("--dims", type=int, default=256)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measured(int(size), args.dims, Path(folder)) for size in args.sizes.split(",")]
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---:|" * len(rows[0])]
    for row in rows:
        lines.append(
            "| " + " | ".join(f"{value:,}" if value > 999 else f"{value:.3g}" for value in row.values()) + " |"
        )
    about = {"dims": args.dims, "machine": platform.machine(), "numpy": np.__version__, "rows": rows}
    write_results(args.output, "search", about, "\n".join(lines))


if __name__ == "__main__":
    main()

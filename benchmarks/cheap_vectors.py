"""What vectors lose when they get cheap: bytes a vector against finding the right translation, and the same neighbours.

    python benchmarks/cheap_vectors.py EMBEDDER tatoeba/data.parquet --dims 256 128 64 --output build/cheap

The table holds parallel sentences in the columns lang, text and text_eng. Each text searches for its English side among
the English sides of all languages: `accuracy` is how often that comes first, `same 10` how many of the ten neighbours
are those of the whole float32 vectors. Prints a table and writes cheap.md and cheap.json.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from mmbert import load_embedder
from mmbert.embeddings import CompactVectors, compact
from sentence_transformers.util.quantization import quantize_embeddings
from support import parser_of, write_results

Floats = npt.NDArray[np.float32]
Search = Callable[[Floats], npt.NDArray[np.int64]]
TOP = 10


def pairs(path: Path, most: int) -> tuple[list[str], list[str]]:
    """Read (texts, English sides), so many of each language; an English side that was read before is left out."""
    table = pq.read_table(path, columns=["lang", "text", "text_eng"])
    taken: dict[str, int] = {}
    found: dict[str, str] = {}
    for row in table.to_pylist():
        if taken.get(row["lang"], 0) < most and row["text_eng"] not in found:
            taken[row["lang"]] = taken.get(row["lang"], 0) + 1
            found[row["text_eng"]] = row["text"]
    if len(found) < 2 * TOP:
        raise ValueError(f"{path} holds {len(found)} usable pairs, at least {2 * TOP} are needed")
    return list(found.values()), list(found)


def searches(corpus: Floats, dims: int) -> dict[str, tuple[float, Search]]:
    """Return (bytes a vector, how to search) by the name of the way."""
    cut = corpus[:, :dims] / np.linalg.norm(corpus[:, :dims], axis=1, keepdims=True)
    signs = quantize_embeddings(cut, precision="ubinary")
    fine, bits = compact(corpus, dims=dims), compact(corpus, dims=dims, keep=None)

    def by_float(queries: Floats) -> npt.NDArray[np.int64]:
        return np.argsort(-(queries[:, :dims] @ cut.T), axis=1, kind="stable")[:, :TOP]

    def by_signs(queries: Floats) -> npt.NDArray[np.int64]:
        asked = quantize_embeddings(queries[:, :dims], precision="ubinary")
        apart = np.stack([np.bitwise_count(signs ^ one).sum(axis=1, dtype=np.int32) for one in asked])
        return np.argsort(apart, axis=1, kind="stable")[:, :TOP]

    def by(small: CompactVectors, oversampling: int) -> Search:
        return lambda queries: small.search(queries, TOP, oversampling=oversampling)[0]

    return {
        "float32": (4.0 * dims, by_float),
        "int8": (float(dims), by(fine, len(corpus))),
        "bits, then int8, 16x": (float(fine.bytes_per_vector), by(fine, 16)),
        "bits, then int8, 4x": (float(fine.bytes_per_vector), by(fine, 4)),
        "bits, scored by the query, 4x": (float(bits.bytes_per_vector), by(bits, 4)),
        "bits around the mean": (float(bits.bytes_per_vector), by(bits, 1)),
        "bits around zero": (float(signs.shape[1]), by_signs),
    }


def measure(queries: Floats, corpus: Floats, all_dims: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row a way and number of dimensions."""
    whole = searches(corpus, corpus.shape[1])["float32"][1](queries)
    right = np.arange(len(queries))
    rows = []
    for dims in all_dims:
        for way, (size, search) in searches(corpus, dims).items():
            found = search(queries)
            same = np.mean([len(set(one) & set(other)) / TOP for one, other in zip(found, whole, strict=True)])
            accuracy = float((found[:, 0] == right).mean())
            within = float((found == right[:, None]).any(axis=1).mean())
            rows.append({"dims": dims, "kept": way, "bytes": size, "accuracy": accuracy, "in 10": within})
            rows[-1]["same 10"] = float(same)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Write rows as a Markdown table."""
    lines = ["| dims | kept | bytes | accuracy | in the first 10 | same 10 |", "|---:|---|---:|---:|---:|---:|"]
    for row in rows:
        shares = " | ".join(f"{100 * row[name]:.1f} %" for name in ("accuracy", "in 10", "same 10"))
        lines.append(f"| {row['dims']} | {row['kept']} | {row['bytes']:,.0f} | {shares} |")
    return "\n".join(lines)


def main() -> None:
    """Embed both sides, search in every way, print."""
    parser = parser_of(__doc__, "folder for cheap.md and cheap.json")
    parser.add_argument("embedder", help="folder or Hub id")
    parser.add_argument("pairs", type=Path, metavar="PAIRS", help="parquet table with lang, text and text_eng")
    parser.add_argument("--dims", nargs="+", type=int, help="the model's own, half and a quarter if left out")
    parser.add_argument("--most", type=int, default=100, help="pairs of each language")
    options = parser.parse_args()
    texts, english = pairs(options.pairs, options.most)
    embedder = load_embedder(options.embedder, dtype="float32")
    queries, corpus = embedder.encode(texts), embedder.encode(english)
    width = corpus.shape[1]
    rows = measure(queries, corpus, options.dims or [width, width // 2, width // 4])
    text = f"{len(texts):,} texts, each searching its English side among all of them\n\n{table(rows)}"
    write_results(options.output, "cheap", rows, text)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

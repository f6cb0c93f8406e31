"""What an index costs beside embedding, and how long a query takes: in vectors, words and hybrid mode.

    python benchmarks/search_speed.py --data ntrex/data.parquet --passages 100000 --output build/search_speed

Speed needs no trained weights: the embedder is random, of the size that --layers and --width say, with a vocabulary
that is trained on the rows. Embedding alone (`encode_to_file`) and indexing (`SearchIndex.build`) of --timed rows take
turns. For the index of --passages the vectors of passages are random, since the time to embed them is known: what that
index costs without its embedder is set beside the time to embed as many. A query is embedded, searched and read, one at
a time, warm, median of --queries, in CPU time, which one thread alone on a core takes on the wall too. Set
OMP_NUM_THREADS=1.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmbert import MmBertConfig, MmBertModel, load_embedder, train_tokenizer
from mmbert.embeddings import SearchIndex, encode_to_file
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from support import parser_of, report

ROUNDS = 3


class RandomVectors:
    """An embedder whose vectors of many texts are random and cost nothing; everything else is the embedder's own."""

    def __init__(self, embedder: Any) -> None:
        self.embedder, self.draw = embedder, np.random.default_rng(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.embedder, name)

    def __iter__(self) -> Any:
        return iter(self.embedder)

    def __getitem__(self, place: int) -> Any:
        return self.embedder[place]

    def encode(self, texts: Sequence[str], **options: Any) -> Any:
        """Random vectors of length 1 for many texts; the embedder's own for a query."""
        if len(texts) == 1:
            return self.embedder.encode(texts, **options)
        found = self.draw.normal(size=(len(texts), self.embedder.get_embedding_dimension())).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def made_embedder(texts: Sequence[str], layers: int, width: int, folder: Path) -> Any:
    """A random encoder of a size."""
    tokenizer = train_tokenizer(texts, 16_384)
    sizes = {"hidden_size": width, "intermediate_size": 3 * width // 2, "num_attention_heads": width // 64 or 1}
    torch.manual_seed(0)
    MmBertModel(MmBertConfig(vocab_size=len(tokenizer), num_hidden_layers=layers, **sizes)).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return load_embedder(folder, dtype="float32")


def cpu(act: Callable[[], Any]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    act()
    return time.process_time() - began


def beside_embedding(rows: Sequence[tuple[str, str]], embedder: Any, folder: Path) -> tuple[float, float]:
    """CPU seconds of embedding alone and of indexing, the medians of turns."""
    alone, indexed = [], []
    for turn in range(ROUNDS):
        alone.append(cpu(lambda at=turn: encode_to_file(embedder, (text for _, text in rows), folder / f"{at}.npy")))
        build = lambda at=turn: SearchIndex.build(folder / f"index{at}", iter(rows), embedder, passage_tokens=256)  # noqa: E731
        indexed.append(cpu(build))
    return statistics.median(alone), statistics.median(indexed)


def query_times(index: Any, queries: Sequence[str], mode: str) -> tuple[float, float]:
    """CPU milliseconds of a query: median and 95th percentile."""
    spent = []
    for query in queries:
        spent.append(1000 * cpu(lambda asked=query: index.search(asked, 10, mode=mode)))
    spent = sorted(spent[3:])  # the first warm up
    return statistics.median(spent), spent[int(0.95 * len(spent))]


def main() -> None:
    """Measure, print and write a table."""
    parser = parser_of(__doc__, "folder for the figures and the table")
    parser.add_argument("--data", type=Path, required=True, help="parquet file with a column text")
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--timed", type=int, default=1_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--layers", type=int, default=7)
    parser.add_argument("--width", type=int, default=256)
    args = parser.parse_args()
    from pyarrow.parquet import ParquetFile

    stream = (str(text) for batch in ParquetFile(args.data).iter_batches(columns=["text"]) for text in batch["text"])
    texts = list(islice(dict.fromkeys(text for text in stream if text.strip()), args.passages))
    spread = texts[:: max(1, len(texts) // args.timed)][: args.timed]
    rows = []
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        embedder = made_embedder(spread, args.layers, args.width, folder / "model")
        alone, indexed = beside_embedding([(str(n), text) for n, text in enumerate(spread)], embedder, folder)
        rows.append([f"embedding alone, {len(spread):,} passages", f"{alone:.1f} s of CPU", ""])
        rows.append(
            [f"index of the same, {len(spread):,} passages", f"{indexed:.1f} s of CPU", f"{indexed / alone:.2f}x"]
        )
        quick, at = RandomVectors(embedder), folder / "whole"
        bare = cpu(lambda: SearchIndex.build(at, ((str(n), text) for n, text in enumerate(texts)), quick))
        share = (alone / len(spread) * len(texts) + bare) / (alone / len(spread) * len(texts))
        rows.append([f"index of {len(texts):,} without its embedder", f"{bare:.1f} s of CPU", f"{share:.2f}x"])
        index = SearchIndex.open(at, quick)
        asked = [" ".join(text.split()[:6])[:60] for text in texts[7 :: len(texts) // (args.queries + 3)]]
        for mode in ("vectors", "words", "hybrid"):
            median, late = query_times(index, asked, mode)
            rows.append([f"query, {mode}, {len(texts):,} passages", f"{median:.1f} ms of CPU", f"95 %: {late:.1f} ms"])
    header = ["what", "time", "beside embedding alone"]
    report("search_speed", header, rows, {"layers": args.layers, "width": args.width}, args.output)


if __name__ == "__main__":
    main()

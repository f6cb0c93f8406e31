"""Speed of tokenising a corpus: `tokenize_corpus` from parquet to shards, against `encode_batch` on texts in memory.

    python benchmarks/tokenize_corpus.py --corpus FOLDER --tokenizer tokenizer.json.xz --output build/tokenize

FOLDER holds parquet files with the columns `lang` and `text`. The raw side does nothing but `encode_batch` in batches
of 1,024: no reading, no hashing, no ids in Python. Our side reads, checks, hashes, tokenises, removes copies, writes
bundles and shards with their checksums. The two alternate; each number is a median over the rounds. CPU time counts the
whole process with its threads. What a run does once, whatever its size (listing, saving the tokenizer), is shown apart.
With --processes 2 the raw side is two processes that are already there, and wall time is compared; ours pays for their
start, some seconds of importing, so give it enough --bytes.
"""

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mmbert.data.tokenization.document_tokenizer import DocumentTokenizer
from mmbert.data.tokenization.pipeline import tokenize_corpus
from mmbert.languages.tags import is_language_tag
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer
from support import parser_of, write_results

TARGET = 0.80
BATCH = 1024
_raw: dict[str, Any] = {}


def gather(folder: Path, limit: int) -> tuple[list[str], list[str]]:
    """Read texts and their languages round the files until `limit` bytes are together."""
    tags: list[str] = []
    texts: list[str] = []
    left = limit
    for path in sorted(folder.rglob("*.parquet")):
        if not {"lang", "text"} <= set(pq.read_schema(path).names):
            continue
        share = left // 3 or left
        for tag, text in zip(*pq.read_table(path, columns=["lang", "text"]).to_pydict().values(), strict=True):
            if share <= 0:
                break
            if tag and is_language_tag(tag) and text and not text.isspace():
                tags.append(tag)
                texts.append(text)
                share -= len(text.encode())
                left -= len(text.encode())
    if not texts:
        raise SystemExit(f"{folder} holds no parquet file with the columns lang and text")
    return tags, texts


def start_raw(folder: str) -> None:
    """Prepare a raw worker."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _raw["backend"] = DocumentTokenizer(folder).backend


def raw(texts: list[str], backend: Any = None) -> int:
    """Encode texts, and count their tokens without making lists of ids."""
    backend = backend or _raw["backend"]
    tokens = 0
    for begin in range(0, len(texts), BATCH):
        tokens += sum(map(len, backend.encode_batch(texts[begin : begin + BATCH], add_special_tokens=False)))
    return tokens


def timed(call: Callable[[], Any]) -> dict[str, float]:
    """Take wall and CPU time of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


class FromFirstWork(logging.Handler):
    """Notes the clocks when a run has listed its source and saved its tokenizer, and says so in its log."""

    def __init__(self) -> None:
        super().__init__()
        self.wall = self.cpu = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Note the clocks at the line that begins the work."""
        if record.msg.startswith("tokenizing"):
            self.wall, self.cpu = time.perf_counter(), time.process_time()


def ours(source: Path, work: Path, tokenizer: Any, **options: Any) -> dict[str, float]:
    """Run our side; what it does once (listing, saving a tokenizer of 580,000 merges) stands apart."""
    handler = FromFirstWork()
    log = logging.getLogger("mmbert.data.tokenization.pipeline")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    wall, cpu = time.perf_counter(), time.process_time()
    tokenize_corpus(source, work / "shards", tokenizer, **options)
    ended = {"wall": time.perf_counter() - handler.wall, "cpu": time.process_time() - handler.cpu}
    log.removeHandler(handler)
    shutil.rmtree(work / "shards")
    return {**ended, "once_wall": handler.wall - wall, "once_cpu": handler.cpu - cpu}


def one_process(source: Path, work: Path, texts: list[str], tokenizer: Any, rounds: int) -> list[dict[str, Any]]:
    """Measure in this process; the sides alternate."""
    backend = tokenizer.backend_tokenizer
    found = []
    for number in range(rounds + 1):
        entry = {"ours": ours(source, work, tokenizer), "raw": timed(lambda: raw(texts, backend))}
        if number:  # the first round warms caches
            found.append(entry)
    return found


def several(source: Path, work: Path, texts: list[str], tokenizer: Any, options: argparse.Namespace) -> list[Any]:
    """Measure wall time of several processes; ours pays for their start, the raw side does not."""
    count, found = options.processes, []
    save_tokenizer(tokenizer, work / "tokenizer")
    unit = max(1, source.stat().st_size // (4 * count))
    with get_context("spawn").Pool(count, start_raw, (str(work / "tokenizer"),)) as pool:
        slices = [texts[number::count] for number in range(count)]
        pool.map(raw, [texts[:1]] * count)
        for _ in range(options.rounds):
            mine = ours(source, work, tokenizer, processes=count, task_bytes=unit)
            found.append({"ours": mine, "raw": timed(lambda: pool.map(raw, slices, chunksize=1))})
    return found


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = parser_of(__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", required=True, help="tokenizer.json, tokenizer.json.xz, folder or Hub id")
    parser.add_argument("--output", type=Path, default=Path("build/tokenize"))
    parser.add_argument("--bytes", type=int, default=20_000_000, help="text to take")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    tokenizer = build_tokenizer(options.tokenizer)
    tags, texts = gather(options.corpus, options.bytes)
    size = sum(len(text.encode()) for text in texts)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        source = work / "corpus.parquet"
        pq.write_table(pa.table({"lang": tags, "text": texts}), source, row_group_size=max(1, len(texts) // 16))
        if options.processes == 1:
            rounds = one_process(source, work, texts, tokenizer, options.rounds)
        else:
            rounds = several(source, work, texts, tokenizer, options)
    tokens = raw(texts, tokenizer.backend_tokenizer)
    report(options, rounds, tokens, size, len(texts))


def report(options: argparse.Namespace, rounds: list[Any], tokens: int, size: int, documents: int) -> None:
    """Print and write what was measured."""
    clocks = ("cpu", "wall") if options.processes == 1 else ("wall",)
    rows = []
    for clock in clocks:
        ours, theirs = (statistics.median(entry[side][clock] for entry in rounds) for side in ("ours", "raw"))
        ratio = statistics.median(entry["raw"][clock] / entry["ours"][clock] for entry in rounds)
        rows.append({"clock": clock, "ours": tokens / ours, "raw": tokens / theirs, "ratio": ratio})
    print(f"{documents:,} documents, {size / 1e6:.1f} MB, {tokens:,} tokens, {options.processes} process(es)")
    print("| clock | tokenize_corpus, tokens/s | encode_batch, tokens/s | median ratio | target |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['clock']} | {row['ours']:,.0f} | {row['raw']:,.0f} | {row['ratio']:.1%} | {TARGET:.0%} |")
    once = statistics.median(entry["ours"]["once_cpu"] for entry in rounds)
    print(f"once a run, whatever its size: {once:.1f} s of CPU")
    threads = os.environ.get("RAYON_NUM_THREADS", "default"), os.environ.get("TOKENIZERS_PARALLELISM", "default")
    facts = {"documents": documents, "bytes": size, "tokens": tokens, "processes": options.processes}
    document = {**facts, "threads": threads, "table": rows, "rounds": rounds}
    write_results(options.output, f"tokenize_corpus-{options.processes}", document)


if __name__ == "__main__":
    main()

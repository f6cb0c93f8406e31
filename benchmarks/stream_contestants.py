"""What benchmarks/stream.py times, each in a process of its own: the stream, and datasets.interleave_datasets.

    python benchmarks/stream_contestants.py '{"contestant": "mmbert", ...}'   # prints one line of JSON

The peer reads the same files the fastest way that `datasets` has: one generator a language over the memory-mapped
shards, drawn at the same shares. It gives documents; packed and masked as in transformers' run_mlm.py (group_texts,
DataCollatorForLanguageModeling) it gives what the stream gives, except that rows cut documents where they end.
"""

import gc
import json
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from language_shards import open_stream, plan
from mmbert.data import MlmStream, PackedCollator, TokenShards
from mmbert.modeling.tokenization_mmbert import PreTrainedTokenizerFast, build_tokenizer

OURS, DOCUMENTS, PACKED = "mmbert", "interleave", "interleave, packed"
TOKENS_AN_ITEM = 32 * 1024  # a micro-batch
MAPPED, ANONYMOUS = "RssFile", "RssAnon"


def resident(kind: str) -> int:
    """Return the bytes of one kind that are resident now (Linux), 0 elsewhere."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


class Meter:
    """Time and memory from here on."""

    def __init__(self) -> None:
        gc.collect()
        if Path("/proc/self/clear_refs").is_file():
            Path("/proc/self/clear_refs").write_text("5")  # proc(5): set the peak back to what is resident now
        self.before = {kind: resident(kind) for kind in (MAPPED, ANONYMOUS)}
        self.peak_before = resident("VmHWM")
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self, name: str) -> dict[str, float]:
        """Return seconds and bytes since the beginning."""
        return {
            f"{name}_wall_seconds": time.perf_counter() - self.wall,
            f"{name}_cpu_seconds": time.process_time() - self.cpu,
            f"{name}_peak_bytes": resident("VmHWM") - self.peak_before,
            f"{name}_anonymous_bytes": resident(ANONYMOUS) - self.before[ANONYMOUS],
            f"{name}_mapped_bytes": resident(MAPPED) - self.before[MAPPED],
        }


def run_ours(job: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """Open the stream, read its first item, then read for a while."""
    folder = Path(job["shards"])
    collate = PackedCollator()
    rows = TOKENS_AN_ITEM // job["context"]
    batch_rows = rows * 144
    meter = Meter()
    recipe = plan(folder.parent, context=job["context"], temperature=job["temperature"], rows=batch_rows)
    parts = batch_rows if job["stride"] > 1 else 144
    stream = open_stream(folder, tokenizer, recipe, parts)
    collate([stream[0]])
    found = meter.read("start")
    _ = read_ours(stream, collate, 0.5, 1, 10**3)  # maps most languages, as in a run that has gone on for a while
    meter.cpu = time.process_time()
    tokens = read_ours(stream, collate, job["seconds"], job["stride"], 10**5)
    found |= meter.read("run")
    return {**found, "tokens": tokens, "tokens_a_second": tokens / found["run_cpu_seconds"]}


def read_ours(stream: MlmStream, collate: PackedCollator, seconds: float, stride: int, first: int) -> int:
    """Read every stride-th item for so many seconds of CPU time and return the tokens."""
    until, tokens, place = time.process_time() + seconds, 0, first
    while time.process_time() < until:
        tokens += collate([stream[place]])["input_ids"].numel()
        place += stride
    return tokens


def documents(language: str, directory: str) -> Iterator[dict[str, list[int]]]:
    """Yield the documents of a language, again and again."""
    tokens = np.memmap(f"{directory}/{language}.tokens", dtype="<u4", mode="r")
    offsets = np.memmap(f"{directory}/{language}.offsets", dtype="<i8", mode="r")
    while True:
        for place in range(len(offsets) - 1):
            yield {"input_ids": tokens[offsets[place] : offsets[place + 1]].tolist()}


def run_peer(job: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """Interleave 1,834 generators, read for a while."""
    from datasets import IterableDataset, interleave_datasets

    folder = Path(job["shards"])
    shares = open_stream(folder, tokenizer, plan(folder.parent, context=1024, temperature=job["temperature"]), 1)
    target = shares.readers[0].shares
    # Shares are of tokens, the peer draws documents.
    counts = TokenShards(folder, verify=False)
    weights = np.array([target[tag] * counts.document_counts[tag] / counts.token_counts[tag] for tag in target])
    meter = Meter()
    sources = [
        IterableDataset.from_generator(documents, gen_kwargs={"language": tag, "directory": str(folder)})
        for tag in target
    ]
    mixed = interleave_datasets(
        sources, probabilities=(weights / weights.sum()).tolist(), seed=21, stopping_strategy="all_exhausted"
    )
    batches = packed(mixed, tokenizer) if job["contestant"] == PACKED else (len(one["input_ids"]) for one in mixed)
    next(batches)
    found = meter.read("start")
    meter.cpu = time.process_time()
    tokens, until = 0, time.process_time() + job["seconds"]
    while time.process_time() < until:
        tokens += next(batches)
    found |= meter.read("run")
    return {**found, "tokens": tokens, "tokens_a_second": tokens / found["run_cpu_seconds"]}


def packed(mixed: Any, tokenizer: PreTrainedTokenizerFast, context: int = 1024) -> Iterator[int]:
    """Pack and mask as run_mlm.py does; yield the tokens of every batch."""
    from transformers import DataCollatorForLanguageModeling

    def group(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
        bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
        joined = list(chain.from_iterable([bos, *ids, eos] for ids in examples["input_ids"]))
        return {"input_ids": [joined[at : at + context] for at in range(0, len(joined) - context + 1, context)]}

    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    rows: list[dict[str, Any]] = []
    for row in mixed.map(group, batched=True, batch_size=1000):
        rows.append(row)
        if len(rows) == TOKENS_AN_ITEM // context:
            yield collate(rows)["input_ids"].numel()
            rows = []


def main() -> None:
    """Run one job and print what it took."""
    job = json.loads(sys.argv[1])
    tokenizer = build_tokenizer(job["tokenizer"])
    found = run_ours(job, tokenizer) if job["contestant"] == OURS else run_peer(job, tokenizer)
    sys.stdout.write("\n" + json.dumps({**job, **found}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Time from start to the first batch at steps 0, 10**6 and 10**9, and what skipping there would take.

    python benchmarks/resume.py --output build/resume      # some minutes
    python benchmarks/resume.py --quick                    # one minute: does it run?

1,833 languages and code, batches of 4,608 rows of 1,024 tokens in 144 parts. Every position is read in a process of its
own; the clock begins after imports, with the tokenizer loaded, and ends with the first collated micro-batch. Skipping
is what a Trainer does on resume: `accelerate.skip_first_batches` walks a map-style dataset's sampler from its
beginning, and an iterable dataset without random access has to read and drop. Both are measured over a few batches and
multiplied.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from language_shards import open_stream, plan, word_list_tokenizer, write_random_shards
from mmbert.data import MlmStream, PackedCollator
from mmbert.evaluation.efficiency.report import conditions
from mmbert.modeling.tokenization_mmbert import build_tokenizer
from support import parser_of, write_results

POSITIONS = (0, 10**6, 10**9)
PARTS = 144
LIMIT = 2.0  # seconds, of the issue
TOKENS = "5000T"  # a phase that has a step 10**9


def stream_of(folder: Path) -> MlmStream:
    """Open the stream from files."""
    tokenizer = build_tokenizer(folder / "words.json")
    recipe = plan(folder, context=1024, temperature=0.3, tokens=TOKENS)
    return open_stream(folder / "shards", tokenizer, recipe, PARTS)


def first_batch(folder: Path, step: int) -> dict[str, float]:
    """Read the first micro-batch of a step, from nothing but files and the tokenizer."""
    tokenizer = build_tokenizer(folder / "words.json")
    wall, cpu = time.perf_counter(), time.process_time()
    recipe = plan(folder, context=1024, temperature=0.3, tokens=TOKENS)
    stream = open_stream(folder / "shards", tokenizer, recipe, PARTS)
    opened = time.process_time()
    item = stream[step * PARTS]
    PackedCollator()([item])
    found = {"step": item.step, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {**found, "opening_cpu": opened - cpu, "reading_cpu": time.process_time() - opened}


def in_child(folder: Path, step: int) -> dict[str, float]:
    """Measure one position in a process of its own."""
    command = [sys.executable, __file__, "--shards", str(folder), "--step", str(step)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise OSError(f"step {step} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def seconds_a_batch(work: Callable[[int], None], batches: int) -> float:
    """Return the CPU seconds that each of so many batches takes."""
    began = time.process_time()
    work(batches)
    return (time.process_time() - began) / batches


def skip(stream: MlmStream) -> Callable[[int], None]:
    """Return what lets accelerate skip so many batches."""
    from accelerate import skip_first_batches
    from torch.utils.data import DataLoader, SequentialSampler

    def work(batches: int) -> None:
        loader = DataLoader(stream, batch_size=1, sampler=SequentialSampler(stream), collate_fn=PackedCollator())
        next(iter(skip_first_batches(loader, batches)))

    return work


def read_and_drop(stream: MlmStream) -> Callable[[int], None]:
    """Return what reads so many micro-batches for nothing."""
    collate = PackedCollator()

    def work(batches: int) -> None:
        for place in range(batches):
            collate([stream[place]])

    return work


def table(found: list[dict[str, float]], skipped: float, dropped: float) -> str:
    """Write what was measured."""
    lines = [
        "| step | mmbert, wall | CPU | of it opening | of it reading | skip_first_batches | read and drop | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in found:
        batches = one["step"] * PARTS
        lines.append(
            f"| {one['step']:,} | {one['wall']:.2f} s | {one['cpu']:.2f} s | {one['opening_cpu']:.2f} s | "
            f"{one['reading_cpu']:.3f} s | {clock(batches * skipped)} | {clock(batches * dropped)} | "
            f"{'reached' if one['cpu'] < LIMIT else 'missed'} |"
        )
    return "\n".join(lines)


def clock(seconds: float) -> str:
    """Write seconds for people."""
    return f"{seconds:.1f} s" if seconds < 120 else str(timedelta(seconds=round(seconds)))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "folder for resume.json and resume.md")
    parser.add_argument("--tokens", type=int, default=50_000_000, help="size of the corpus; 4 bytes each on disk")
    parser.add_argument("--mean-document", type=int, default=500, help="tokens of a document")
    parser.add_argument("--words", type=int, default=256_000, help="vocabulary")
    parser.add_argument("--quick", action="store_true", help="a small corpus, fewer batches skipped")
    parser.add_argument("--shards", type=Path, help="folder for the shards, kept for the next run; a temporary one")
    parser.add_argument("--step", type=int, help="only read this step and print its times as JSON")
    return parser.parse_args()


def main() -> None:
    """Write the shards, measure, print the table."""
    options = parse_options()
    if options.step is not None:
        print(json.dumps(first_batch(options.shards, options.step)))
        return
    if options.quick:
        options.tokens = 10_000_000
    folder = options.shards or Path(tempfile.mkdtemp(prefix="resume-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = word_list_tokenizer(options.words, folder)
        if not (folder / "shards").is_dir():
            write_random_shards(folder / "shards", tokenizer, options.tokens, options.mean_document)
        found = [in_child(folder, step) for step in POSITIONS]
        stream = stream_of(folder)
        skipped = seconds_a_batch(skip(stream), 100_000 if options.quick else 1_000_000)
        dropped = seconds_a_batch(read_and_drop(stream), 100 if options.quick else 1_000)
    finally:
        if not options.shards:
            shutil.rmtree(folder)
    about = (
        f"One thread, corpus of {options.tokens:,} tokens, {options.words:,} words; {1e9 * skipped:.0f} ns to skip and "
        f"{1e3 * dropped:.2f} ms to read one of the {PARTS} micro-batches of a step."
    )
    text = f"{about}\n\n{table(found, skipped, dropped)}"
    content = {"conditions": conditions(quick=options.quick), "date": date.today().isoformat(), "about": about}
    content |= {"rows": found, "skip_seconds_a_batch": skipped, "read_seconds_a_batch": dropped}
    write_results(options.output, "resume", content, text)


if __name__ == "__main__":
    main()

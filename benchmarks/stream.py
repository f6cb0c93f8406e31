"""Speed, start and memory of the stream with 1,833 languages, beside datasets.interleave_datasets over the same shards.

    python benchmarks/stream.py --output build/stream                 # about half an hour on one core
    python benchmarks/stream.py --quick                               # two minutes: does it run?
    python benchmarks/stream.py --tokens 60000000 --mean-document 60  # shorter documents

Prints the tables; writes stream.json, stream.md and stream.png (seen over target share by language). Tokens a second
are of CPU time on one thread, ids uint32 on disk and int64 in the batch, specials included; start is the time from
opening the index to the first collated batch, after imports and with the tokenizer loaded; memory is above that.
Targets are compared by CPU time, which other work on the machine hardly touches.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from language_shards import open_stream, plan, word_list_tokenizer, write_random_shards
from mmbert.data import MlmStream
from mmbert.evaluation.efficiency.report import conditions
from stream_contestants import DOCUMENTS, OURS, PACKED
from stream_picture import draw_shares
from support import parser_of, write_results

# Of the issue.
TOKENS_A_SECOND, START_SECONDS, MEMORY, TIMES_PEER, SHARE_ERROR, SHARE_FROM = 3e6, 2.0, 500e6, 20.0, 0.01, 1e-4


def jobs(options: argparse.Namespace) -> list[dict[str, Any]]:
    """List what runs: contestant, context, temperature, and every how many items one is read."""
    found = [
        {"contestant": OURS, "context": context, "temperature": temperature, "stride": 1}
        for temperature in (1.0, 0.3)
        for context in (1024, 8192)
    ]
    # A rank of 64 with one row a micro-batch deals whole blocks of 64 rows to read one of them.
    found += [{"contestant": OURS, "context": context, "temperature": 1.0, "stride": 64} for context in (1024, 8192)]
    if not options.no_peer:
        found += [
            {"contestant": name, "context": 1024, "temperature": 1.0, "stride": 1} for name in (DOCUMENTS, PACKED)
        ]
    return found


def run_job(job: dict[str, Any], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run one job in a process of its own, on one thread."""
    seconds = options.seconds if job["contestant"] == OURS else options.peer_seconds
    job = {**job, "seconds": seconds, "shards": str(folder / "shards"), "tokenizer": str(folder / "words.json")}
    command = [sys.executable, str(Path(__file__).with_name("stream_contestants.py")), json.dumps(job)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise OSError(f"{job['contestant']} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return {key: value for key, value in found.items() if key not in ("shards", "tokenizer")}


def median(repeats: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of one job's rounds; each has a fresh process, and contestants take turns."""
    numbers = {key for key, value in repeats[0].items() if isinstance(value, float) or key.endswith("_bytes")}
    return {**repeats[0], **{key: statistics.median(one[key] for one in repeats) for key in sorted(numbers)}}


def seen_shares(stream: MlmStream, draws: int) -> dict[str, tuple[float, float]]:
    """Read where the chunks of so many draws lie and count the tokens of each language: (target, seen) share."""
    reader = stream.readers[0]
    first = reader.draws_before(0)
    blocks = round(draws / (reader.draws_before(10**6) - first).sum() * 10**6)
    end = reader.draws_before(blocks)
    tokens = np.zeros(len(first))
    for number in range(len(first)):
        for at in range(int(first[number]), int(end[number]), 50_000):
            draw = np.arange(at, min(at + 50_000, int(end[number])))
            _, _, length = reader.table.locate(np.full_like(draw, number), draw)
            tokens[number] += int(length.sum()) + 2 * len(length)
    seen = tokens / tokens.sum()
    return {tag: (reader.shares[tag], seen[number]) for number, tag in enumerate(reader.table.languages)}


def worst_error(shares: dict[str, tuple[float, float]]) -> tuple[str, float]:
    """Return the language above 0.01 % whose seen share is furthest from its target, and how far, relative."""
    errors = {tag: abs(seen / target - 1) for tag, (target, seen) in shares.items() if target > SHARE_FROM}
    worst = max(errors, key=lambda tag: errors[tag])
    return worst, errors[worst]


def speed_table(rows: list[dict[str, Any]]) -> str:
    """Write the measurements as a table."""
    lines = [
        "| contestant | context | temperature | tokens/s | start, wall | start, CPU | peak of the start |"
        " own memory after the run | mapped shards |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = row["contestant"] + (f", every {row['stride']}th row" if row["stride"] > 1 else "")
        lines.append(
            f"| {name} | {row['context']:,} | {row['temperature']} | {row['tokens_a_second'] / 1e6:.2f} M | "
            f"{row['start_wall_seconds']:.2f} s | {row['start_cpu_seconds']:.2f} s | "
            f"{row['start_peak_bytes'] / 1e6:.0f} MB | "
            f"{row['run_anonymous_bytes'] / 1e6:.0f} MB | {row['run_mapped_bytes'] / 1e6:.0f} MB |"
        )
    return "\n".join(lines)


def targets_table(rows: list[dict[str, Any]], shares: dict[float, dict[str, tuple[float, float]]]) -> str:
    """Write what the project set out to reach, and what was measured."""
    whole = [row for row in rows if row["contestant"] == OURS and row["stride"] == 1]
    slowest = min(row["tokens_a_second"] for row in whole)
    start = max(row["start_cpu_seconds"] for row in whole)
    memory = max(max(row["start_peak_bytes"], row["run_anonymous_bytes"]) for row in whole)
    lines = [
        ("packed, masked tokens/s", ">= 3 M", f"{slowest / 1e6:.1f} M", slowest >= TOKENS_A_SECOND),
        ("start, CPU time", "< 2 s", f"{start:.2f} s", start < START_SECONDS),
        ("memory above imports, without mapped shards", "< 500 MB", f"{memory / 1e6:.0f} MB", memory < MEMORY),
    ]
    ours = next(row["tokens_a_second"] for row in whole if row["context"] == 1024 and row["temperature"] == 1.0)
    for name, words in ((PACKED, "packed and masked"), (DOCUMENTS, "its bare documents")):
        peer = [row["tokens_a_second"] for row in rows if row["contestant"] == name]
        if peer:
            times = ours / peer[0]
            lines.append((f"against interleave_datasets, {words}", ">= 20 x", f"{times:.1f} x", times >= TIMES_PEER))
    for temperature, found in shares.items():
        tag, error = worst_error(found)
        words = f"seen share of every language above 0.01 %, temperature {temperature}"
        lines.append((words, "within 1 %", f"{error:.2%} ({tag})", error < SHARE_ERROR))
    body = [f"| {what} | {limit} | {got} | {'reached' if ok else 'missed'} |" for what, limit, got, ok in lines]
    return "\n".join(["| target | limit | measured | |", "|---|---|---|---|", *body])


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "folder for stream.json, stream.md and stream.png")
    parser.add_argument("--tokens", type=int, default=100_000_000, help="size of the corpus; 4 bytes each on disk")
    parser.add_argument("--mean-document", type=int, default=500, help="tokens of a document")
    parser.add_argument("--words", type=int, default=256_000, help="vocabulary")
    parser.add_argument("--draws", type=int, default=10_000_000, help="draws to count seen shares over")
    parser.add_argument("--seconds", type=float, default=10.0, help="CPU seconds to read for")
    parser.add_argument("--peer-seconds", type=float, default=20.0, help="CPU seconds to let the peer read for")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured; medians are told")
    parser.add_argument("--no-peer", action="store_true", help="leave interleave_datasets out; it takes a minute")
    parser.add_argument("--quick", action="store_true", help="a fifth of the corpus, short measurements")
    parser.add_argument("--shards", type=Path, help="folder for the shards, kept for the next run; a temporary one")
    return parser.parse_args()


def main() -> None:
    """Write the shards, measure, print the tables."""
    options = parse_options()
    if options.quick:
        options.tokens, options.draws, options.rounds = 20_000_000, 500_000, 1
        options.seconds, options.peer_seconds = 2.0, 4.0
    folder = options.shards or Path(tempfile.mkdtemp(prefix="stream-"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = word_list_tokenizer(options.words, folder)
        if not (folder / "shards").is_dir():
            write_random_shards(folder / "shards", tokenizer, options.tokens, options.mean_document)
        rounds = []
        for number in range(options.rounds):
            rounds.append([])
            for job in jobs(options):
                rounds[-1].append(run_job(job, folder, options))
                print(f"round {number}: {speed_table(rounds[-1][-1:]).splitlines()[-1]}", flush=True)
        rows = [median(repeats) for repeats in zip(*rounds, strict=True)]
        shares = {}
        for temperature in (1.0, 0.3):
            recipe = plan(folder, context=1024, temperature=temperature)
            shares[temperature] = seen_shares(open_stream(folder / "shards", tokenizer, recipe, 1), options.draws)
        tell(rows, shares, options)
    finally:
        if not options.shards:
            shutil.rmtree(folder)


def tell(rows: list[dict[str, Any]], shares: dict[float, dict[str, Any]], options: argparse.Namespace) -> None:
    """Print the tables, and write them with JSON and picture."""
    about = (
        f"One thread, corpus of {options.tokens:,} tokens, documents of {options.mean_document} on average, "
        f"{options.words:,} words, {options.draws:,} draws for the shares."
    )
    text = f"{about}\n\n{speed_table(rows)}\n\n{targets_table(rows, shares)}"
    if options.quick:
        text = "A quick run: it shows that everything works, not how fast it is.\n\n" + text
    content = {"conditions": conditions(quick=options.quick), "date": date.today().isoformat(), "about": about}
    content |= {"rows": rows, "shares": {str(t): found for t, found in shares.items()}}
    write_results(options.output, "stream", content, text)
    if options.output:
        draw_shares(shares, options.output / "stream.png", options.draws)


if __name__ == "__main__":
    main()

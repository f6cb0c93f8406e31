"""Time and memory of one masked-LM training step: mmbert against stock ModernBERT with dense and with sparse logits.

    python benchmarks/train_step.py --output build/train            # base and small, rows of 1,024
    python benchmarks/train_step.py --long --output build/train     # memory at one row of 8,192 too
    python benchmarks/train_step.py --quick                         # tiny networks: does it run?

The vocabulary has its real 256,000 words. A step is forward and backward over full rows, 30 % of the tokens masked;
with --adamw also the optimizer's. Time is taken in turns, memory in a process for each contestant. Dense logits take 4
bytes x rows x length x vocabulary, several times over: 2 rows of 1,024 are 2.1 GB a copy.
"""

import argparse
import logging
from dataclasses import asdict
from datetime import date
from typing import Any

from mmbert.common.progress import Progress
from mmbert.evaluation.efficiency.memory import Peak
from mmbert.evaluation.efficiency.report import conditions
from mmbert.evaluation.efficiency.timing import Timing, clock_for, interleave, with_threads
from support import parser_of, write_results
from training_steps import DENSE, OURS, PACKED, SPARSE, Step, build, peak_of, require_memory, step_of

# Of the issue: speed and memory against stock with dense logits, and what 8,192 tokens may take at base size in fp32.
FASTER, MEMORY_SHARE = 2.5, 0.25
LONG, FORWARD_GIGABYTES, STEP_GIGABYTES = 8192, 2.5, 6.0


def time_steps(steps: list[Step], options: argparse.Namespace, title: str) -> list[Timing]:
    """Time the steps in turns, after checking that all compute the same loss."""
    for step in steps:
        require_memory(step)
    calls = [step_of(step, *built) for step, built in zip(steps, build(steps), strict=True)]
    if not options.adamw:
        require_equal_losses(steps, [call() for call in calls])
    with with_threads(options.threads), Progress(title, interval=60) as bar:
        timings = interleave(
            dict(enumerate(calls)), rounds=options.rounds, seconds=options.seconds, tell=bar.update_time
        )
    return [timings[number] for number in range(len(steps))]


def require_equal_losses(steps: list[Step], losses: list[float | None]) -> None:
    """A race between networks that compute different things says nothing."""
    tolerance = 1e-3 if steps[0].dtype == "float32" else 5e-2
    for step, loss in zip(steps, losses, strict=True):
        if loss is None or losses[0] is None or not abs(loss - losses[0]) <= tolerance * abs(losses[0]):
            raise ValueError(f"the loss of {step.network} is {loss}, that of {steps[0].network} {losses[0]}")


def short_rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure rows of 1,024, all contestants in turns."""
    found = []
    length = 64 if options.quick else options.length
    for size in options.sizes:
        flags = {"checkpointing": options.checkpointing, "adamw": options.adamw, "quick": options.quick}
        steps = [Step(name, size, options.dtype, options.rows, length, **flags) for name in options.networks]
        timings = time_steps(steps, options, f"training step, {size}")
        for step, timing in zip(steps, timings, strict=True):
            found.append(result(step, timing, None if options.no_memory else peak_of(step, options.threads), options))
    return found


def long_row(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure memory, and the time of one pass, at one row of 8,192 with mmbert."""
    length = 256 if options.quick else LONG
    found = []
    for size in options.sizes:
        for flags in ({"backward": False}, {"checkpointing": True}):
            step = Step(OURS, size, options.dtype, 1, length, quick=options.quick, **flags)
            logging.info("one row of %d, %s, %s", length, size, step.describe())
            found.append(result(step, None, peak_of(step, options.threads), options))
    return found


def result(step: Step, timing: Timing | None, peak: Peak | None, options: argparse.Namespace) -> dict[str, Any]:
    """Put what was measured into plain data."""
    seconds = timing.median(clock_for(options.threads)) if timing else (peak.cpu_seconds if peak else None)
    return {
        **asdict(step),
        "work": step.describe(),
        "threads": options.threads,
        "rounds": len(timing.cpu) if timing else 0,
        "seconds": seconds,
        "tokens_per_second": step.rows * step.length / seconds if seconds else None,
        "peak_total": peak.total if peak else None,
        "peak_over_weights": peak.over_weights if peak else None,
    }


def steps_table(results: list[dict[str, Any]]) -> str:
    """Write what was measured as a Markdown table."""
    lines = [
        "| network | size | dtype | rows | work | threads | seconds | tokens/s | speed against dense | "
        "peak, in total | peak over weights | rounds |",
        "|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for one in results:
        dense = dense_of(one, results)
        faster = f"{dense['seconds'] / one['seconds']:.2f}x" if dense and one["network"] != DENSE else ""
        cells = [one["network"], one["size"], one["dtype"], f"{one['rows']} x {one['length']:,}", one["work"]]
        cells += [str(one["threads"]), f"{one['seconds']:.2f}", f"{one['tokens_per_second']:,.0f}", faster]
        cells += [
            gigabytes(one["peak_total"]),
            gigabytes(one["peak_over_weights"]),
            str(one["rounds"] or "1, memory's"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def dense_of(one: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Find stock with dense logits under the same conditions, if it was measured."""
    same = ("size", "dtype", "rows", "length", "work", "threads", "quick")
    found = (other for other in results if other["network"] == DENSE and all(other[key] == one[key] for key in same))
    return next(found, None)


def gigabytes(size: float | None) -> str:
    """Write a number of bytes."""
    return "" if size is None else f"{size / 1e9:.2f} GB"


def targets_table(results: list[dict[str, Any]]) -> str:
    """Write the targets that these results can be held against."""
    lines = ["| target | limit | measured | verdict |", "|---|---:|---:|---|"]
    for one in results:
        name, dense = f"{one['network']} {one['size']} {one['dtype']}, {one['work']}", dense_of(one, results)
        if one["network"] == OURS and dense:
            faster = dense["seconds"] / one["seconds"]
            lines.append(
                line(f"{name}: speed against dense logits", f">= {FASTER}x", f"{faster:.2f}x", faster >= FASTER)
            )
            for kind in ("peak_over_weights", "peak_total"):
                if one[kind] is not None and dense[kind] is not None:
                    share = one[kind] / dense[kind]
                    words = f"{name}: {kind.replace('_', ' ')} against dense logits"
                    lines.append(line(words, f"<= {MEMORY_SHARE}", f"{share:.2f}", share <= MEMORY_SHARE))
        if one["length"] == LONG and one["size"] == "base" and one["dtype"] == "float32":
            kind, limit = (
                ("peak_total", STEP_GIGABYTES) if one["backward"] else ("peak_over_weights", FORWARD_GIGABYTES)
            )
            words = f"{name}, one row of {LONG:,}: {kind.replace('_', ' ')}"
            lines.append(line(words, f"< {limit} GB", gigabytes(one[kind]), one[kind] < limit * 1e9))
    return "\n".join(lines)


def line(target: str, limit: str, measured: str, reached: bool) -> str:
    """Write one line of the targets' table."""
    return f"| {target} | {limit} | {measured} | {'reached' if reached else 'missed'} |"


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of(__doc__, "folder for train_step.json and train_step.md")
    everyone = [OURS, PACKED, DENSE, SPARSE]
    parser.add_argument("--networks", nargs="+", choices=everyone, default=everyone)
    parser.add_argument("--sizes", nargs="+", choices=["base", "small"], default=["base", "small"])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", type=int, default=2, help="rows of a batch")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a row")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, after one that is not timed")
    parser.add_argument("--seconds", type=float, default=120.0, help="no more rounds after so long, once there are two")
    parser.add_argument("--adamw", action="store_true", help="make the optimizer's step too")
    parser.add_argument("--checkpointing", action="store_true", help="recompute activations in the backward pass")
    parser.add_argument("--long", action="store_true", help="also measure memory at one row of 8,192, mmbert only")
    parser.add_argument("--no-short", action="store_true", help="leave the rows of --length out")
    parser.add_argument("--no-memory", action="store_true", help="leave peak memory of the short rows out")
    parser.add_argument("--quick", action="store_true", help="tiny networks, two rounds")
    return parser.parse_args()


def main() -> None:
    """Measure, print the tables, and write them."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    options = parse_options()
    if options.quick:
        options.rounds = 2
    results = [*([] if options.no_short else short_rows(options)), *(long_row(options) if options.long else [])]
    text = f"{steps_table(results)}\n\n{targets_table(results)}"
    if options.quick:
        text = "A quick run of tiny networks: it shows that everything works, not how fast it is.\n\n" + text
    content = {"conditions": conditions(), "date": date.today().isoformat(), "rows": results}
    write_results(options.output, "train_step", content, text)


if __name__ == "__main__":
    main()

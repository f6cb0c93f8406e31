"""Whether time and memory stay flat: a long `mmbert embed` and ten thousand steps of `mmbert pretrain`, watched.

    python benchmarks/soak.py --output build/soak

Both run as processes of their own on tiny networks, on one thread. At every tenth of the way, as the files that they
write show it, seconds of their processor and memory that they hold (Linux) are noted. Training is planned for a tenth
more and ended after the last mark, because a run that is over draws pictures, which take 45 MB. Flat is: in the second
half no unit of work takes more than 1.2 times that of the first half, without the first tenth, and memory grows by less
than 5 % and 20 MB from the second tenth to the end. Writes soak.json and soak.md; exit status 1 if anything grows.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from kill_commands import Kind, prepare, start, status
from mmbert.common.files import read_json
from mmbert.model_cards.markdown import markdown_table
from support import parser_of, write_results

TENTHS = 10
RECIPE = """
name: soak
seed: 7
model: {{size: small, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2}}
data: {{corpus: corpus.jsonl, vocabulary_size: 400, heldout_fraction: 0.1}}
phases:
  - {{name: pretrain, languages: [eng_Latn], temperature: 0.7, masking_ratio: 0.3, context_length: 16,
     rope_theta: 10000, tokens: {tokens}, batch_rows: 4, learning_rate: 2e-3, warmup_tokens: 512}}
"""


@dataclass(frozen=True)
class Mark:
    """How far a process was, with the seconds of a processor that it had used and the megabytes that it held."""

    done: int
    seconds: float
    megabytes: float


def used(process: int) -> tuple[float, float]:
    """Seconds of a processor and megabytes of a process that runs."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return seconds, int(fields[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def rows_written(home: Path) -> int:
    """Rows of an unfinished vector file that count."""
    path = home / "embed" / ".out.json.partial"
    return int(read_json(path)["rows"]) if path.is_file() else 0


def steps_saved(home: Path) -> int:
    """The last whole checkpoint."""
    found = home.glob("pretrain/out/stable/checkpoint-*/run_identity.json")
    return max((int(path.parent.name.split("-")[1]) for path in found), default=0)


def watch(plan: Kind, home: Path, name: str, progress: Callable[[Path], int], most: int) -> list[Mark]:
    """Run, note every step forward until the most is done, and end it there."""
    process, marks = start(plan, home, name), list[Mark]()
    while (ended := status(process)) is None:
        try:
            done = min(progress(home), most)
        except OSError:  # it went away between two looks
            done = 0
        if done > (marks[-1].done if marks else 0):
            marks.append(Mark(done, *used(process)))
        if done == most:
            os.killpg(process, signal.SIGKILL)
            status(process, wait=True)
            break
        time.sleep(0.02)
    if ended or len(marks) < 4:
        raise ValueError(f"{name} ended with status {ended} after {len(marks)} marks; see {home / name}-0.log")
    return marks


def summary_of(marks: list[Mark]) -> dict[str, Any]:
    """What a unit of work takes in each part, in milliseconds, and whether time and memory are flat."""
    parts = [1000 * (after.seconds - before.seconds) / (after.done - before.done) for before, after in pairwise(marks)]
    half = len(parts) // 2
    slower = (sum(parts[half:]) / len(parts[half:])) / (sum(parts[:half]) / half)
    grown = marks[-1].megabytes - marks[1].megabytes
    return {
        "marks": [asdict(mark) for mark in marks],
        "milliseconds": [round(part, 3) for part in parts],
        "second_half_to_first": round(slower, 3),
        "megabytes_grown": round(grown, 1),
        "flat": slower < 1.2 and (grown < 20 or grown < 0.05 * marks[1].megabytes),
    }


def main() -> int:
    """Run both and write what was found."""
    parser = parser_of(__doc__, "folder for soak.json and soak.md")
    parser.add_argument("--texts", type=int, default=100_000, help="to embed; 8,192 at a time")
    parser.add_argument("--steps", type=int, default=10_000, help="to train")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if not (child := os.fork()):  # a process that has computed cannot be forked into another that does
            prepare(home)
            os._exit(0)
        if status(child, wait=True):
            return 1
        lines = (home / "texts.txt").read_text(encoding="utf-8").splitlines()
        texts = "\n".join(lines[number % len(lines)] for number in range(options.texts))
        (home / "texts.txt").write_text(texts, encoding="utf-8")
        every = max(1, options.steps // TENTHS)
        (home / "recipe.yaml").write_text(RECIPE.format(tokens=(options.steps + every) * 4 * 16), encoding="utf-8")
        embed = ["mmbert", "embed", "model", "texts.txt", "OUT.npy", "--dtype", "float32"]
        train = ["mmbert", "pretrain", "--recipe", "recipe.yaml", "--output_dir", "OUT", "--use_cpu"]
        train += ["--save_steps", str(every), "--logging_steps", str(every), "--save_total_limit", "2"]
        found = {
            "texts": summary_of(watch(Kind(embed, lambda place: {}), home, "embed", rows_written, options.texts)),
            "steps": summary_of(watch(Kind(train, lambda place: {}), home, "pretrain", steps_saved, options.steps)),
        }
    header = ["", "done", "memory, MB", "ms of a processor for each since the row above"]
    rows = [
        (unit, f"{mark['done']:,}", f"{mark['megabytes']:.0f}", cost)
        for unit, one in found.items()
        for mark, cost in zip(one["marks"], ["", *one["milliseconds"]], strict=True)
    ]
    write_results(options.output, "soak", found, markdown_table(header, rows))
    return int(not all(one["flat"] for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())

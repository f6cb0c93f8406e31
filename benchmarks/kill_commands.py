"""Every command that writes, killed without warning, then given again: the result must be the same.

    python benchmarks/kill_commands.py --output build/kills --kills 20 --kinds tokenize embed finetune

Each command runs once in peace. Then, for every kill, it runs in a fresh folder, its processes are ended by SIGKILL at
a moment drawn between just before the first file appeared and the end of the run in peace, and the same command is
given again. Compared are the bytes of what it made: weights, shards, vectors, and of an index its passages and vectors.
Writes kills.json and kills.md; exit status 1 if anything differs or a second call fails.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, train_tokenizer
from mmbert.modeling.tokenization_mmbert import save_tokenizer

ROOT = Path(__file__).resolve().parents[1]
WORDS = "the house stands near a river and every morning people cross the old bridge to work".split()
RECIPE = """
name: tiny
seed: 7
model: {size: small, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 2}
data: {corpus: corpus.jsonl, vocabulary_size: 400, heldout_fraction: 0.1}
phases:
  - {name: pretrain, languages: [eng_Latn], temperature: 0.7, masking_ratio: 0.3, context_length: 32,
     rope_theta: 10000, tokens: 20480, batch_rows: 8, learning_rate: 2e-3, warmup_tokens: 512}
"""
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
MMBERT = [sys.executable, "-m", "mmbert"]
PRETRAIN = ["--recipe", "recipe.yaml", "--output_dir", "OUT", "--use_cpu", "--save_steps", "5", "--logging_steps", "5"]


@dataclass(frozen=True)
class Kind:
    """A command, with OUT for the place that it writes, and what is compared of it."""

    command: list[str]
    result: Callable[[Path], dict[str, str]]


@dataclass
class Count:
    """What came of the kills of a command."""

    kills: int = 0
    finished: int = 0
    same: int = 0
    ended_before: int = 0
    failed: list[str] = field(default_factory=list)


def digests(pattern: str) -> Callable[[Path], dict[str, str]]:
    """Hash the files of a pattern, which must be there."""

    def result(place: Path) -> dict[str, str]:
        home = place if place.is_dir() else place.parent
        found = {
            str(p.relative_to(home)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(home.glob(pattern))
        }
        if not found:
            raise ValueError(f"{place} has no {pattern}")
        return found

    return result


def of_index(place: Path) -> dict[str, str]:
    """Hash an index's documents with their passages, and its vectors."""
    with sqlite3.connect(place / "index.db") as database:
        order = "SELECT name, digest, start, text FROM documents JOIN passages ON documents.id = document ORDER BY 1, 3"
        rows = database.execute(order).fetchall()
    return {"passages": hashlib.sha256(json.dumps(rows).encode()).hexdigest(), **digests("vectors-*.npy")(place)}


def kind(line: str, result: Callable[[Path], dict[str, str]]) -> Kind:
    """A command of mmbert."""
    return Kind([*MMBERT, *line.split()], result)


WEIGHTS = digests("**/model.safetensors")
STABLE = digests("stable/final/model.safetensors")
KINDS = {
    "tokenize": kind("tokenize corpus.jsonl OUT --tokenizer model --processes 2", digests("*/*.tokens")),
    "embed": kind("embed model texts.txt OUT.npy --dtype float32", digests("*.npy")),
    "search index": kind("search index documents.jsonl --output OUT --model model", of_index),
    "finetune": kind(
        "finetune classification --model model --train rows.jsonl --test rows.jsonl --output_dir OUT --seeds 1 "
        "--max_steps 60 --save_steps 5 --use_cpu",
        WEIGHTS,
    ),
    "train embedder": kind(
        "train embedder --model model --train pairs.jsonl --output OUT --max_steps 40 --device cpu", WEIGHTS
    ),
    "pretrain": Kind([*MMBERT, "pretrain", *PRETRAIN], STABLE),
    "pretrain, 2 ranks": Kind([*TORCHRUN, str(ROOT / "examples" / "run_mlm.py"), *PRETRAIN], STABLE),
}


def prepare(home: Path) -> None:
    """Write what the commands read."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(5, 20))) + f" {number}" for number in range(3000)]
    tokenizer = train_tokenizer(texts, 400)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2}
    MmBertForMaskedLM(MmBertConfig.small(**shape, vocab_size=len(tokenizer))).save_pretrained(home / "model")
    save_tokenizer(tokenizer, home / "model")
    (home / "texts.txt").write_text("\n".join(texts * 6), encoding="utf-8")
    (home / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    rows = {
        "corpus": [{"lang": "eng_Latn", "text": text} for text in texts * 3],
        "documents": [{"id": str(number), "text": text} for number, text in enumerate(texts)],
        "rows": [{"text": text, "label": "even" if len(text) % 2 else "odd"} for text in texts[:400]],
        "pairs": [{"anchor": text, "positive": text[::-1]} for text in texts[:800]],
    }
    for name, entries in rows.items():
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        (home / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def start(plan: Kind, home: Path, name: str) -> subprocess.Popen[bytes]:
    """Start the command, or go on with it; what it says goes to a file."""
    words = [word.replace("OUT", f"{name}/out") if word.startswith("OUT") else word for word in plan.command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    (home / name).mkdir(exist_ok=True)
    with (home / f"{name}.log").open("ab") as log:
        return subprocess.Popen(words, stdout=log, stderr=log, env=environment, cwd=home, start_new_session=True)


def made(plan: Kind, home: Path, name: str) -> dict[str, str]:
    """What the command has made."""
    out = home / name / "out"
    return plan.result(out if out.exists() else home / name)


def in_peace(plan: Kind, home: Path, name: str) -> tuple[dict[str, str], float, float]:
    """Run once; the result, the seconds until something was written, and those until the end."""
    began, first = time.monotonic(), 0.0
    process = start(plan, home, name)
    while process.poll() is None:
        if not first and any((home / name).iterdir()):
            first = time.monotonic() - began
        time.sleep(0.05)
    if process.returncode:
        raise ValueError(f"it failed in peace; see {home / name}.log")
    return made(plan, home, name), first, time.monotonic() - began


def kill_once(plan: Kind, home: Path, name: str, seconds: float, wanted: dict[str, str], count: Count) -> None:
    """Kill after so many seconds, give the command again, compare."""
    process = start(plan, home, name)
    try:
        process.wait(seconds)
        count.ended_before += 1
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        count.kills += 1
        if whole_already(plan, home, name, wanted):  # what is finished is read back, or refused as a folder in use
            count.finished += 1
        elif (status := start(plan, home, name).wait()) != 0:
            count.failed.append(f"{name}: status {status} after a kill at {seconds:.1f} s")
        elif made(plan, home, name) != wanted:
            count.failed.append(f"{name}: another result after a kill at {seconds:.1f} s")
        else:
            count.same += 1


def whole_already(plan: Kind, home: Path, name: str, wanted: dict[str, str]) -> bool:
    """Whether the command was killed after its result was there."""
    try:
        return made(plan, home, name) == wanted
    except (ValueError, OSError, sqlite3.Error):
        return False


def main() -> int:
    """Kill, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of all runs, absent or empty")
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    home, chance, counts = options.output.resolve(), random.Random(options.seed), dict[str, Count]()
    prepare(home)
    for name in options.kinds:
        plan, count = KINDS[name], counts.setdefault(name, Count())
        folder = name.replace(" ", "-").replace(",", "")
        wanted, first, whole = in_peace(plan, home, f"{folder}-peace")
        for number in range(options.kills):
            moment = chance.uniform(0.9 * first, 0.97 * whole)
            kill_once(plan, home, f"{folder}-{number}", moment, wanted, count)
            print(
                f"{name}: {count.finished} + {count.same} of {count.kills} kills ended with the same bytes", flush=True
            )
            report = {name: asdict(one) for name, one in counts.items()}
            (home / "kills.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    lines = ["| command | kills | result there already | same result after the second call |", "|---|---:|---:|---:|"]
    lines += [f"| {name} | {one.kills} | {one.finished} | {one.same} |" for name, one in counts.items()]
    (home / "kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join([*lines, *(told for one in counts.values() for told in one.failed)]))
    return int(any(one.failed for one in counts.values()))


if __name__ == "__main__":
    sys.exit(main())

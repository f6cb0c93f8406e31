"""Every command that writes, killed without warning, then given again: the result must be the same.

    python benchmarks/kill_commands.py --output build/kills --kills 20 --kinds tokenize embed finetune

Each command runs once in peace, and how often its folder changes is counted. Then, for every kill, it runs in a fresh
folder and all of its processes are ended by SIGKILL a moment after one of these changes, drawn anew each time, so that
kills lie all over the work however busy the machine is. The same command is given again. Compared are the bytes of what
it made: weights, shards, vectors, and of an index its passages and vectors. Commands run in forks of this process,
which has only imported; ranks are two of them, joined by gloo. Writes kills.json and kills.md; exit status 1 if
anything differs or a second call fails.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import pairwise, product
from pathlib import Path

import mmbert.cli
import sentence_transformers
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, train_tokenizer
from mmbert.model_cards.markdown import markdown_table
from mmbert.modeling.tokenization_mmbert import save_tokenizer

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "trainers")]
from rank_worker import let_accelerate_shard_on_a_cpu  # noqa: E402
from tests_support import become  # noqa: E402

IMPORTED = (mmbert.cli, sentence_transformers)  # before the first fork
WORDS = "the house stands near a river and every morning people cross the old bridge to work".split()
RECIPE = """
name: tiny
seed: 7
model: {size: small, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 2}
data: {corpus: corpus.jsonl, vocabulary_size: 400, heldout_fraction: 0.1}
phases:
  - {name: pretrain, languages: [eng_Latn], temperature: 0.7, masking_ratio: 0.3, context_length: 32,
     rope_theta: 10000, tokens: 10240, batch_rows: 8, learning_rate: 2e-3, warmup_tokens: 512}
"""
PRETRAIN = ["--recipe", "recipe.yaml", "--output_dir", "OUT", "--use_cpu", "--save_steps", "5", "--logging_steps", "5"]
RUN_MLM = str(ROOT / "examples" / "run_mlm.py")
FSDP = ["--fsdp_config", '{"version": 2, "reshard_after_forward": true}']


@dataclass(frozen=True)
class Kind:
    """A command, with OUT for the place that it writes, what is compared of it, and on how many ranks it runs."""

    command: list[str]
    result: Callable[[Path], dict[str, str]]
    ranks: int = 1
    sharded: bool = False


@dataclass
class Count:
    """What came of the kills of a command."""

    changes: int = 0
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
    return Kind(["mmbert", *line.split()], result)


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
    "pretrain": Kind(["mmbert", "pretrain", *PRETRAIN], STABLE),
    "pretrain, 2 ranks DDP": Kind([RUN_MLM, *PRETRAIN], STABLE, ranks=2),
    "pretrain, 2 ranks FSDP2": Kind([RUN_MLM, *PRETRAIN, "--fsdp", "full_shard", *FSDP], STABLE, ranks=2, sharded=True),
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
    short = [" ".join(draw.choices(WORDS, k=2)) for _ in range(40_960)]  # five windows of `mmbert embed`
    (home / "texts.txt").write_text("\n".join(short), encoding="utf-8")
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


def start(plan: Kind, home: Path, name: str) -> int:
    """Fork into the command, or into its ranks, in a process group of its own; what it says goes to files."""
    words = [word.replace("OUT", f"{name}/out") if word.startswith("OUT") else word for word in plan.command]
    (home / name).mkdir(exist_ok=True)
    if leader := os.fork():
        return leader
    os.setsid()
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    if plan.ranks > 1:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        variables |= {**address, "WORLD_SIZE": str(plan.ranks), "LOCAL_WORLD_SIZE": str(plan.ranks)}
        started = []
        for rank in range(plan.ranks):
            if not (child := os.fork()):
                variables |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                break
            started.append(child)
        else:
            statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in started]
            os._exit(int(any(statuses)))
    torch.set_num_threads(1)
    if plan.sharded:
        let_accelerate_shard_on_a_cpu()
    log = str(home / f"{name}-{variables.get('RANK', '0')}.log")
    become(words, home, variables, log, log)
    raise AssertionError("it ends with the command")


def status(process: int, wait: bool = False) -> int | None:
    """How a command ended, None if it still runs."""
    found, ended = os.waitpid(process, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(ended) if found else None


def made(plan: Kind, home: Path, name: str) -> dict[str, str]:
    """What the command has made."""
    out = home / name / "out"
    return plan.result(out if out.exists() else home / name)


def look(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of all files of a folder, as one look gives them."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                stat = os.lstat(path := f"{place}/{name}")
                found.append((path, stat.st_size, stat.st_mtime_ns))
    return sorted(found)


def changes(folder: Path, process: int) -> Iterator[int]:
    """Count the changes of a folder while a process runs; a process that fails ends everything."""
    seen, count = look(folder), 0
    while (ended := status(process)) is None:
        if (now := look(folder)) != seen:
            seen, count = now, count + 1
            yield count
        time.sleep(0.005)
    if ended:
        raise ValueError(f"it failed before any kill; see {folder}-0.log")


def in_peace(plan: Kind, home: Path, name: str) -> tuple[dict[str, str], list[float]]:
    """Run once; the result, and the seconds between each change of the folder and the next."""
    moments = [time.monotonic() for _ in changes(home / name, start(plan, home, name))]
    return made(plan, home, name), [after - before for before, after in pairwise(moments)]


def kill_once(
    plan: Kind, home: Path, name: str, change: int, pause: float, wanted: dict[str, str], count: Count
) -> None:
    """Kill so many seconds after this change of the folder, give the command again, compare."""
    process = start(plan, home, name)
    if next((True for seen in changes(home / name, process) if seen == change), False):
        time.sleep(pause)
        if status(process) is None:
            os.killpg(process, signal.SIGKILL)
            status(process, wait=True)
            count.kills += 1
            _go_on(plan, home, name, f"{pause:.2f} s after change {change}", wanted, count)
            return
    count.ended_before += 1


def _go_on(plan: Kind, home: Path, name: str, moment: str, wanted: dict[str, str], count: Count) -> None:
    if whole_already(plan, home, name, wanted):  # what is finished is read back, or refused as a folder in use
        count.finished += 1
    elif (ended := status(start(plan, home, name), wait=True)) != 0:
        count.failed.append(f"{name}: status {ended} after a kill {moment}")
    elif made(plan, home, name) != wanted:
        count.failed.append(f"{name}: another result after a kill {moment}")
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
    if not (child := os.fork()):  # a process that has computed cannot be forked into another that does
        prepare(home)
        os._exit(0)
    if status(child, wait=True):
        return 1
    peace = {}
    for number, name in product(range(options.kills), options.kinds):
        plan, count, folder = KINDS[name], counts.setdefault(name, Count()), name.replace(" ", "-").replace(",", "")
        if name not in peace:
            peace[name] = in_peace(plan, home, f"{folder}-peace")
            count.changes = len(peace[name][1]) + 1
        wanted, gaps = peace[name]
        change = chance.randrange(len(gaps))
        kill_once(plan, home, f"{folder}-{number}", change + 1, chance.uniform(0, gaps[change]), wanted, count)
        print(f"{name}: {count.finished} + {count.same} of {count.kills} kills ended with the same bytes", flush=True)
        report = {name: asdict(one) for name, one in counts.items()}
        (home / "kills.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        if not any(one.startswith(f"{folder}-{number}:") for one in count.failed):
            shutil.rmtree(home / f"{folder}-{number}")
    header = ["command", "kills", "changes to choose from", "result there already", "same result after the second call"]
    rows = [(name, one.kills, one.changes, one.finished, one.same) for name, one in counts.items()]
    lines = [markdown_table(header, rows)]
    (home / "kills.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join([*lines, *(told for one in counts.values() for told in one.failed)]))
    return int(any(one.failed for one in counts.values()))


if __name__ == "__main__":
    sys.exit(main())

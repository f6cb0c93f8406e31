"""What only a GPU can answer, within ten minutes: tests/gpu, then encoding, masked-LM steps and fine-tuning in bf16.

    python benchmarks/gpu.py --output build/gpu        # on the machine with the GPU; it needs no network
    python benchmarks/gpu.py --dry-run                 # tiny networks on the CPU, half a minute: does it run?
    python benchmarks/gpu.py --only encode --settings variable-512 --output build/gpu

Wheels beside a torch built for CUDA: transformers, tokenizers, safetensors, huggingface-hub, accelerate, numpy, regex,
pyyaml, packaging, filelock, fsspec, tqdm, psutil, typer and what they need; pytest for the checks; flash-attn if its
kernels are to be measured too. mmbert itself need not be installed: a link called mmbert to this repository, in a
folder on PYTHONPATH, does.

Networks: ours with torch's varlen kernel (sdpa), with FlashAttention, and with neither (blocks of SDPA); stock
ModernBERT of the same shape, with SDPA and with FlashAttention; XLM-R base's shape, up to 512 tokens. Settings are
those of encode.py with more rows. A time is the median of wall times, to the end of the last kernel. `of the card` is
useful operations over what one large matrix product reaches in that time. The peak is torch's, weights included.

gpu.json is written after every measurement. One that takes longer than its share, runs out of memory or fails is noted
and the next one begins; what there is no time for is noted as skipped.
"""

import argparse
import contextlib
import functools
import gc
import importlib
import logging
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import fine_tuning
import torch
import training_steps
from mmbert.common.files import write_json
from mmbert.evaluation.efficiency.models import OURS, STOCK, XLM_R, Builder, Entry, batch_for, forward
from mmbert.evaluation.efficiency.report import conditions
from mmbert.evaluation.efficiency.settings import SETTINGS, Setting
from mmbert.evaluation.efficiency.timing import interleave
from mmbert.model_cards.markdown import markdown_table
from mmbert.modeling.flops import FORWARD_AND_BACKWARD, EncoderShape, training_flops, useful_flops
from support import options_of
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers.utils import is_flash_attn_2_available

REPOSITORY = Path(__file__).resolve().parent.parent
Row = dict[str, Any]
Turns = Iterator[tuple["Network", Callable[[], Row]]]
log = logging.getLogger("gpu")
GROUPS = ("checks", "encode", "train", "finetune")
LIMITS = {"checks": 150.0, "encode": 20.0, "train": 25.0, "finetune": 25.0}  # seconds that one measurement may take
ROWS = {"encode": 8, "train": 1, "finetune": 2}  # times the rows of a setting for processors
FLASH, BLOCKS = "flash_attention_2", "blocks"
HEADER = (
    "work",
    "setting",
    "network",
    "attention",
    "tokens/s",
    "against stock",
    "ms",
    "peak GB",
    "of the card",
    "note",
)


@dataclass(frozen=True)
class Network:
    """A network and how it attends: `sdpa` (ours: torch's varlen kernel), `blocks` or `flash_attention_2`."""

    name: str
    attention: str = "sdpa"

    def attends(self, model: Any) -> contextlib.AbstractContextManager[Any]:
        """Have a model attend so in the block."""
        model.set_attn_implementation("sdpa" if self.attention == BLOCKS else self.attention)
        if self.attention == BLOCKS:  # without torch's flash kernels ours cuts the attention into blocks
            return sdpa_kernel([SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH])
        return contextlib.nullcontext()


class Journal:
    """Rows of what was measured, written after each; keeps to the time there is."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options, self.device, self.rows = options, device, list[Row]()
        self.began = time.monotonic()
        self.rate: float | None = None  # of the card, operations a second in bf16

    def add(self, labels: Row, measure: Callable[[], Row], limit: float) -> None:
        """Measure within a limit of seconds, and write down what came of it."""
        left = self.began + 60 * self.options.minutes - time.monotonic()
        began = time.monotonic()
        try:
            if left < limit / 3:
                raise TimeoutError(f"skipped: {max(left, 0):.0f} s are left of {self.options.minutes:g} minutes")
            with at_most(min(limit, left)):
                found = measure()
        except TimeoutError as late:
            found = {"note": str(late)}
        except torch.OutOfMemoryError:
            found = {"note": "out of memory"}
        except Exception as broken:  # what one kernel refuses must not cost the others their turn
            log.exception("%s", labels)
            found = {"note": f"failed: {type(broken).__name__}: {str(broken).splitlines()[0] if str(broken) else ''}"}
        row = {**labels, **found, "took": round(time.monotonic() - began, 2)}
        if "seconds" in row and "tokens" in row:
            row["tokens_per_second"] = row["tokens"] / row["seconds"]
            row["of_the_card"] = self.rate and row["flops"] / row["seconds"] / self.rate
        log.info("%s", {name: value for name, value in row.items() if name != "output"})
        self.rows.append(row)
        if self.device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
        self.write()

    def write(self) -> None:
        """Write the rows so far."""
        if self.options.output is None:
            return
        self.options.output.mkdir(parents=True, exist_ok=True)
        found = {
            "date": date.today().isoformat(),
            "dry_run": self.options.quick,
            "conditions": conditions(**card(self.device)),
            "seconds": time.monotonic() - self.began,
            "bf16_rate": self.rate,
            "rows": self.rows,
        }
        write_json(self.options.output / "gpu.json", found, indent=1)
        (self.options.output / "gpu.md").write_text(self.table() + "\n", encoding="utf-8")

    def table(self) -> str:
        """Return the rows as a Markdown table."""
        stock: dict[tuple[str, str], float] = {}
        for row in self.rows:
            if row.get("network", "").startswith(STOCK) and row["attention"] == "sdpa" and "tokens_per_second" in row:
                stock.setdefault((row["work"], row["setting"]), row["tokens_per_second"])
        lines = []
        for row in self.rows:
            speed, peer = row.get("tokens_per_second"), stock.get((row["work"], row.get("setting")))
            ours = row.get("network", "").startswith(OURS)
            peak, share = row.get("peak_total"), row.get("of_the_card")
            lines.append((
                row["work"], row.get("setting", ""), row.get("network", ""), row.get("attention", ""),
                f"{speed:,.0f}" if speed else "", f"{speed / peer:.2f}x" if ours and speed and peer else "",
                f"{1e3 * row['seconds']:.1f}" if "seconds" in row else "", f"{peak / 1e9:.2f}" if peak else "",
                f"{share:.2f}" if share else "", row.get("note", ""),
            ))  # fmt: skip
        rate = f"{self.rate / 1e12:.3g} TFLOP/s in bf16 by a matrix product" if self.rate else "no rate"
        about = [*(f"{name} {value}" for name, value in card(self.device).items()), rate, f"torch {torch.__version__}"]
        return f"{', '.join(about)}, {date.today()}\n\n{markdown_table(HEADER, lines, text_columns=4)}"


def card(device: torch.device) -> Row:
    """Describe the device, without anything that names the machine."""
    if device.type != "cuda":
        return {"device": "cpu"}
    seen = torch.cuda.get_device_properties(device)
    flash = importlib.import_module("flash_attn").__version__ if is_flash_attn_2_available() else None
    kind = {"device": seen.name, "memory_gb": round(seen.total_memory / 1e9), "compute": f"{seen.major}.{seen.minor}"}
    return {**kind, "cuda": torch.version.cuda, "flash_attn": flash}


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block once it has taken so long; a kernel that runs is waited for."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not done after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def timed(call: Callable[[], object], journal: Journal) -> Row:
    """Return the median seconds of a call and, on a GPU, its peak of memory, in bytes."""
    cuda = journal.device.type == "cuda"

    def whole() -> None:
        call()
        if cuda:
            torch.cuda.synchronize()

    whole()  # kernels are chosen and libraries take their workspaces
    before = peak_begins(journal.device)
    timing = interleave({0: whole}, rounds=journal.options.rounds, seconds=4.0)[0]
    return {"seconds": timing.median("wall"), "rounds": len(timing.wall), **peak_since(before)}


def peak_begins(device: torch.device) -> int | None:
    """Set the peak of the device's memory back; return what is taken now."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak_since(before: int | None) -> Row:
    """Return the peak of memory, and how much of it came on top."""
    if before is None:
        return {}
    peak = torch.cuda.max_memory_allocated()
    return {"peak_total": peak, "peak_over_weights": peak - before}


def measure_rate(journal: Journal) -> Row:
    """Measure the card's rate in bf16: one large product, which leaves no kernel of a network a better chance."""
    size = 128 if journal.options.quick else 8192
    left, right = (torch.randn(size, size, device=journal.device, dtype=torch.bfloat16) for _ in range(2))
    found = timed(lambda: [left @ right for _ in range(10)], journal)
    journal.rate = 10 * 2 * size**3 / found["seconds"]
    return {"note": f"{journal.rate / 1e12:.3g} TFLOP/s"}


def run_checks(journal: Journal) -> Row:
    """Run tests/gpu in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--noconftest"]
    paths = [path for path in sys.path if path]
    done = subprocess.Popen(
        [*command, str(REPOSITORY / "tests" / "gpu")],
        cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    try:
        output = done.communicate()[0]
    finally:
        done.kill()
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped|errors?)\b", output)}
    note = ", ".join(f"{number} {word}" for word, number in counts.items()) or f"pytest ended with {done.returncode}"
    return {**counts, "status": done.returncode, "note": note, "output": output[-8000:]}


def networks_of(journal: Journal, setting: Setting, ours: tuple[str, ...], stock: tuple[str, ...]) -> list[Network]:
    """List who runs in a setting; FlashAttention only where it is there."""
    flash = is_flash_attn_2_available() and journal.device.type == "cuda"
    kinds = ["sdpa", BLOCKS, *([FLASH] if flash else [])]
    found = [Network(ours[0], kind) for kind in kinds] + [Network(name) for name in ours[1:]]
    found += [Network(stock[0], kind) for kind in kinds if kind != BLOCKS] + [Network(name) for name in stock[1:]]
    return [one for one in found if one.name != XLM_R or setting.longest <= 512]


def encode(journal: Journal, setting: Setting, lengths: list[int]) -> Turns:
    """Encode one padded batch."""
    builder = Builder()
    shape = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2, "vocab_size": 2000}

    @functools.cache
    def model_of(network: str) -> Any:
        entry = Entry(network, dtype="bfloat16", overrides=shape if journal.options.quick else {})
        return builder.build(entry).to(journal.device)

    def measure(one: Network) -> Row:
        model = model_of(one.name)
        batch = batch_for(model.config, lengths)
        there = {name: getattr(batch, name).to(journal.device) for name in ("input_ids", "attention_mask")}
        with one.attends(model):
            found = timed(forward(model, replace(batch, **there)), journal)
        return {**found, "flops": useful_flops(EncoderShape.of(model.config), lengths)}

    for one in networks_of(journal, setting, (OURS,), (STOCK, XLM_R)):
        yield one, functools.partial(measure, one)


def train(journal: Journal, setting: Setting, lengths: list[int]) -> Turns:
    """Take masked-LM steps with AdamW; networks share weights, gradients and moments."""
    names = (training_steps.OURS, training_steps.PACKED, training_steps.SPARSE, training_steps.DENSE)
    options: Row = {"quick": journal.options.quick, "device": journal.device.type, "dtype": "bfloat16", "adamw": True}
    steps = {name: training_steps.Step(name, lengths=tuple(lengths), **options) for name in names}

    @functools.cache
    def built() -> dict[str, tuple[Any, Any]]:
        return dict(zip(names, training_steps.build(list(steps.values())), strict=True))

    def measure(one: Network) -> Row:
        model, optimizer = built()[one.name]
        with one.attends(model):
            found = timed(training_steps.step_of(steps[one.name], model, optimizer), journal)
        scored, shape = round(training_steps.MASKED * sum(lengths)), EncoderShape.of(model.config)
        return {**found, "flops": training_flops(shape, lengths, scored, model.config.vocab_size)}

    for one in networks_of(journal, setting, names[:2], names[2:]):
        yield one, functools.partial(measure, one)


def finetune(journal: Journal, setting: Setting, lengths: list[int]) -> Turns:
    """Fine-tune a classifier through transformers' Trainer, as fine_tuning.py does; bf16 is autocast over fp32."""
    steps, device = journal.options.rounds + 2, journal.device.type
    sizes: Row = {"quick": True, "vocabulary": 2000} if journal.options.quick else {}

    def measure(one: Network) -> Row:
        with tempfile.TemporaryDirectory() as folder:
            trainer, clock = fine_tuning.make_trainer(
                one.name, "bfloat16", steps, folder, lengths=lengths, device=device, **sizes
            )
            shape, before = EncoderShape.of(trainer.model.config), peak_begins(journal.device)
            with one.attends(trainer.model):
                trainer.train()
        seconds = statistics.median(clock.steps("wall"))
        return {"seconds": seconds, **peak_since(before), "flops": FORWARD_AND_BACKWARD * useful_flops(shape, lengths)}

    for one in networks_of(journal, setting, (fine_tuning.ACTIVE, fine_tuning.WHOLE), (STOCK, XLM_R)):
        yield one, functools.partial(measure, one)


def scaled(options: argparse.Namespace, group: str) -> list[Setting]:
    """Return the settings with as many rows as keep a GPU busy; short ones first, tiny ones in a dry run."""
    found = []
    for setting in map(SETTINGS.__getitem__, options.settings):
        rows = max(1, round(setting.rows * ROWS[group] * options.rows))
        if options.quick:
            drawn = {} if setting.mean is None else {"mean": 24.0, "deviation": 8.0}
            setting = replace(setting, longest=setting.longest // 256 + 30, **drawn)
            rows = 3
        found.append(replace(setting, rows=rows))
    return found


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = options_of(__doc__, rounds=5)
    parser.add_argument("--minutes", type=float, default=9.5, help="after so long nothing new is begun")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="what to run")
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--rows", type=float, default=1.0, help="times the rows of a batch")
    options = parser.parse_args()
    if options.rounds < 2 or options.minutes <= 0 or options.rows <= 0:
        parser.error("--rounds must be at least 2, --minutes and --rows above 0")
    return options


def main() -> None:
    """Measure one after the other."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    options = parse_options()
    if not options.quick and not torch.cuda.is_available():
        sys.exit("there is no CUDA device; `--dry-run` shows on the CPU that everything runs")
    device = torch.device("cpu" if options.quick else "cuda")
    if options.quick:
        options.rounds = 2
    journal = Journal(options, device)
    journal.add({"work": "rate"}, functools.partial(measure_rate, journal), 20)
    if "checks" in options.only:
        journal.add({"work": "checks"}, functools.partial(run_checks, journal), LIMITS["checks"])
    for work in (encode, train, finetune):
        for setting in scaled(options, work.__name__) if work.__name__ in options.only else ():
            lengths = setting.lengths()
            for one, measure in work(journal, setting, lengths):
                labels = {"work": work.__name__, "setting": setting.name, "network": one.name}
                labels |= {"attention": one.attention, "rows": len(lengths), "tokens": sum(lengths)}
                journal.add(labels, measure, LIMITS[work.__name__])
    print(journal.table())
    sys.exit(any(row.get("failed") or row.get("note", "").startswith("failed") for row in journal.rows))


if __name__ == "__main__":
    main()

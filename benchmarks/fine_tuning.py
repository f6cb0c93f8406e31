"""One step of fine-tuning: mmbert, with and without its active vocabulary, against stock ModernBERT.

    python benchmarks/fine_tuning.py --output build/fine_tuning         # base, fp32 and bf16; 20 GB of memory
    python benchmarks/fine_tuning.py --dtypes float32 --networks mmbert modernbert --rounds 1 --head tokens
    python benchmarks/fine_tuning.py --quick                            # tiny networks: does it run?

Both train through transformers' Trainer with the same arguments (AdamW, clipping, 16 rows of log-normal length, median
37 tokens, 8 to 256) on a vocabulary of 256,000, of which the rows hold about 10,000 tokens. Every measurement is a
process of its own on one thread; a step is the CPU time from the end of one optimizer step to the end of the next, data
and logging included, the median of its steps. bf16 is Trainer's own, autocast over fp32 weights.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from mmbert import (
    MmBertConfig,
    MmBertForQuestionAnswering,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
)
from mmbert.callbacks import ActiveVocabularyCallback
from mmbert.evaluation.efficiency.memory import measure_peak, peak_in_child, print_peak
from mmbert.evaluation.efficiency.models import XLM_R, Entry, configuration
from mmbert.evaluation.efficiency.timing import Clock
from support import options_of, report
from transformers import (
    ModernBertConfig,
    ModernBertForQuestionAnswering,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    XLMRobertaForSequenceClassification,
)

ACTIVE, WHOLE, STOCK = "mmbert", "mmbert, whole table", "modernbert"
ROWS, TOKENS = 16, 10_000
HEADS = {  # of ours and of stock's: a class a text, a class a token, both ends of an answer
    "sequence": (MmBertForSequenceClassification, ModernBertForSequenceClassification),
    "tokens": (MmBertForTokenClassification, ModernBertForTokenClassification),
    "spans": (MmBertForQuestionAnswering, ModernBertForQuestionAnswering),
}


class StepClock(TrainerCallback):
    """Notes the time at the end of every step, by both clocks."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note it, when the device has done what it was asked to."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append((time.process_time(), time.perf_counter()))

    def steps(self, clock: Clock) -> list[float]:
        """Return the seconds of every step but the first."""
        ends = [end[clock == "wall"] for end in self.times]
        return [later - earlier for earlier, later in itertools.pairwise(ends)]


def make_rows(
    count: int, vocabulary: int, lengths: Sequence[int] | None = None
) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """Draw rows, of log-normal length or of the given lengths in turn; return also the tokens that they may hold."""
    draw = torch.Generator().manual_seed(0)
    known = torch.randperm(vocabulary - 5, generator=draw)[: min(TOKENS, vocabulary // 4)] + 5
    drawn = torch.exp(3.61 + 0.7 * torch.randn(count, generator=draw)).round().clamp(8, 256).int().tolist()
    sizes = itertools.islice(itertools.cycle(lengths or drawn), count)
    pick = (torch.randint(len(known), (length,), generator=draw) for length in sizes)
    return [{"input_ids": known[places], "labels": number % 3} for number, places in enumerate(pick)], known


def collate(rows: list[dict[str, Any]], head: str = "sequence") -> dict[str, torch.Tensor]:
    """Pad a batch, and give it the labels that the head learns."""
    ids = torch.nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    classes, mask = torch.tensor([row["labels"] for row in rows]), (ids != 0).long()
    batch = {"input_ids": ids, "attention_mask": mask}
    if head == "spans":
        return {**batch, "start_positions": classes, "end_positions": classes + 3}
    return {**batch, "labels": classes if head == "sequence" else (ids % 3).masked_fill(mask == 0, -100)}


def make_trainer(
    network: str,
    dtype: str,
    steps: int,
    folder: str,
    *,
    quick: bool = False,
    vocabulary: int = 256_000,
    lengths: Sequence[int] | None = None,
    device: str = "cpu",
    head: str = "sequence",
) -> tuple[Trainer, StepClock]:
    """Build a network and its trainer; rows of the given lengths are one batch, the same in every step."""
    torch.manual_seed(0)
    tiny = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2, "intermediate_size": 96}
    sizes: dict[str, Any] = {
        "num_labels": 2 if head == "spans" else 3,
        "vocab_size": vocabulary,
        **(tiny if quick else {}),
    }
    kind, config = HEADS[head][0], MmBertConfig(**sizes)
    if network == STOCK:
        fields = config.to_dict()
        fields.pop("model_type")
        kind, config = HEADS[head][1], ModernBertConfig(**fields)
    elif network == XLM_R:
        config = configuration(Entry(XLM_R, overrides=sizes))
        kind = XLMRobertaForSequenceClassification
    with torch.device(device):
        model = kind._from_config(config)
    count = len(lengths) if lengths else ROWS
    (rows, known), clock = make_rows(count * steps, config.vocab_size, lengths), StepClock()
    callbacks: list[TrainerCallback] = [clock]
    if network == ACTIVE:
        callbacks.append(ActiveVocabularyCallback(model, known.tolist()))
    arguments = TrainingArguments(
        output_dir=folder, use_cpu=device == "cpu", bf16=dtype != "float32", max_steps=steps, report_to="none",
        disable_tqdm=True, per_device_train_batch_size=count, logging_steps=1, save_strategy="no",
        dataloader_pin_memory=False, train_sampling_strategy="sequential", remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(
        model, arguments, data_collator=partial(collate, head=head), train_dataset=rows, callbacks=callbacks
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, clock


def train(network: str, dtype: str, steps: int, quick: bool, head: str) -> None:
    """Train for some steps in this process, and print time and memory."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        trainer, clock = make_trainer(network, dtype, steps, folder, quick=quick, head=head)
        peak = measure_peak(trainer.train)
    print(json.dumps(clock.steps("cpu")))
    print_peak(type(peak)(peak.total, peak.before, statistics.median(clock.steps("cpu"))))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = options_of(__doc__, rounds=3)
    parser.add_argument("--networks", nargs="+", choices=[ACTIVE, WHOLE, STOCK], default=[ACTIVE, WHOLE, STOCK])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--head", choices=HEADS, default="sequence", help="classification, tagging or answers")
    parser.add_argument("--steps", type=int, default=4, help="steps of each process; the first is not timed")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure in turns."""
    options = parse_options()
    if options.child:
        train(*options.child, options.steps, options.quick, options.head)
        return
    found: dict[tuple[str, str], list[Any]] = {}
    for _ in range(options.rounds):
        for dtype in options.dtypes:
            for network in options.networks:
                command = [
                    sys.executable,
                    __file__,
                    "--steps",
                    str(options.steps),
                    "--head",
                    options.head,
                    "--child",
                    network,
                    dtype,
                ]
                peak = peak_in_child([*command, *(["--quick"] if options.quick else [])])
                found.setdefault((dtype, network), []).append(peak)
    seconds = {key: statistics.median(peak.cpu_seconds for peak in peaks) for key, peaks in found.items()}
    memory = {key: statistics.median(peak.total for peak in peaks) / 1e9 for key, peaks in found.items()}
    rows = [(*key, f"{seconds[key]:.2f}", f"{memory[key]:.2f}") for key in found]
    figures: dict[str, Any] = {}
    for dtype, short in (("float32", "fp32"), ("bfloat16", "bf16")):
        ours, stock = (dtype, ACTIVE), (dtype, STOCK)
        if ours in found and stock in found:
            figures[f"speed_ratio_{short}"] = seconds[stock] / seconds[ours]
            figures[f"memory_ratio_{short}"] = memory[ours] / memory[stock]
    header = ("dtype", "network", "CPU seconds per step", "peak GB")
    report("fine_tuning", header, rows, figures, options.output)


if __name__ == "__main__":
    main()

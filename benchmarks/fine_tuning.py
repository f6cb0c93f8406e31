"""One step of fine-tuning a classifier: mmbert, with and without its active vocabulary, against stock ModernBERT.

    python benchmarks/fine_tuning.py --output build/fine_tuning         # base, fp32 and bf16; 20 GB of memory
    python benchmarks/fine_tuning.py --dtypes float32 --networks mmbert modernbert --rounds 1
    python benchmarks/fine_tuning.py --quick                            # tiny networks: does it run?

Both train through transformers' Trainer with the same arguments (AdamW, clipping, 16 rows of log-normal length, median
37 tokens, 8 to 256) on a vocabulary of 256,000, of which the rows hold about 10,000 tokens. Every measurement is a
process of its own on one thread; a step is the CPU time from the end of one optimizer step to the end of the next, data
and logging included, the median of its steps. bf16 is Trainer's own, autocast over fp32 weights.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
from mmbert import MmBertConfig, MmBertForSequenceClassification
from mmbert.callbacks import ActiveVocabularyCallback
from mmbert.evaluation.efficiency.memory import measure_peak, peak_in_child, print_peak
from support import options_of, report
from transformers import (
    ModernBertConfig,
    ModernBertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

ACTIVE, WHOLE, STOCK = "mmbert", "mmbert, whole table", "modernbert"
ROWS, TOKENS = 16, 10_000


class StepClock(TrainerCallback):
    """Notes the CPU time at the end of every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note it."""
        self.times.append(time.process_time())


def make_rows(count: int, vocabulary: int) -> tuple[list[dict[str, Any]], torch.Tensor]:
    """Draw rows of log-normal length; return also the tokens that they are drawn from."""
    draw = torch.Generator().manual_seed(0)
    known = torch.randperm(vocabulary - 5, generator=draw)[:TOKENS] + 5
    lengths = torch.exp(3.61 + 0.7 * torch.randn(count, generator=draw)).round().clamp(8, 256).int().tolist()
    pick = (torch.randint(len(known), (length,), generator=draw) for length in lengths)
    return [{"input_ids": known[places], "labels": number % 3} for number, places in enumerate(pick)], known


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad a batch."""
    ids = torch.nn.utils.rnn.pad_sequence([row["input_ids"] for row in rows], batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": torch.tensor([r["labels"] for r in rows])}


def train(network: str, dtype: str, steps: int, quick: bool) -> None:
    """Train for some steps in this process, and print time and memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tiny = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2, "intermediate_size": 96}
    config = MmBertConfig(num_labels=3, vocab_size=256_000, **(tiny if quick else {}))
    model: Any
    if network == STOCK:
        fields = config.to_dict()
        fields.pop("model_type")
        model = ModernBertForSequenceClassification(ModernBertConfig(**fields))
    else:
        model = MmBertForSequenceClassification(config)
    (rows, known), clock = make_rows(ROWS * steps, config.vocab_size), StepClock()
    callbacks: list[TrainerCallback] = [clock]
    with tempfile.TemporaryDirectory() as folder:
        if network == ACTIVE:
            callbacks.append(ActiveVocabularyCallback(model, known.tolist()))
        arguments = TrainingArguments(
            output_dir=folder, use_cpu=True, bf16=dtype != "float32", max_steps=steps, report_to="none",
            disable_tqdm=True, per_device_train_batch_size=ROWS, logging_steps=1, save_strategy="no",
            dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows, callbacks=callbacks)
        peak = measure_peak(trainer.train)
    took = [later - earlier for earlier, later in zip(clock.times, clock.times[1:], strict=False)]
    print(json.dumps(took))
    print_peak(type(peak)(peak.total, peak.before, statistics.median(took)))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = options_of(__doc__, rounds=3)
    parser.add_argument("--networks", nargs="+", choices=[ACTIVE, WHOLE, STOCK], default=[ACTIVE, WHOLE, STOCK])
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"], default=["float32", "bfloat16"])
    parser.add_argument("--steps", type=int, default=4, help="steps of each process; the first is not timed")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure in turns."""
    options = parse_options()
    if options.child:
        train(*options.child, options.steps, options.quick)
        return
    found: dict[tuple[str, str], list[Any]] = {}
    for _ in range(options.rounds):
        for dtype in options.dtypes:
            for network in options.networks:
                command = [sys.executable, __file__, "--steps", str(options.steps), "--child", network, dtype]
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

"""One step of training an embedder: mmbert, with and without its active vocabulary, and sentence-transformers.

    python benchmarks/embedder_training.py --output build/embedder_training     # small, fp32
    python benchmarks/embedder_training.py --size base --dtypes float32 bfloat16
    python benchmarks/embedder_training.py --quick                              # tiny networks: does it run?

All train through SentenceTransformerTrainer with the same arguments, weights and rows: CachedMultipleNegativesRanking
in parts of 16 texts, alone and in MatryoshkaLoss, AdamW, clipping, 16 pairs of log-normal length (median 37 tokens, 8
to 256), 256,000 rows in the table, 10,000 of them in the texts. Every measurement is a process of its own on one
thread; a step is the CPU time from the end of one optimizer step to the end of the next, data included, the median of
its steps. bf16 is the trainer's own, autocast over fp32 weights.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from fine_tuning import ACTIVE, ROWS, WHOLE, StepClock, make_rows
from mmbert import MmBertConfig, load_embedder
from mmbert.embeddings.training.active_rows import train_active_rows
from mmbert.embeddings.training.run import LossRecord, quiet_trainer
from mmbert.evaluation.efficiency.memory import measure_peak, peak_in_child, print_peak
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import CachedMultipleNegativesRankingLoss, MatryoshkaLoss
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from support import options_of, report
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import ModernBertConfig, ModernBertModel, PreTrainedTokenizerFast

PEER = "sentence-transformers"
NETWORKS = (ACTIVE, WHOLE, PEER)
SPECIAL = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}
SHORT = {"float32": "fp32", "bfloat16": "bf16"}


def make_encoder(folder: Path, size: str, quick: bool) -> None:
    """Save a stock ModernBERT of an mmBERT's shape with random weights, and a tokenizer with a word for each row."""
    tiny = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 2, "intermediate_size": 96}
    config = (MmBertConfig if size == "base" else MmBertConfig.small)(**(tiny if quick else {}))
    fields = config.to_dict()
    fields.pop("model_type")
    torch.manual_seed(0)
    ModernBertModel(ModernBertConfig(**fields)).save_pretrained(folder)
    words = [*SPECIAL.values(), *(f"w{number}" for number in range(5, config.vocab_size))]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        "<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **SPECIAL).save_pretrained(folder)


def make_pairs(count: int, vocabulary: int) -> Dataset:
    """Draw pairs of texts of log-normal length."""
    rows, _ = make_rows(2 * count, vocabulary)
    texts = [" ".join(f"w{number}" for number in row["input_ids"].tolist()) for row in rows]
    return Dataset.from_dict({"anchor": texts[:count], "positive": texts[count:]})


def load(network: str, folder: str) -> Any:
    """Load the encoder as its users do, in fp32."""
    if network != PEER:
        return load_embedder(folder, dtype="float32", device="cpu")
    encoder = Transformer(folder)
    return SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension()), Normalize()], device="cpu")


def train(network: str, dtype: str, matryoshka: bool, options: argparse.Namespace) -> None:
    """Train for some steps in this process, and print time and memory."""
    torch.set_num_threads(1)
    model, clock = load(network, options.encoder), StepClock()
    loss: Any = CachedMultipleNegativesRankingLoss(model, mini_batch_size=16)
    if matryoshka:
        width = model.get_embedding_dimension()
        loss = MatryoshkaLoss(model, loss, [width, width // 2, width // 4])
    data = make_pairs(ROWS * options.steps, len(model.tokenizer))
    given = {"max_steps": options.steps, "per_device_train_batch_size": ROWS, "bf16": dtype != "float32"}
    with quiet_trainer("SentenceTransformer", model, data, loss, LossRecord(), given) as trainer:
        trainer.add_callback(clock)
        if network == ACTIVE:
            train_active_rows(trainer)
        peak = measure_peak(trainer.train)
    print(json.dumps(clock.steps("cpu")))
    print_peak(type(peak)(peak.total, peak.before, statistics.median(clock.steps("cpu"))))


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = options_of(__doc__, rounds=1)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--dtypes", nargs="+", choices=list(SHORT), default=["float32"])
    parser.add_argument("--size", choices=["base", "small"], default="small")
    parser.add_argument("--steps", type=int, default=4, help="steps of each process; the first is not timed")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--encoder", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure in turns."""
    options = parse_options()
    if options.child:
        network, dtype, matryoshka = options.child
        train(network, dtype, matryoshka == "yes", options)
        return
    found: dict[tuple[str, str, str], list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_encoder(Path(folder), options.size, options.quick)
        shared = [sys.executable, __file__, "--steps", str(options.steps), "--encoder", folder, "--child"]
        for _ in range(options.rounds):
            for key in [(d, m, n) for d in options.dtypes for m in ("no", "yes") for n in options.networks]:
                dtype, matryoshka, network = key
                found.setdefault(key, []).append(peak_in_child([*shared, network, dtype, matryoshka]))
    seconds = {key: statistics.median(peak.cpu_seconds for peak in peaks) for key, peaks in found.items()}
    memory = {key: statistics.median(peak.total for peak in peaks) / 1e9 for key, peaks in found.items()}
    figures: dict[str, Any] = {}
    for dtype, matryoshka, network in found:
        peer = (dtype, matryoshka, PEER)
        if network == ACTIVE and peer in found:
            name = SHORT[dtype] + ("_matryoshka" if matryoshka == "yes" else "")
            figures[f"speed_ratio_{name}"] = seconds[peer] / seconds[dtype, matryoshka, network]
            figures[f"memory_ratio_{name}"] = memory[dtype, matryoshka, network] / memory[peer]
    rows = [(*key, f"{seconds[key]:.2f}", f"{memory[key]:.2f}") for key in found]
    header = ("dtype", "Matryoshka", "network", "CPU seconds per step", "peak GB")
    report("embedder_training", header, rows, figures, options.output)


if __name__ == "__main__":
    main()

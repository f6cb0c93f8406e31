"""Start: CPU time of `mmbert --help`, of the first vector and its peak memory, against plain sentence-transformers.

    python benchmarks/cold_start.py --output build/cold_start   # mmBERT-small, 256,000 tokens, random weights
    python benchmarks/cold_start.py --quick                     # a tiny network: does it run?
    python benchmarks/cold_start.py --embedder FOLDER           # an embedder of yours

Every measurement is a process of its own on one thread, in turns; the files are in the page cache. The first vector is
that of one sentence, in the dtype of the checkpoint (bf16).
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import mmbert
import torch
from mmbert.modeling import train_tokenizer
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer
from support import options_of, report

HELP = "import sys; sys.argv = ['mmbert', '--help']; from mmbert.cli import main; main()"
FIRST = {
    "mmbert": "from mmbert import load_embedder as load; model = load({folder!r}, dtype='bfloat16', device='cpu')",
    "sentence-transformers": "import mmbert; from sentence_transformers import SentenceTransformer as load; "
    "model = load({folder!r}, device='cpu', model_kwargs={{'dtype': 'bfloat16'}})",
}
ENCODE = "; model.encode('The first sentence of the day.')"
PEAK = "; print('PEAK', next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"


def measure(code: str) -> tuple[float, float]:
    """Run code in a process; return CPU seconds, and peak memory in GB if the code prints it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    peaks = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("PEAK")]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, sum(peaks) * 1024 / 1e9


def make_embedder(folder: Path, tokenizer: Path | None, quick: bool) -> Path:
    """Save a plain embedder of mmBERT-small's shape."""
    texts = ["the house stands near a river", "Der Fluss ist breit"]
    words = train_tokenizer(texts, 400) if tokenizer is None else build_tokenizer(tokenizer)
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2} if quick else {}
    rows = len(words) if quick else max(256_000, len(words))
    encoder = mmbert.MmBertModel(mmbert.MmBertConfig.small(vocab_size=rows, **sizes)).to(torch.bfloat16)
    encoder.save_pretrained(folder / "encoder")
    save_tokenizer(words, folder / "encoder")
    mmbert.load_embedder(str(folder / "encoder"), dtype="bfloat16", device="cpu").save(str(folder / "embedder"))
    return folder / "embedder"


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = options_of(__doc__, rounds=5)
    parser.add_argument("--embedder", help="folder of an embedder, in place of random weights")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json for the random weights; else a tiny one")
    return parser.parse_args()


def main() -> None:
    """Measure in turns."""
    options = parse_options()
    with tempfile.TemporaryDirectory() as place:
        folder = options.embedder or str(make_embedder(Path(place), options.tokenizer, options.quick))
        codes = {
            "mmbert --help": HELP,
            "import mmbert": "import mmbert",
            "AutoModel": "from transformers import AutoModel",
        }
        codes |= {f"first vector, {name}": code.format(folder=folder) + ENCODE + PEAK for name, code in FIRST.items()}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
        for number in range(options.rounds + 1):
            for name, code in codes.items():
                one = measure(code)
                if number:  # the first fills the page cache
                    found[name].append(one)
    seconds, memory = ({n: statistics.median(one[k] for one in ones) for n, ones in found.items()} for k in (0, 1))
    rows = [(name, f"{seconds[name]:.2f}", f"{memory[name]:.2f}" if memory[name] else "") for name in found]
    ours, peer = (f"first vector, {name}" for name in FIRST)
    figures = {
        "help_seconds": seconds["mmbert --help"],
        "import_ratio": seconds["import mmbert"] / seconds["AutoModel"],
        "first_vector_ratio": seconds[ours] / seconds[peer],
        "memory_ratio": memory[ours] / memory[peer],
    }
    report("cold_start", ("what", "CPU seconds", "peak GB"), rows, figures, options.output)


if __name__ == "__main__":
    main()

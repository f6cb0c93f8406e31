"""Formats side by side: torch in fp32, bf16 and int8, ONNX Runtime and OpenVINO in fp32 and int8; one run, one thread.

    python benchmarks/formats.py --output build/formats                     # shapes of base and small, random weights
    python benchmarks/formats.py --checkpoint ENCODER --texts FILE ...      # a trained one: what the numbers are worth

Every file is written by `export_onnx` or `export_openvino` and opened by `open_runtime`, as a user's would be. Times
are process CPU time of one thread, the best of several turns in which the contestants alternate; cosines are against
torch in fp32, over the tokens of the batch. Random weights say what a format costs, not what rounding does to a trained
network, whose few large channels are what int8 has trouble with: for that give a checkpoint.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from mmbert import MmBertConfig, MmBertModel
from mmbert.export import export_onnx, export_openvino, open_runtime
from mmbert.modeling import quantise_weights, train_tokenizer
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from support import parser_of, write_results

Batch = tuple[torch.Tensor, torch.Tensor]
SHAPES = ((8, 32), (8, 128), (1, 512))
WORDS = [f"w{number}" for number in range(400)]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, "folder for formats.json")
    parser.add_argument("--checkpoint", type=Path, help="trained encoder; random weights if left out")
    parser.add_argument("--texts", type=Path, help="with --checkpoint: one text a line, for calibration and measuring")
    parser.add_argument("--sizes", nargs="*", default=["base", "small"], help="shapes for random weights")
    parser.add_argument("--layers", type=int, default=6, help="layers of the random networks; time grows in proportion")
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        if options.checkpoint:
            texts = options.texts.read_text(encoding="utf-8").splitlines()
            rows += measure(options.checkpoint.name, options.checkpoint, texts, Path(scratch), options.turns)
        else:
            for size in options.sizes:
                folder = random_checkpoint(size, options.layers, Path(scratch) / size)
                draw = np.random.default_rng(0)
                texts = [" ".join(draw.choice(WORDS, 60)) for _ in range(16)]
                rows += measure(f"{size}, {options.layers} layers", folder, texts, Path(scratch), options.turns)
    print_table(rows)
    found = {"torch": torch.__version__, "threads": 1, "cpu": sorted(_capabilities()), "rows": rows}
    write_results(options.output, "formats", found)


def random_checkpoint(size: str, layers: int, folder: Path) -> Path:
    """Save a network of this shape with a small vocabulary, which costs no time."""
    tokenizer = train_tokenizer([" ".join(WORDS)] * 2, 400)
    make = MmBertConfig if size == "base" else MmBertConfig.small
    MmBertModel(make(vocab_size=len(tokenizer), num_hidden_layers=layers)).save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder


def measure(name: str, folder: Path, texts: list[str], scratch: Path, turns: int) -> list[dict[str, Any]]:
    """Time every contestant on every shape, alternating, and compare their numbers with torch in fp32."""
    contestants, sizes = open_contestants(folder, texts, scratch / f"exports {name}")
    rows = []
    for shape in SHAPES:
        batch = batch_of(folder, texts, shape)
        best, found = dict.fromkeys(contestants, float("inf")), {}
        for _ in range(turns):
            for contestant, run in contestants.items():
                start = time.process_time()
                found[contestant] = run(*batch)
                best[contestant] = min(best[contestant], time.process_time() - start)
        for contestant in contestants:
            cosine = cosines(found["torch float32"], found[contestant])
            rows.append(
                {
                    "model": name,
                    "rows": shape[0],
                    "tokens": shape[1],
                    "contestant": contestant,
                    "ms": round(best[contestant] * 1e3, 1),
                    "speed": round(best["torch float32"] / best[contestant], 2),
                    "cosine_min": round(float(cosine.min()), 5),
                    "cosine_mean": round(float(cosine.mean()), 5),
                    "megabytes": round(sizes[contestant] / 1e6, 1),
                }
            )
    return rows


def open_contestants(
    folder: Path, texts: list[str], scratch: Path
) -> tuple[dict[str, Callable[..., np.ndarray]], dict[str, int]]:
    """Export the checkpoint in every format; return what runs each, and the bytes of its weights."""
    contestants: dict[str, Callable[..., np.ndarray]] = {}
    sizes: dict[str, int] = {}
    parameters = sum(p.numel() for p in MmBertModel.from_pretrained(folder).parameters())
    for dtype in ("float32", "bfloat16", "int8"):
        model = MmBertModel.from_pretrained(folder, dtype=getattr(torch, "bfloat16" if dtype != "float32" else dtype))
        sizes[f"torch {dtype}"] = parameters * (4 if dtype == "float32" else 2)
        if dtype == "int8":
            rounded = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
            quantise_weights(model)
            sizes["torch int8"] -= rounded
        contestants[f"torch {dtype}"] = _in_torch(model)
    for kind, export in (("onnx", export_onnx), ("openvino", export_openvino)):
        for quantize in ("none", "int8", "int8-static"):
            calibration = texts[:64] if quantize == "int8-static" else None
            output = scratch / kind / quantize
            done = export(folder, output, task="feature-extraction", quantize=quantize, calibration=calibration)
            name = f"{kind} {'float32' if quantize == 'none' else quantize}"
            contestants[name] = open_runtime(output, threads=1).encode_batch
            sizes[name] = sum(file.stat().st_size for file in (output / done.file).parent.iterdir())
    contestants["openvino bfloat16"] = open_runtime(
        scratch / "openvino" / "none", threads=1, precision="bf16"
    ).encode_batch
    sizes["openvino bfloat16"] = sizes["openvino float32"]
    return contestants, sizes


def _in_torch(model: MmBertModel) -> Callable[..., np.ndarray]:
    def run(ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = model(ids, mask).last_hidden_state.float().numpy()
        return found

    return run


def batch_of(folder: Path, texts: list[str], shape: tuple[int, int]) -> Batch:
    """Fill rows of one length with text, so that no contestant gains or loses by padding."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows, tokens = shape
    stream = [token for text in texts for token in tokenizer(text, truncation=True, max_length=512)["input_ids"]]
    stream *= 1 + rows * tokens // len(stream)
    ids = torch.tensor(stream[: rows * tokens]).view(rows, tokens)
    return ids, torch.ones_like(ids)


def cosines(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Cosine of each token's vectors."""
    lengths = np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1)
    quotient: np.ndarray = (expected * found).sum(-1) / lengths
    return quotient


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one table a model: a line a contestant, a column a shape."""
    for model in dict.fromkeys(row["model"] for row in rows):
        ours = [row for row in rows if row["model"] == model]
        print(f"\n{model}: ms of CPU time (times as fast as torch float32), one thread")
        print("| | MB | " + " | ".join(f"{r} x {t}" for r, t in SHAPES) + " | cosine, mean (least) |")
        print("|---|---|" + "---|" * (len(SHAPES) + 1))
        for contestant in dict.fromkeys(row["contestant"] for row in ours):
            line = [row for row in ours if row["contestant"] == contestant]
            cells = " | ".join(f"{row['ms']:.0f} ({row['speed']:.1f})" for row in line)
            mean, least = np.mean([r["cosine_mean"] for r in line]), min(r["cosine_min"] for r in line)
            print(f"| {contestant} | {line[0]['megabytes']:.0f} | {cells} | {mean:.5f} ({least:.4f}) |", flush=True)


def _capabilities() -> list[str]:
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return [name for name, there in found.items() if there is True]


if __name__ == "__main__":
    main()

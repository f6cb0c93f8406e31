"""Engines and libraries really run on one small model, each in an environment of its own; prints the table of the docs.

    python benchmarks/engines.py                                  # every row; `make engines` is the same
    python benchmarks/engines.py --rows fastembed "llama.cpp f32"  # some
    python benchmarks/engines.py --ids articles.jsonl --tokenizer GEMMA   # ids of many texts, a table of differences
    python benchmarks/engines.py --speed                           # one thread at 16 to 8,192 tokens, beside ours

Environments lie in --cache and are made once, from the pinned lists in `benchmarks/engine_rows/` (node: transformers.js
below). `engine_rows/run.py` and `run.mjs` run there without mmbert; this script makes the folders that they open and
compares their vectors with ours in fp32 (least cosine of 14 texts in 12 scripts, one of 700 tokens) and their ids with
the checkpoint's. A row whose environment cannot be made, or that fails, says so in the table.

Trade-off: random weights, spread as a trained network's; what a library does to quality is not measured here.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from functools import partial
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
IDS = ("tokenizers", "transformers.js fp32", "openvino", "llama.cpp f32")  # rows that give ids of many texts


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
    work = options.cache / "folders"
    shutil.rmtree(work, ignore_errors=True)
    if options.speed:
        print(speed(work, options.cache))
        return
    texts, ours = make_folders(work, options.tokenizer, options.ids)
    found: list[tuple[str, dict[str, Any]]] = []
    show = partial(ids_table, texts=texts, ours=ours["ids"]) if options.ids else partial(table, ours=ours)
    for row in chosen:
        found.append((row, run(row, work, options.cache, options.timeout)))
        print(show(found[-1:]).splitlines()[-1], file=sys.stderr, flush=True)  # a run that is stopped has told so much
    print(show(found))
    print(f"\n{date.today().isoformat()}: python benchmarks/engines.py {' '.join(sys.argv[1:])}".rstrip())


def speed(work: Path, cache: Path) -> str:
    """Time a text a call on one thread, width 384, 4 layers: CPU milliseconds, and how many times ours takes."""
    make_checkpoint(work, mmbert.train_tokenizer([*SENTENCES] * 20, 800), hidden_size=384, intermediate_size=1152)
    source = work / "checkpoint"
    mmbert.load_embedder(source, dtype="float32", device="cpu").save(str(work / "embedder"))
    for name, quantize in (("onnx", "none"), ("onnx-int8", "int8")):
        export_onnx(work / "embedder", work / name, quantize=quantize)
    for dtype in ("f32", "q8_0"):
        export_gguf(work / "embedder", work / f"gguf-{dtype}", dtype=dtype)
    found: dict[str, dict[str, float]] = {}
    for engine in ("ours", "onnx", "onnx-int8", "gguf-f32", "gguf-q8_0"):
        (python, *_), _ = ([sys.executable], None) if engine == "ours" else environment_of("engines", cache)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [python, str(PROGRAMS / "speed.py"), engine, str(work), str(work / "out.json")]
        subprocess.run(command, check=True, capture_output=True, env=environment, cwd=cache)
        found[engine] = json.loads((work / "out.json").read_text())
    rows = [
        (engine, *(f"{1000 * t:,.1f} ({t / found['ours'][length]:.1f})" for length, t in times.items()))
        for engine, times in found.items()
    ]
    return markdown_table(("engine", *(f"{int(length):,} tokens" for length in found["ours"])), rows)


def make_checkpoint(work: Path, words: Any, **sizes: int) -> None:
    """Write a masked LM of 4 layers with random weights, spread as a trained network's."""
    torch.manual_seed(0)
    shape = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4, **sizes}
    config = mmbert.MmBertConfig(
        vocab_size=len(words), num_attention_heads=shape["hidden_size"] // 32, initializer_range=0.08, **shape
    )
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
    out.unlink(missing_ok=True)
    for left in ("again", "run", "setfit", "txtai", "lance", "qdrant", "gliner", "flair", "flair.pt"):
        shutil.rmtree(work / left, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    try:
        start, place = environment_of(ROWS[row], cache)
        command = [*start, name, str(work), str(work / "texts.json"), str(out)]
        done = subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    except (subprocess.SubprocessError, OSError) as error:
        return {"failed": f"{type(error).__name__}: {error}"[:150]}
    if done.returncode or not out.is_file():
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
        print(f"{row}: {done.stderr[-2000:]}", file=sys.stderr)
        return {"failed": next((line for line in reversed(said) if "Error" in line), said[-1])[:150]}
    return dict(json.loads(out.read_text(encoding="utf-8")))


def environment_of(name: str, cache: Path) -> tuple[list[str], Path]:
    """Make an environment if there is none for its list; return how its program starts, and where."""
    if name == "node":
        place = cache / "node"
        if not (place / "node_modules" / NODE[0].rpartition("@")[0]).is_dir():
            place.mkdir(parents=True, exist_ok=True)
            (place / "package.json").write_text("{}\n")
            subprocess.run(["npm", "install", "--ignore-scripts", *NODE], cwd=place, check=True, capture_output=True)
        return ["node", str(PROGRAMS / "run.mjs")], place
    wanted = PROGRAMS / f"{name}.txt"
    place = cache / f"{name}-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:8]}"
    if not (place / "ready").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True, capture_output=True)
        pip = [str(place / "bin" / "pip"), "install", "--quiet", "--no-compile", "--requirement", str(wanted)]
        subprocess.run(pip, check=True, capture_output=True)
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
            cosine = f"{(vectors * whole).sum(1).min():.6f}"
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

"""Times one engine on one thread: python speed.py ENGINE FOLDER OUT.json, ENGINE ours-DTYPE, onnx[-int8], gguf-TYPE.

OUT has `versions` and `times`: how long a text of each length takes, one text a call, in seconds of CPU time of the
process, median of some turns. A first text, of 16 tokens, is not timed.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

LENGTHS = {16: 31, 128: 15, 512: 9, 8192: 3}  # tokens -> turns
PACKAGES = {"ours": ("torch",), "onnx": ("onnxruntime",), "gguf": ("xllamacpp",)}


def _ours(folder: Path, dtype: Any) -> Callable[[str], Any]:
    import mmbert
    import torch

    torch.set_num_threads(1)
    embedder = mmbert.load_embedder(folder, device="cpu", dtype=dtype)
    for turn in (0, 1):
        assert [len(embedder.tokenizer(_text(length, turn))["input_ids"]) for length in LENGTHS] == list(LENGTHS)
    return embedder.encode


def _text(length: int, turn: int) -> str:
    """A token a word, and <bos> and <eos>; no turn begins as the one before it, which a server might have kept."""
    return " ".join(["ad"[turn % 2]] + ["a"] * (length - 3))


def _onnx(folder: Path) -> Callable[[str], Any]:
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(next(folder.glob("onnx/*.onnx"))), options)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def embed(text: str) -> Any:
        ids = np.array([tokenizer.encode(text).ids])
        return session.run(["sentence_embedding"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})

    return embed


def _llama_cpp(folder: Path) -> Callable[[str], Any]:
    from run import llama_server

    ask = llama_server(next(folder.glob("*.gguf")))
    return lambda text: ask("/v1/embeddings", {"input": [text], "encoding_format": "float"})


def main(engine: str, folder: str, out: str) -> None:
    """Measure all lengths."""
    kind, _, dtype = engine.partition("-")
    place = Path(folder) / ("embedder" if kind == "ours" else engine)
    embed = _ours(place, dtype) if kind == "ours" else {"onnx": _onnx, "gguf": _llama_cpp}[kind](place)
    embed(_text(16, 1))
    times = {}
    for length, turns in LENGTHS.items():
        taken = []
        for turn in range(turns):
            began = time.process_time()
            embed(_text(length, turn))
            taken.append(time.process_time() - began)
        times[length] = statistics.median(taken)
    versions = [f"{package} {version(package)}" for package in PACKAGES[kind]]
    Path(out).write_text(json.dumps({"times": times, "versions": versions}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])

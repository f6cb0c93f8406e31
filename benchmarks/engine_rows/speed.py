"""Times one engine on one thread: python speed.py ENGINE FOLDER OUT.json, ENGINE ours, onnx, onnx-int8 or gguf-TYPE.

Prints nothing; OUT has the least process CPU time in seconds to embed a text of each length, one text a call.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LENGTHS = {16: 30, 128: 20, 512: 8, 8192: 2}  # tokens -> turns


def _ours(folder: Path) -> Callable[[str], Any]:
    import mmbert
    import torch

    torch.set_num_threads(1)
    return mmbert.load_embedder(folder / "embedder", device="cpu").encode


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
    place = Path(folder)
    start = {"ours": _ours, "onnx": _onnx, "gguf": _llama_cpp}[engine.partition("-")[0]]
    embed = start(place if engine == "ours" else place / engine)
    found = {}
    for length, turns in LENGTHS.items():
        text = " ".join(["a"] * (length - 2))  # a token a word, and <bos> and <eos>
        times = []
        for _ in range(turns):
            began = time.process_time()
            embed(text)
            times.append(time.process_time() - began)
        found[length] = min(times)
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""Loads a checkpoint in whatever interpreter runs this file, and prints as one line of JSON what happened.

    python -I serving_probe.py CHECKPOINT

A program of its own that never imports mmbert: it says what a user without our package gets. It needs Python 3.9, torch
and transformers, and also tries sentence-transformers and ONNX Runtime where they are installed. The
vectors that it prints are compared with the checkpoint's self-test by whoever started it.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_DEFAULT_IDS = list(range(5, 21))


def main(folder: Path) -> None:
    """Try everything that is installed on a checkpoint and print what came of it."""
    sys.modules["mmbert"] = None  # type: ignore[assignment]  # importing it now fails, as where it is not installed
    config = json.loads((folder / "config.json").read_bytes())
    test = folder / "self_test.json"
    ids = json.loads(test.read_bytes())["input_ids"] if test.is_file() else _DEFAULT_IDS
    found = [_attempt("transformers", partial(_with_transformers, folder, ids))]
    if "auto_map" in config:
        found.append(_attempt("trust_remote_code", partial(_with_transformers, folder, ids, trust_remote_code=True)))
    if importlib.util.find_spec("sentence_transformers") and (folder / "tokenizer.json").is_file():
        found.append(_attempt("sentence-transformers", partial(_with_sentence_transformers, folder)))
    for file in (folder / "model.onnx", folder / "onnx" / "model.onnx"):
        if importlib.util.find_spec("onnxruntime") and file.is_file():
            found.append(_attempt("ONNX Runtime", partial(_with_onnxruntime, file, ids)))
    sys.stdout.write(json.dumps(found) + "\n")


def _attempt(what: str, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `load` reports; an error's first line is a report too."""
    try:
        return {"what": what, **load()}
    except Exception as error:  # whatever another library raises is its answer
        lines = str(error).strip().splitlines() or [""]
        return {"what": what, "error": f"{type(error).__name__}: {lines[0][:200]}"}


def _with_transformers(folder: Path, ids: list[int], **options: Any) -> dict[str, Any]:
    import torch
    import transformers

    model, info = transformers.AutoModel.from_pretrained(folder, output_loading_info=True, **options)
    if info["missing_keys"]:
        raise ValueError("tensors are missing: " + ", ".join(sorted(info["missing_keys"])[:3]))
    with torch.no_grad():
        hidden = model.float().eval()(torch.tensor([ids])).last_hidden_state[0]
    if (folder / "tokenizer.json").is_file():
        transformers.AutoTokenizer.from_pretrained(folder, **options)("ein Satz")
    return {"version": transformers.__version__, "class": type(model).__name__, **_vectors(hidden)}


def _with_sentence_transformers(folder: Path) -> dict[str, Any]:
    import sentence_transformers

    vector = sentence_transformers.SentenceTransformer(str(folder), device="cpu").encode(["ein Satz"])[0]
    finite = bool((vector == vector).all())  # not a number is not equal to itself
    return {"version": sentence_transformers.__version__, "size": len(vector), "finite": finite}


def _with_onnxruntime(file: Path, ids: list[int]) -> dict[str, Any]:
    import numpy as np
    import onnxruntime  # type: ignore[import-not-found]
    import torch

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    known = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), dtype=np.int64)}
    outputs = [made.name for made in session.get_outputs()]
    values = session.run(None, {wanted.name: known[wanted.name] for wanted in session.get_inputs()})
    report = {"version": onnxruntime.__version__, "outputs": outputs}
    for name, value in zip(outputs, values):  # noqa: B905 - Python 3.9 has no strict
        if name in ("last_hidden_state", "token_embeddings"):
            return {**report, **_vectors(torch.from_numpy(value[0]).float())}
    return report


def _vectors(hidden: torch.Tensor) -> dict[str, list[float]]:
    hidden = hidden.double()
    return {"mean": hidden.mean(0).tolist(), "last": hidden[-1].tolist()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

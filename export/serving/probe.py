"""Loads a checkpoint or an export in whatever interpreter runs this file, and prints as one line of JSON what happened.

    python -I probe.py FOLDER

A program of its own that never imports mmbert: it says what a user without our package gets. It needs Python 3.9. A
checkpoint is tried with transformers, sentence-transformers and ONNX Runtime; an export with ONNX Runtime, OpenVINO and
its tokenizers, or llama.cpp (xllamacpp): whatever is installed. The numbers that it prints are compared with the
folder's self-test by whoever started it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import urllib.request
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

_DEFAULT_IDS = list(range(5, 21))
_TEXTS = ["Der Zug fährt heute von Gleis neun.", "  def add(a):\n    return a", "图书馆星期一不开门。", "a\t\u00a0b 🙂"]


def main(folder: Path) -> None:
    """Try everything that is installed on a folder and print what came of it."""
    sys.modules["mmbert"] = None  # type: ignore[assignment]  # importing it now fails, as where it is not installed
    exported = (folder / "export.json").is_file() and not (folder / "model.safetensors").is_file()
    sys.stdout.write("\n" + json.dumps(_try_export(folder) if exported else _try_checkpoint(folder)) + "\n")
    sys.stdout.flush()
    os._exit(0)  # engines' threads and farewells stay out


def _try_export(folder: Path) -> list[dict[str, Any]]:
    record = json.loads((folder / "export.json").read_bytes())
    by_suffix: dict[str, list[tuple[str, str, Callable[[Path, dict[str, Any]], dict[str, Any]]]]] = {
        ".onnx": [("ONNX Runtime", "onnxruntime", _graph_in_onnxruntime)],
        ".xml": [
            ("OpenVINO", "openvino", _graph_in_openvino),
            ("openvino-tokenizers", "openvino_tokenizers", _tokenizer_in_openvino),
        ],
        ".gguf": [("gguf", "gguf", _read_gguf), ("llama.cpp, xllamacpp", "xllamacpp", _in_llama_cpp)],
    }
    return [
        {**_attempt(what, partial(run, folder, record)), "version": importlib.metadata.version(package)}
        for what, package, run in by_suffix[Path(record["file"]).suffix]
        if importlib.util.find_spec(package)
    ]


def _graph_input(record: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    ids = np.array([record["self_test"]["input_ids"] if "self_test" in record else [0, 0]])
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def _graph_in_onnxruntime(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    import onnxruntime  # type: ignore[import-not-found]

    session = onnxruntime.InferenceSession(str(folder / record["file"]), providers=["CPUExecutionProvider"])
    return {"values": _flat(session.run(record["output"].split(), _graph_input(record)))}


def _graph_in_openvino(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    import openvino  # type: ignore[import-not-found]

    graph = openvino.compile_model(str(folder / record["file"]), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    outputs = graph(_graph_input(record))
    return {"values": _flat([outputs[name] for name in record["output"].split()])}


def _flat(outputs: list[Any]) -> list[float]:
    import numpy as np

    stacked = outputs[0] if len(outputs) == 1 else np.stack(outputs, axis=-1)
    return [float(value) for value in np.asarray(stacked, dtype=np.float64).ravel()[:64]]


def _tokenizer_in_openvino(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    import openvino
    from openvino_tokenizers import convert_tokenizer  # type: ignore[import-not-found]
    from transformers import AutoTokenizer

    own = AutoTokenizer.from_pretrained(folder)
    converted = convert_tokenizer(own)
    tokenizer = openvino.compile_model(converted[0] if isinstance(converted, tuple) else converted, "CPU")
    equal = sum(tokenizer([text])["input_ids"][0].tolist() == own(text)["input_ids"] for text in _TEXTS)
    return {"said": f"ids of {equal} of {len(_TEXTS)} texts equal", "wrong": equal < len(_TEXTS)}


def _read_gguf(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    import gguf

    tensors = gguf.GGUFReader(folder / record["file"]).tensors
    kinds = sorted({tensor.tensor_type.name for tensor in tensors})
    return {"said": f"{len(tensors)} tensors in {', '.join(kinds)}"}


def _in_llama_cpp(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    ask, test = llama_server(folder / record["file"], record["pooling"]), record.get("self_test")
    if record["pooling"] == "rank":
        scores = ask("/rerank", {"query": _TEXTS[0], "documents": _TEXTS[1:]})["results"]
        finite = all(one["relevance_score"] - one["relevance_score"] == 0 for one in scores)
        return {"said": f"scores of {len(scores)} texts", "wrong": not finite}
    if test is None:
        ask("/v1/embeddings", {"input": _TEXTS, "encoding_format": "float"})
        return {"said": "no self-test in export.json to compare with: export it again for one"}
    if ask("/tokenize", {"content": test["text"], "add_special": True})["tokens"] != test["input_ids"]:
        return {"said": f"other ids for {test['text']!r}", "wrong": True}
    return {
        "values": ask("/v1/embeddings", {"input": test["text"], "encoding_format": "float"})["data"][0]["embedding"]
    }


def llama_server(file: Path, pooling: str = "mean") -> Callable[[str, dict[str, Any]], Any]:
    """Start llama.cpp's server on a GGUF, one thread; give what asks it."""
    import xllamacpp  # type: ignore[import-not-found]

    settings = xllamacpp.CommonParams()
    settings.model.path = str(file)
    settings.embedding = True
    settings.pooling_type = getattr(xllamacpp.llama_pooling_type, f"LLAMA_POOLING_TYPE_{pooling.upper()}")
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 8192
    settings.n_parallel = settings.cpuparams.n_threads = 1
    settings.warmup, settings.port = False, 0
    server = xllamacpp.Server(settings)

    def ask(path: str, body: dict[str, Any]) -> Any:
        data = json.dumps(body).encode()
        place, kind = f"{server.listening_address}{path}", {"Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(place, data, kind), timeout=600) as answer:
            return json.loads(answer.read())

    return ask


def _try_checkpoint(folder: Path) -> list[dict[str, Any]]:
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
    return found


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

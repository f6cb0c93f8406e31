"""What an exported folder (ONNX, OpenVINO, GGUF) holds, and whether the engines that are installed here run it.

Engines that are not installed go by what was measured with the version that is named; nothing is fetched.
"""

import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...common.files import read_json
from ..graphs.runtime import RECORD, ExportRecord, open_runtime
from .check import Verdict

_TOLERANCE = {"float32": 1e-3, "float16": 1e-2}  # relative error
_ROUNDED_TOLERANCE = 5e-2  # in int8 and q4, whose kernels differ by processor
_JAVASCRIPT = {  # file -> dtype of transformers.js
    "model.onnx": "fp32",
    "model_fp16.onnx": "fp16",
    "model_quantized.onnx": "q8",
    "model_q4.onnx": "q4",
}
_BLANKS = "runs of blanks have the checkpoint's ids, except before a line end or the end of the text"


def describe_export(folder: Path) -> str:
    """Say in a line the task, file, size and limits of an exported folder."""
    record = ExportRecord.read(folder)
    file = folder / record.file
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist, though export.json names it; export the checkpoint again")
    size = sum(path.stat().st_size for path in file.parent.glob(f"{file.stem}*")) / 1e6
    return (
        f"export: {record.task} by {record.file} ({size:,.0f} MB), {record.dimensions:,} numbers, at most "
        f"{record.max_length:,} tokens"
    )


def export_verdicts(folder: Path, *, run: bool) -> list[Verdict]:
    """Tell what each engine does with an exported folder; `run` tries the one it is for, if that is installed."""
    record = ExportRecord.read(folder)
    if record.file.endswith(".gguf"):
        return list(_gguf(folder, record, run))
    if record.file.endswith(".xml"):
        return [_ran(folder, record, "OpenVINO", "openvino", "openvino", run), *_around_openvino()]
    return [_ran(folder, record, "ONNX Runtime", "onnxruntime", "onnx", run), *_around_onnx(record)]


def _ran(folder: Path, record: ExportRecord, engine: str, package: str, extra: str, run: bool) -> Verdict:
    """Run a graph on the row that export.json holds, and compare."""
    if importlib.util.find_spec(package) is None:
        return Verdict(engine, "unknown", f'{package} is absent: pip install "mmbert[{extra}]"', "not run")
    if not run:
        return Verdict(engine, "unknown", "there is a file; it was not run", "looked for the file")
    engine = f"{engine} {importlib.metadata.version(package)}"
    test = read_json(folder / RECORD).get("self_test")
    ids = np.array([test["input_ids"] if test else [0, 0]])
    try:
        found = open_runtime(folder).encode_batch(ids, np.ones_like(ids)).ravel()
    except ValueError as error:
        return Verdict(engine, "no", str(error), "ran")
    if not np.isfinite(found).all():
        return Verdict(engine, "wrong", "its numbers are not finite", "ran")
    if test is None:
        return Verdict(engine, "yes", "no self-test in export.json to compare with: export it again for one", "ran")
    wanted: Any = np.array(test["values"])
    gap = float(np.linalg.norm(found[: len(wanted)] - wanted) / max(float(np.linalg.norm(wanted)), 1e-12))
    tolerance = _TOLERANCE.get(record.dtype, _ROUNDED_TOLERANCE)
    told = f"self-test: relative error {gap:.1e} {'<=' if gap <= tolerance else '>'} {tolerance:g}"
    return Verdict(engine, "yes" if gap <= tolerance else "wrong", told, "ran")


def _around_onnx(record: ExportRecord) -> Iterator[Verdict]:
    name = Path(record.file).name
    dtype = _JAVASCRIPT.get(name)
    if dtype is None:
        yield Verdict("transformers.js", "no", f"looks for {', '.join(_JAVASCRIPT)}, not {name}", "4.3.2")
    else:
        yield Verdict("transformers.js", "yes", f'dtype: "{dtype}"; {_BLANKS}', "measured with 4.3.2")
    if record.task in ("embedding", "feature-extraction"):
        why = f'add_custom_model(pooling=PoolingType.MEAN or CLS, model_file="{record.file}")'
        yield Verdict("fastembed", "yes", why, "measured with 0.9.1")
        why = 'backend="onnx" runs through optimum-onnx, which wants transformers below 4.58: an environment of its own'
        yield Verdict(
            "sentence-transformers", "yes", f'{why}; here load_embedder(..., backend="onnx")', "read in 6.2.0"
        )


def _around_openvino() -> Iterator[Verdict]:
    yield Verdict(
        "openvino-tokenizers", "yes", f"{_BLANKS}; <0x41> in a text is a byte there", "measured with 2026.4.1"
    )
    why = 'backend="openvino" runs through optimum-intel, which wants transformers below 5.6'
    yield Verdict(
        "sentence-transformers", "yes", f'{why}; here load_embedder(..., backend="openvino")', "read in 6.2.0"
    )


def _gguf(folder: Path, record: ExportRecord, run: bool) -> Iterator[Verdict]:
    file = folder / record.file
    if importlib.util.find_spec("gguf") is None:
        yield Verdict("gguf", "unknown", 'gguf is absent: pip install "mmbert[gguf]"', "not run")
    elif run:
        yield _read_gguf(file)
    blanks = "a run of blanks is one token there, in code, tables and indented text"
    lossy = "; q4 and q5 lose quality, cosine to fp32 about 0.995" if "-q4" in file.name or "-q5" in file.name else ""
    pooling: Any = read_json(folder / RECORD).get("pooling")
    command = (
        f"llama-server -m {record.file} --{'reranking' if pooling == 'rank' else f'embedding --pooling {pooling}'}"
    )
    yield Verdict("llama.cpp", "yes", f"{command}; {blanks}{lossy}", "measured with xllamacpp 2026.10")
    if record.task == "embedding":
        yield Verdict("Ollama", "yes", "ollama create NAME -f Modelfile; ollama embeds by llama.cpp", "by llama.cpp")


def _read_gguf(file: Path) -> Verdict:
    import gguf

    engine = f"gguf {importlib.metadata.version('gguf')}"
    try:
        reader = gguf.GGUFReader(file)
    except (ValueError, OSError, IndexError) as error:
        return Verdict(engine, "no", f"not a whole GGUF: {' '.join(str(error).split())[:200]}", "ran")
    kinds = sorted({tensor.tensor_type.name for tensor in reader.tensors})
    return Verdict(engine, "yes", f"{len(reader.tensors)} tensors in {', '.join(kinds)}", "ran")

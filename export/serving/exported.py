"""What an exported folder (ONNX, OpenVINO, GGUF) holds, and whether the engines that are installed run it.

Engines that are not installed go by what was measured with the version that is named; nothing is fetched.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...common.checkpoints.integrity import verify_checksums
from ...common.files import file_size, read_json
from ..graphs.runtime import RECORD, ExportRecord
from .check import Verdict
from .run import probe, put_together

_TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "f32": 1e-3, "f16": 1e-2, "bf16": 3e-2, "q8_0": 5e-2}  # relative error
_ROUNDED_TOLERANCE = {".onnx": 5e-2, ".xml": 5e-2, ".gguf": 0.3}  # int8, q4; kernels differ by processor
_ENGINES = {".onnx": ("onnxruntime", "onnx"), ".xml": ("openvino", "openvino"), ".gguf": ("gguf", "gguf")}
_JAVASCRIPT = {  # file -> dtype of transformers.js
    "model.onnx": "fp32",
    "model_fp16.onnx": "fp16",
    "model_quantized.onnx": "q8",
    "model_q4.onnx": "q4",
}
_BLANKS = "runs of blanks have the checkpoint's ids, except before a line end or the end of the text"


def describe_export(folder: Path) -> str:
    """Say in a line the task, file, size and limits of an exported folder, whose files are checked first."""
    record = ExportRecord.read(folder)
    file = folder / record.file
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist, though export.json names it; export the checkpoint again")
    if file.suffix not in _ENGINES:
        raise ValueError(f"{folder / RECORD}: no engine runs {record.file}; export the checkpoint again")
    sums = "checksums agree" if verify_checksums(folder, [record.file]) else "no checksums to compare"
    size = sum(path.stat().st_size for path in file.parent.glob(f"{file.stem}*"))
    return (
        f"export: {record.task} by {record.file} ({file_size(size)}), {record.dimensions:,} numbers, at most "
        f"{record.max_length:,} tokens, {sums}"
    )


def export_verdicts(folder: Path, pythons: Sequence[str | os.PathLike[str]]) -> list[Verdict]:
    """Tell what each engine does with an exported folder, run wherever one of the interpreters has it."""
    record = ExportRecord.read(folder)
    package, extra = _ENGINES[Path(record.file).suffix]
    ran: list[Verdict] = []
    for python in pythons:
        found = probe(folder, python, package)
        if not found and str(python) != sys.executable:
            raise ValueError(f"{python}: has no {package}, which runs {record.file}; give a Python with {package}")
        ran += [_verdict(entry, folder, record) for entry in found]
    absent = f'{package} is absent: pip install "mmbert[{extra}]"' if pythons else "there is a file; it was not run"
    return put_together(list(_known(folder, record, absent)), ran)


def _known(folder: Path, record: ExportRecord, absent: str) -> Iterator[Verdict]:
    if record.file.endswith(".gguf"):
        yield Verdict("gguf", "unknown", absent, "not run")
        yield from _around_gguf(folder, record)
        return
    engine, around = ("OpenVINO", _around_openvino) if record.file.endswith(".xml") else ("ONNX Runtime", _around_onnx)
    yield Verdict(engine, "unknown", absent, "not run")
    for verdict in around(record):
        if (folder / "tokenizer.json").is_file():
            yield verdict
        else:
            yield Verdict(verdict.engine, "no", "there is no tokenizer.json", "looked for the file")


def _verdict(entry: dict[str, Any], folder: Path, record: ExportRecord) -> Verdict:
    """Compare what an engine computed with what export.json says."""
    engine = f"{entry['what']} {entry['version']}"
    if "error" in entry:
        return Verdict(engine, "no", entry["error"], "ran")
    if "values" not in entry:
        return Verdict(engine, "wrong" if entry.get("wrong") else "yes", entry["said"], "ran")
    found, test = np.array(entry["values"]), read_json(folder / RECORD).get("self_test")
    if not np.isfinite(found).all():
        return Verdict(engine, "wrong", "its numbers are not finite", "ran")
    if test is None:
        return Verdict(engine, "yes", "no self-test in export.json to compare with: export it again for one", "ran")
    wanted = np.array(test["values"])
    gap = float(np.linalg.norm(found[: len(wanted)] - wanted) / max(float(np.linalg.norm(wanted)), 1e-12))
    file = Path(record.file)
    dtype = file.stem.rpartition("-")[2] if file.suffix == ".gguf" else record.dtype
    tolerance = _TOLERANCE.get(dtype, _ROUNDED_TOLERANCE[file.suffix])
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


def _around_openvino(_: ExportRecord) -> Iterator[Verdict]:
    yield Verdict(
        "openvino-tokenizers", "yes", f"{_BLANKS}; <0x41> in a text is a byte there", "measured with 2026.4.1"
    )
    why = 'backend="openvino" runs through optimum-intel, which wants transformers below 5.6'
    yield Verdict(
        "sentence-transformers", "yes", f'{why}; here load_embedder(..., backend="openvino")', "read in 6.2.0"
    )


def _around_gguf(folder: Path, record: ExportRecord) -> Iterator[Verdict]:
    file = Path(record.file).name
    blanks = "a run of blanks is one token there, in code, tables and indented text"
    lossy = "; q4 and q5 lose quality, cosine to fp32 about 0.995" if "-q4" in file or "-q5" in file else ""
    pooling: Any = read_json(folder / RECORD).get("pooling")
    command = (
        f"llama-server -m {record.file} --{'reranking' if pooling == 'rank' else f'embedding --pooling {pooling}'}"
    )
    yield Verdict("llama.cpp", "yes", f"{command}; {blanks}{lossy}", "measured with xllamacpp 2026.10")
    if record.task == "embedding":
        yield Verdict("Ollama", "yes", "ollama create NAME -f Modelfile; ollama embeds by llama.cpp", "by llama.cpp")

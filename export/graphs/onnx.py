"""Exports a checkpoint to ONNX: one graph for every batch and length, compared with torch before it appears.

Written over `torch.onnx` and ONNX Runtime's own optimiser and quantiser: optimum-onnx 0.1.0, the usual way, wants
transformers below 4.58. The folder is laid out as optimum and sentence-transformers expect it.

Trade-off: levels 2 and 3 fuse operations into ones that ONNX Runtime alone knows; other engines want 0 or 1.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...common.messages import require_known
from .folder import Exported, GraphFormat, write_folder
from .plan import ExportPlan
from .quantization import PROTOBUF_LIMIT, has_weights_apart, quantise_onnx, save_graph
from .runtime import ONNX_FOLDER, import_onnxruntime
from .traceable import record

OPSET = 20  # the first with Gelu as an operation of its own
LEVELS = (0, 1, 2, 3)
_SUFFIXES = {  # as transformers.js looks for them by its dtype fp32, fp16, q8, q4
    "none": "",
    "fp16": "_fp16",
    "int8": "_quantized",
    "int8-static": "_qint8_static",
    "q4": "_q4",
}


def export_onnx(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    task: str | None = None,
    optimize: int = 1,
    quantize: str = "none",
    calibration: Sequence[str] | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    dims: int | None = None,
    weights_limit: int = PROTOBUF_LIMIT,
) -> Exported:
    """Write a folder with an ONNX graph that ONNX Runtime, optimum and sentence-transformers load.

    Args:
        checkpoint: Checkpoint, SentenceTransformer, or LoRA adapter (peft), which is merged and keeps its head.
        output: Folder to make; it is absent or whole.
        task: `feature-extraction`, `embedding` (pooling inside), `fill-mask`, `text-classification` (rerankers too),
            `token-classification`, `question-answering`, `sparse-embedding` (SPLADE) or `token-embedding` (ColBERT);
            None: what the checkpoint is made for.
        optimize: 0: the graph as recorded. 1: constants folded, standard operators only. 2: fused, for ONNX Runtime.
            3: also what fits this very processor.
        quantize: `none`; `fp16`, for GPUs and browsers; `int8` (activations measured while running) or `int8-static`
            (measured on `calibration`); `q4`: matrices in 4 bits, 32 numbers a scale, and the table in int8.
        calibration: Texts like those the model will read; 50 to 200 are enough, the first 256 are used.
        pooling: For embeddings: `mean` or `cls`; None: as saved, mean for a plain encoder.
        normalize: For embeddings: whether they have length 1; None: as saved, True for a plain encoder.
        dims: For embeddings: keep the first so many dimensions, before they are normalised.
        weights_limit: Bytes of weights that the graph's file may hold; with more they lie in `NAME.onnx_data` beside
            it, which config.json tells transformers.js. No file of ONNX holds 2 GiB.

    Returns:
        The folder, the file and the comparison with torch, which `parity.json` holds too.

    Raises:
        FileNotFoundError: If the checkpoint, or the base of an adapter, is absent.
        ImportError: If onnx, onnxscript or onnxruntime is not installed.
        ValueError: If the input is damaged or a pickle, an option does not fit, the output exists or cannot be written,
            or the graph gives other numbers than the checkpoint.
    """
    require_known("optimize", optimize, LEVELS)
    if quantize == "fp16" and optimize > 1:
        raise ValueError(f"optimize {optimize} would write fp16 back into fp32 on this processor; choose 0 or 1")
    _import_exporter()
    target = GraphFormat(
        "onnx",
        f"{ONNX_FOLDER}/model*.onnx",
        _SUFFIXES,
        lambda plan, path: _write_graph(plan, path, optimize, min(weights_limit, PROTOBUF_LIMIT)),
    )
    return write_folder(
        target,
        checkpoint,
        output,
        quantize=quantize,
        task=task,
        calibration=calibration,
        pooling=pooling,
        normalize=normalize,
        dims=dims,
    )


def _import_exporter() -> None:
    import_onnxruntime()
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as missing:
        raise ImportError('ONNX export needs onnx and onnxscript: pip install "mmbert[onnx]"') from missing


def _write_graph(plan: ExportPlan, path: Path, optimize: int, limit: int) -> None:
    """Record, optimise and quantise; intermediate files lie beside the result, where there is room for it."""
    import onnx

    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        folder = Path(scratch)
        made = _record_onnx(plan, folder / "recorded.onnx", limit)
        if plan.quantize != "none":
            made = _optimised(made, folder / "basic.onnx", min(optimize, 1))
            quantise_onnx(made, folder / "quantised.onnx", plan.quantize, plan.calibration)
            made = folder / "quantised.onnx"
            optimize = 0 if optimize < 2 else optimize
        made = _optimised(made, folder / "optimised.onnx", optimize)
        apart = has_weights_apart(made)
        if apart or made.stat().st_size > limit:
            apart = save_graph(onnx.load(made), path, limit)
        else:
            made.rename(path)
    if apart:
        plan.config["transformers.js_config"] = {"use_external_data_format": {path.name: 1}}


def _record_onnx(plan: ExportPlan, path: Path, limit: int) -> Path:
    import torch

    program: Any = torch.onnx.export(
        record(plan.network),
        (),
        input_names=["input_ids", "attention_mask"],
        output_names=plan.network.outputs,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    proto = program.model_proto
    _name_axes(proto)
    save_graph(proto, path, limit)
    return path


def _name_axes(proto: Any) -> None:
    """Call the two sizes that vary batch and length, as people who open the file expect, and drop torch's notes."""
    names = [dim.dim_param for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    known = dict(zip(names, ("batch", "length"), strict=True))
    for value in (*proto.graph.input, *proto.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = known.get(dim.dim_param, dim.dim_param)
        value.ClearField("metadata_props")
    for node in proto.graph.node:
        node.ClearField("metadata_props")
    proto.graph.ClearField("value_info")


def _optimised(source: Path, target: Path, level: int) -> Path:
    """Let ONNX Runtime write the graph that it would run; returns the source for level 0."""
    if level == 0:
        return source
    onnxruntime = import_onnxruntime()
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = (levels.ORT_ENABLE_BASIC, levels.ORT_ENABLE_EXTENDED, levels.ORT_ENABLE_ALL)[
        level - 1
    ]
    options.optimized_model_filepath = os.fspath(target)
    if has_weights_apart(source):
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name", f"{target.name}_data"
        )
    onnxruntime.InferenceSession(os.fspath(source), options, providers=["CPUExecutionProvider"])
    return target

"""Exports a checkpoint to OpenVINO: one graph for every batch and length, compared with torch before it appears.

The graph is converted from what torch records, without a detour over ONNX, so attention stays one operation of
OpenVINO's. optimum-intel 2.2, the usual way, wants transformers below 5.6; the folder is laid out as it expects it.

Trade-off: OpenVINO optimises when it loads a graph, so there are no levels to choose here.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from .folder import Exported, GraphFormat, write_folder
from .plan import ExportPlan
from .quantization import quantise_openvino
from .runtime import OPENVINO_FOLDER, import_openvino
from .traceable import record

_SUFFIXES = {"none": "", "int8": "_qint8", "int8-static": "_qint8_static"}


def export_openvino(
    checkpoint: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    task: str | None = None,
    quantize: str = "none",
    calibration: Sequence[str] | None = None,
    pooling: str | None = None,
    normalize: bool | None = None,
    dims: int | None = None,
) -> Exported:
    """Write a folder with an OpenVINO graph that OpenVINO, optimum-intel and sentence-transformers load.

    Args:
        checkpoint: Checkpoint, SentenceTransformer, or LoRA adapter (peft), which is merged and keeps its head.
        output: Folder to make; it is absent or whole.
        task: See `export_onnx`.
        quantize: `none`, `int8` (weights) or `int8-static` (activations too, measured on `calibration`); needs nncf.
        calibration: Texts like those the model will read.
        pooling: See `export_onnx`.
        normalize: See `export_onnx`.
        dims: See `export_onnx`.

    Returns:
        The folder, the file and the comparison with torch, which `parity.json` holds too.

    Raises:
        FileNotFoundError: If the checkpoint, or the base of an adapter, is absent.
        ImportError: If openvino, or nncf for int8, is not installed.
        ValueError: If the input is damaged or a pickle, an option does not fit, the output exists or cannot be written,
            or the graph gives other numbers than the checkpoint.
    """
    import_openvino()
    target = GraphFormat("openvino", f"{OPENVINO_FOLDER}/openvino_model*.xml", _SUFFIXES, _write_graph)
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


def _write_graph(plan: ExportPlan, path: Path) -> None:
    openvino = import_openvino()
    model = openvino.convert_model(record(plan.network))
    for place, name in zip(model.inputs, ("input_ids", "attention_mask"), strict=True):
        place.get_tensor().set_names({name})
    for place, name in zip(model.outputs, plan.network.outputs, strict=True):
        place.get_tensor().set_names({name})
    if plan.quantize != "none":
        model = quantise_openvino(model, plan.calibration)
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # a full disk, among others
        raise OSError(None, " ".join(str(error).split())[:200], os.fspath(path)) from error

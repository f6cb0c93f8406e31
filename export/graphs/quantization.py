"""Fewer bits for exported graphs: fp16, int8 with activations by the batch or calibrated on the user's texts, q4.

What is quantised: products with a weight matrix, a scale for each output channel, and the embedding table, a scale for
each row (64 % of mmBERT-base; see `RowQuantisedEmbedding`). Scores of attention, norms and softmax stay in fp32.

`int8` finds the range of activations anew in every batch, so a vector depends a little on its neighbours;
`int8-static` fixes it from calibration texts, so it does not, but tokens outside that range are clipped. `q4` has
matrices in 4 bits (ONNX Runtime's MatMulNBits) and computes in fp32; `fp16` is half the size, for GPUs and browsers.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .parity import padded

ROUNDED = ("int8", "int8-static", "q4")  # those that have the embedding table in int8
MAX_CALIBRATION_TEXTS = 256
_ROW = 512  # tokens of a calibration text that are read
_PROTOBUF_LIMIT = 2**31 - 2**20  # bytes of one ONNX file; beyond, weights lie in a file of their own
_EXACT = ("LayerNormalization", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceSum", "Softmax", "Div", "Log")


def check_quantisation(quantize: str, calibration: Sequence[str] | None, tokenizer: Any | None) -> None:
    """Refuse combinations that cannot work, before anything is loaded."""
    if quantize != "int8-static" and calibration is not None:
        raise ValueError(f"calibration texts are for quantize='int8-static', got {quantize!r}; leave one of them out")
    if quantize == "int8-static":
        if not calibration or not any(text.strip() for text in calibration):
            raise ValueError("int8-static needs calibration texts: some dozen lines like those the model will read")
        if tokenizer is None:
            raise ValueError("int8-static needs the checkpoint's tokenizer, and there is none beside it")


def calibration_batches(texts: Sequence[str], tokenizer: Any) -> list[dict[str, np.ndarray]]:
    """Tokenise the first 256 calibration texts that are not empty, one per batch, so that no padding is measured."""
    rows = [tokenizer(text, truncation=True, max_length=_ROW)["input_ids"] for text in texts if text.strip()]
    batches = [padded([row]) for row in rows[:MAX_CALIBRATION_TEXTS]]
    return [{"input_ids": ids.numpy(), "attention_mask": mask.numpy()} for ids, mask in batches]


def quantise_onnx(source: Path, target: Path, kind: str, batches: list[dict[str, np.ndarray]] | None) -> None:
    """Put the weights of an fp32 ONNX file into fewer bits; `batches` are for `int8-static`."""
    if kind == "fp16":
        _halve(source, target)
    elif kind == "q4":
        _quarter_byte(source, target)
    else:
        _quantise_int8(source, target, batches)


def _halve(source: Path, target: Path) -> None:
    """Write weights and products in fp16; sums over many tokens, norms and rotary angles stay in fp32."""
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    model = onnx.load(source)
    exact = _before(model.graph, ("Cos", "Sin"))  # whole numbers above 2,048 have no fp16
    half = convert_float_to_float16(
        model, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_EXACT], node_block_list=sorted(exact)
    )
    save_graph(half, target)


def _before(graph: Any, kinds: tuple[str, ...]) -> set[str]:
    """Name the nodes of these kinds and all that they are computed from."""
    makers = {output: node for node in graph.node for output in node.output}
    waiting = [node for node in graph.node if node.op_type in kinds]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return found


def _quarter_byte(source: Path, target: Path) -> None:
    """Put every product with a weight matrix into 4 bits, 32 numbers along its input a scale."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantiser = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=True)
    quantiser.process()
    save_graph(quantiser.model.model, target)


def save_graph(model: Any, target: Path) -> None:
    """Write an ONNX model, with its weights in a file of their own where one of protobuf cannot hold them."""
    import onnx

    if model.ByteSize() < _PROTOBUF_LIMIT:
        onnx.save(model, target)
    else:
        onnx.save(model, target, save_as_external_data=True, location=f"{target.name}_data")


def _quantise_int8(source: Path, target: Path, batches: list[dict[str, np.ndarray]] | None) -> None:
    """Quantise the matrices of an fp32 ONNX file; without `batches` activations are measured while running."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    options: dict[str, Any] = {"MatMulConstBOnly": True}
    common: dict[str, Any] = {"op_types_to_quantize": ["MatMul"], "per_channel": True, "weight_type": QuantType.QInt8}
    if batches is None:
        quantize_dynamic(os.fspath(source), os.fspath(target), **common, extra_options=options)
        return

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, rows: Iterator[dict[str, np.ndarray]]) -> None:
            self.rows = rows

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.rows, None)

    quantize_static(
        os.fspath(source),
        os.fspath(target),
        Reader(iter(batches)),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        **common,
        extra_options=options,
    )


def quantise_openvino(model: Any, batches: list[dict[str, np.ndarray]] | None) -> Any:
    """Quantise an fp32 OpenVINO model with nncf; without `batches` only weights, activations while running."""
    try:
        import nncf
    except ImportError as missing:
        raise ImportError('int8 for OpenVINO needs nncf: pip install "mmbert[openvino]"') from missing
    if batches is None:
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    dataset = nncf.Dataset(batches, lambda batch: [batch["input_ids"], batch["attention_mask"]])
    return nncf.quantize(
        model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches), fast_bias_correction=True
    )

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
PROTOBUF_LIMIT = 2**31 - 2**20  # bytes of weights that one ONNX file can hold
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
        save_graph(_halved(source), target)
    elif kind == "q4":
        save_graph(_in_four_bits(source), target)
    else:
        _quantise_int8(source, target, batches)


def _halved(source: Path) -> Any:
    """Give weights and products in fp16; sums over many tokens, norms and rotary angles stay in fp32."""
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    graph = onnx.load(source, load_external_data=False).graph
    exact = _before(graph, ("Cos", "Sin"))  # whole numbers above 2,048 have no fp16
    # Given a path, it finds shapes in files of any size; in a model that is in memory, up to 2 GB.
    return convert_float_to_float16(
        os.fspath(source),
        keep_io_types=True,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_EXACT],
        node_block_list=sorted(exact),
    )


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


def _in_four_bits(source: Path) -> Any:
    """Put every product with a weight matrix into 4 bits, 32 numbers along its input a scale."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantiser = MatMulNBitsQuantizer(onnx.load(source), block_size=32, is_symmetric=True)
    quantiser.process()
    return quantiser.model.model


def save_graph(model: Any, target: Path, limit: int = PROTOBUF_LIMIT) -> bool:
    """Write an ONNX model; weights of more bytes than `limit` go into `NAME.onnx_data` beside it, which gives True.

    That name is the one that transformers.js looks for; ONNX Runtime reads it in the file.
    """
    import onnx

    # Not `ByteSize`, which fails on what is too large to write.
    apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > limit
    onnx.save(model, target, save_as_external_data=apart, location=f"{target.name}_data")
    return apart


def has_weights_apart(file: Path) -> bool:
    """Say whether an ONNX file has weights in another one."""
    import onnx

    tensors = onnx.load(file, load_external_data=False).graph.initializer
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)


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
    common: dict[str, Any] = {
        "op_types_to_quantize": ["MatMul"],
        "per_channel": True,
        "weight_type": QuantType.QInt8,
        "use_external_data_format": has_weights_apart(source),
    }
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

"""int8 for exported graphs: weights a channel each, activations by the batch or calibrated on the user's texts.

What is quantised: products with a weight matrix, a scale for each output channel, and the embedding table, a scale for
each row (64 % of mmBERT-base; see `RowQuantisedEmbedding`). Scores of attention, norms and softmax stay in fp32.

`int8` finds the range of activations anew in every batch, so a vector depends a little on its neighbours;
`int8-static` fixes it from calibration texts, so it does not, but tokens outside that range are clipped.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .parity import padded

QUANTISATIONS = ("none", "int8", "int8-static")
MAX_CALIBRATION_TEXTS = 256
_ROW = 512  # tokens of a calibration text that are read


def check_quantisation(quantize: str, calibration: Sequence[str] | None, tokenizer: Any | None) -> None:
    """Refuse combinations that cannot work, before anything is loaded."""
    if quantize not in QUANTISATIONS:
        raise ValueError(f"quantize must be one of {', '.join(QUANTISATIONS)}, got {quantize!r}")
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


def quantise_onnx(source: Path, target: Path, batches: list[dict[str, np.ndarray]] | None) -> None:
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

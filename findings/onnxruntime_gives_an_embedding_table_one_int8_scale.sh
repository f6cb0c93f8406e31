#!/usr/bin/env bash
# onnxruntime 1.32.0 (onnx 1.23.2), 2026-11-30: quantize_dynamic(per_channel=True) quantises the table of a Gather, an
# embedding layer, with ONE scale for all rows; one token with large weights turns the others to zeros.
#
# per_channel reaches MatMul and Conv weights only. For Gather the scale is a scalar whatever the option says, set by
# the largest number of the whole table. In vocabularies of 100,000 tokens and more some row is always far out (unused
# or control tokens, or rows that training hardly touched), so the step can exceed everything that an ordinary row holds.
#
# Why a good guess goes wrong: the option's name and help promise a scale per channel, the file shrinks to a quarter as
# expected, and no warning is given. Leave Gather out (op_types_to_quantize=["MatMul"]) or quantise rows by hand.
# Whom it hurts: who exports a multilingual encoder, two thirds of which are its embedding table, to int8.
#
# Seen (1,000 rows of N(0, 0.02), row 7 times 200):
#   per_channel=False: scale shape [], zero rows 408, cosine 0.411 (median)
#   per_channel=True: scale shape [], zero rows 408, cosine 0.411 (median)
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

table = np.random.default_rng(0).normal(0, 0.02, (1000, 32)).astype(np.float32)
table[7] *= 200
ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["n"])
out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 32])
lookup = helper.make_node("Gather", ["table", "ids"], ["out"])
graph = helper.make_graph([lookup], "embedding", [ids], [out], [numpy_helper.from_array(table, "table")])
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "model.onnx")
seen = []
for per_channel in (False, True):
    quantize_dynamic("model.onnx", "int8.onnx", per_channel=per_channel, weight_type=QuantType.QInt8)
    shapes = {one.name: list(one.dims) for one in onnx.load("int8.onnx").graph.initializer}
    rows = onnxruntime.InferenceSession("int8.onnx").run(None, {"ids": np.arange(1000)})[0]
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(table, axis=1)
    cosine = float(np.median((rows * table).sum(1) / np.maximum(norms, 1e-9)))
    zeros = int((np.abs(rows).sum(1) == 0).sum())
    print(f"per_channel={per_channel}: scale shape {shapes['table_scale']}, zero rows {zeros}, cosine {cosine:.3f}")
    seen.append((shapes["table_scale"], zeros > 300, cosine < 0.6))
sys.exit(seen != [([], True, True)] * 2)
PYTHON

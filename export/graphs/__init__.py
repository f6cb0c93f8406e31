"""ONNX and OpenVINO.

`folder` plans an export, `onnx` and `openvino` write it, `parity` proves it, `runtime` runs it.
"""

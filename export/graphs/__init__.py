"""ONNX and OpenVINO.

`folder` plans an export, `onnx` and `openvino` write it, `parity` proves it, `runtime` runs it.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "Exported": "folder",
    "OnnxEncoder": "runtime",
    "OpenVinoEncoder": "runtime",
    "Parity": "parity",
    "export_onnx": "onnx",
    "export_openvino": "openvino",
    "open_runtime": "runtime",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""How a model leaves: formats that other software reads."""

from .exported_folder import Exported
from .modernbert import export_modernbert
from .onnx import export_onnx
from .openvino import export_openvino
from .parity import Parity
from .runtime import OnnxEncoder, OpenVinoEncoder, open_runtime

__all__ = [
    "Exported",
    "OnnxEncoder",
    "OpenVinoEncoder",
    "Parity",
    "export_modernbert",
    "export_onnx",
    "export_openvino",
    "open_runtime",
]

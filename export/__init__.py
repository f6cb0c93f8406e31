"""How a model leaves: formats that other software reads, smaller vocabularies, and the way to the Hub."""

from importlib import import_module
from typing import Any

from .exported_folder import Exported
from .hub import Publication, push
from .modernbert import export_modernbert
from .onnx import export_onnx
from .openvino import export_openvino
from .parity import Parity
from .runtime import OnnxEncoder, OpenVinoEncoder, open_runtime

# Not needed to export, so not imported before they are used.
_HOMES = {"TrimReport": "trim_report", "read_trim_report": "trim_report", "trim_vocabulary": "trimming"}

__all__ = [
    "Exported",
    "OnnxEncoder",
    "OpenVinoEncoder",
    "Parity",
    "Publication",
    "TrimReport",
    "export_modernbert",
    "export_onnx",
    "export_openvino",
    "open_runtime",
    "push",
    "read_trim_report",
    "trim_vocabulary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

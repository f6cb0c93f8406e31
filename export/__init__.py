"""How a model leaves: formats that other software reads, smaller vocabularies, the way to the Hub, who will load it."""

from .composer import convert_composer
from .exported_folder import Exported
from .hub import Publication, push
from .modernbert import export_modernbert
from .onnx import export_onnx
from .openvino import export_openvino
from .parity import Parity
from .runtime import OnnxEncoder, OpenVinoEncoder, open_runtime
from .self_test import Comparison, SelfTest, make_self_test, read_self_test
from .serving import Verdict, read_verdicts
from .serving_run import put_together, run_verdicts
from .trim_report import TrimReport, read_trim_report
from .trimming import trim_vocabulary

__all__ = [
    "Comparison",
    "Exported",
    "OnnxEncoder",
    "OpenVinoEncoder",
    "Parity",
    "Publication",
    "SelfTest",
    "TrimReport",
    "Verdict",
    "convert_composer",
    "export_modernbert",
    "export_onnx",
    "export_openvino",
    "make_self_test",
    "open_runtime",
    "push",
    "put_together",
    "read_self_test",
    "read_trim_report",
    "read_verdicts",
    "run_verdicts",
    "trim_vocabulary",
]

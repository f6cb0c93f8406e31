"""How a model leaves: formats that other software reads, and a look at which software will."""

from .composer import convert_composer
from .exported_folder import Exported
from .modernbert import export_modernbert
from .onnx import export_onnx
from .openvino import export_openvino
from .parity import Parity
from .runtime import OnnxEncoder, OpenVinoEncoder, open_runtime
from .self_test import Comparison, SelfTest, make_self_test, read_self_test
from .serving import Verdict, read_verdicts
from .serving_run import put_together, run_verdicts

__all__ = [
    "Comparison",
    "Exported",
    "OnnxEncoder",
    "OpenVinoEncoder",
    "Parity",
    "SelfTest",
    "Verdict",
    "convert_composer",
    "export_modernbert",
    "export_onnx",
    "export_openvino",
    "make_self_test",
    "open_runtime",
    "put_together",
    "read_self_test",
    "read_verdicts",
    "run_verdicts",
]

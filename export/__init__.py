"""How a model leaves: formats that other software reads, smaller vocabularies, the way to the Hub, who will load it."""

from .gguf.write import GgufExport, export_gguf
from .graphs.folder import Exported
from .graphs.onnx import export_onnx
from .graphs.openvino import export_openvino
from .graphs.parity import Parity
from .graphs.runtime import OnnxEncoder, OpenVinoEncoder, open_runtime
from .hub.upload import Publication, push
from .modernbert.composer import convert_composer
from .modernbert.convert import export_modernbert
from .modernbert.self_test import Comparison, SelfTest, make_self_test, read_self_test
from .serving.check import Verdict, read_verdicts
from .serving.run import put_together, run_verdicts
from .vocabulary.report import TrimReport, read_trim_report
from .vocabulary.trim import trim_vocabulary

__all__ = [
    "Comparison",
    "Exported",
    "GgufExport",
    "OnnxEncoder",
    "OpenVinoEncoder",
    "Parity",
    "Publication",
    "SelfTest",
    "TrimReport",
    "Verdict",
    "convert_composer",
    "export_gguf",
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

"""How a model leaves: formats that other software reads, and a look at which software will."""

from .composer import convert_composer
from .modernbert import export_modernbert
from .self_test import Comparison, SelfTest, make_self_test, read_self_test
from .serving import Verdict, read_verdicts
from .serving_run import put_together, run_verdicts

__all__ = [
    "Comparison",
    "SelfTest",
    "Verdict",
    "convert_composer",
    "export_modernbert",
    "make_self_test",
    "put_together",
    "read_self_test",
    "read_verdicts",
    "run_verdicts",
]

"""How a model leaves: formats that other software reads, a look at which software will, and the way to the Hub."""

from .composer import convert_composer
from .hub import Publication, push
from .modernbert import export_modernbert
from .self_test import Comparison, SelfTest, make_self_test, read_self_test
from .serving import Verdict, read_verdicts
from .serving_run import put_together, run_verdicts

__all__ = [
    "Comparison",
    "Publication",
    "SelfTest",
    "Verdict",
    "convert_composer",
    "export_modernbert",
    "make_self_test",
    "push",
    "put_together",
    "read_self_test",
    "read_verdicts",
    "run_verdicts",
]

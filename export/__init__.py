"""How a model leaves: formats that other software reads, smaller vocabularies, the way to the Hub, who will load it."""

from .composer import convert_composer
from .hub import Publication, push
from .modernbert import export_modernbert
from .self_test import Comparison, SelfTest, make_self_test, read_self_test
from .serving import Verdict, read_verdicts
from .serving_run import put_together, run_verdicts
from .trim_report import TrimReport, read_trim_report
from .trimming import trim_vocabulary

__all__ = [
    "Comparison",
    "Publication",
    "SelfTest",
    "TrimReport",
    "Verdict",
    "convert_composer",
    "export_modernbert",
    "make_self_test",
    "push",
    "put_together",
    "read_self_test",
    "read_trim_report",
    "read_verdicts",
    "run_verdicts",
    "trim_vocabulary",
]

"""How variants become one: TIES, task arithmetic, weighted averages, and a report of where the variants agree."""

from .arithmetic import merge_task_arithmetic
from .average import exponential_weights, merge_weighted_average
from .report import AgreementReport, read_report
from .search import Trial, search_ties
from .ties import merge_ties

__all__ = [
    "AgreementReport",
    "Trial",
    "exponential_weights",
    "merge_task_arithmetic",
    "merge_ties",
    "merge_weighted_average",
    "read_report",
    "search_ties",
]

"""How variants become one: TIES, weighted averages, and a report of where the variants agree."""

from .average import exponential_weights, merge_weighted_average
from .report import AgreementReport, read_report
from .ties import merge_ties

__all__ = ["AgreementReport", "exponential_weights", "merge_ties", "merge_weighted_average", "read_report"]

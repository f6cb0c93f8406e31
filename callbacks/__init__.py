"""What changes while the model learns, and what is reported of it.

`masking_ratio` and `language_phase` are the switches; `language_report` and `throughput` report what really happened.
"""

from ..common.lazy import lazy_exports

_HOMES = {
    "ActiveVocabularyCallback": "active_vocabulary",
    "LanguagePhaseCallback": "language_phase",
    "LanguageReportCallback": "language_report",
    "MaskingRatioCallback": "masking_ratio",
    "ThroughputCallback": "throughput",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

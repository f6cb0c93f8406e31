"""What changes while the model learns: the switches a user sets, and the witnesses of what really happened."""

from .language_phase import LanguagePhaseCallback
from .language_report import LanguageReportCallback
from .masking_ratio import MaskingRatioCallback
from .progress import ProgressCallback

__all__ = ["LanguagePhaseCallback", "LanguageReportCallback", "MaskingRatioCallback", "ProgressCallback"]

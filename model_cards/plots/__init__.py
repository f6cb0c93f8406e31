"""Pictures: `style` is what they share."""

from ...common.lazy import lazy_exports

_HOMES = {
    "draw_agreement": "agreement",
    "draw_all": "pretraining",
    "draw_benchmark": "benchmark",
    "draw_efficiency": "efficiency",
    "draw_fertility": "fertility",
    "draw_language_report": "languages",
    "draw_language_scores": "scores",
    "draw_losses": "pretraining",
    "draw_plan": "plan",
    "draw_retrieval": "pretraining",
    "draw_schedule": "pretraining",
    "draw_shares": "pretraining",
    "phase_spans": "style",
    "short_count": "style",
    "spread": "style",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

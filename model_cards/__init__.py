"""What a run tells of itself: `cards/`, `plots/`, `report/`, all from a run's own records; `markdown` writes tables."""

from ..common.lazy import lazy_exports

_HOMES = {
    "add_embedding_scores": "cards.embedding_scores",
    "build_card": "cards.pretraining",
    "build_fine_tune_card": "cards.finetuning",
    "write_card": "cards.folder",
    "build_merge_card": "cards.merge",
    "build_plain_card": "cards.minimal",
    "draw_agreement": "plots.agreement",
    "draw_all": "plots.pretraining",
    "draw_benchmark": "plots.benchmark",
    "draw_efficiency": "plots.efficiency",
    "draw_fertility": "plots.fertility",
    "draw_language_report": "plots.languages",
    "draw_language_scores": "plots.scores",
    "draw_losses": "plots.pretraining",
    "draw_retrieval": "plots.pretraining",
    "draw_schedule": "plots.pretraining",
    "draw_shares": "plots.pretraining",
    "read_records": "cards.pretraining",
    "write_report": "report.write",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""What a run tells about itself: the model card and the pictures, both filled from the run's own records."""

from .cards.embedding_scores import add_embedding_scores
from .cards.finetuning import build_fine_tune_card
from .cards.merge import build_merge_card
from .cards.minimal import build_plain_card
from .cards.pretraining import build_card, read_records
from .plots.agreement import draw_agreement
from .plots.benchmark import draw_benchmark
from .plots.efficiency import draw_efficiency
from .plots.languages import draw_language_report
from .plots.pretraining import draw_all, draw_losses, draw_retrieval, draw_schedule, draw_shares
from .plots.scores import draw_language_scores

__all__ = [
    "add_embedding_scores",
    "build_card",
    "build_fine_tune_card",
    "build_merge_card",
    "build_plain_card",
    "draw_agreement",
    "draw_all",
    "draw_benchmark",
    "draw_efficiency",
    "draw_fertility",
    "draw_language_report",
    "draw_language_scores",
    "draw_losses",
    "draw_retrieval",
    "draw_schedule",
    "draw_shares",
    "read_records",
]

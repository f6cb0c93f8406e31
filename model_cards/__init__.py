"""What a run tells about itself: the model card and the pictures, both filled from the run's own records."""

from .card import build_card, read_records
from .embedding_scores import add_embedding_scores
from .fine_tune_card import build_fine_tune_card
from .language_pictures import draw_retrieval, draw_shares
from .merge_card import build_merge_card
from .pictures import draw_all, draw_losses, draw_schedule
from .plain_card import build_plain_card
from .report_picture import draw_language_report
from .score_picture import draw_language_scores

__all__ = [
    "add_embedding_scores",
    "build_card",
    "build_fine_tune_card",
    "build_merge_card",
    "build_plain_card",
    "draw_all",
    "draw_language_report",
    "draw_language_scores",
    "draw_losses",
    "draw_retrieval",
    "draw_schedule",
    "draw_shares",
    "read_records",
]

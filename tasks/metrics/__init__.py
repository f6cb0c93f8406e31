"""Scores: `classification` (labels, tags, spans), `question_answering`, `ranking`."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Scores": "classification",
    "answer_scores": "question_answering",
    "answer_tokens": "question_answering",
    "chance_scores": "ranking",
    "entity_scheme": "classification",
    "exact_match": "question_answering",
    "label_scores": "classification",
    "official_scores": "question_answering",
    "ranked_gains": "ranking",
    "ranking_scores": "ranking",
    "similarity_scores": "classification",
    "span_scores": "classification",
    "tag_scores": "classification",
    "token_f1": "question_answering",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

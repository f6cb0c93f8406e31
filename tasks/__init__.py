"""Tasks on labelled rows: each encodes, collates, decodes, scores, and knows its baseline."""

from ..common.lazy import lazy_exports

_HOMES = {
    "AnswerHead": "words_head",
    "AnswerMetrics": "question_answering",
    "ChoiceHead": "texts_head",
    "ChoiceOptions": "multiple_choice",
    "ClassificationMetrics": "classification_scores",
    "LabelHead": "texts_head",
    "LabelledSources": "cli",
    "PassageOptions": "question_answering",
    "ScoreHead": "texts_head",
    "TagHead": "words_head",
    "TagOptions": "token_classification",
    "TaskHead": "base",
    "TextOptions": "text_classification",
    "baseline_scores": "classification_scores",
    "encode_choices": "multiple_choice",
    "encode_rows": "text_classification",
    "fine_tune_answerer": "question_answering",
    "fine_tune_chooser": "multiple_choice",
    "fine_tune_classifier": "text_classification",
    "fine_tune_tagger": "token_classification",
    "first_number": "multiple_choice",
    "labels_of": "text_classification",
    "language_table": "language_scores",
    "pool_windows": "classification_scores",
    "problem_of": "text_classification",
    "right_choices": "multiple_choice",
    "run_fine_tuning": "cli",
    "table_lines": "language_scores",
    "write_language_table": "language_scores",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""Tasks on labelled rows: each encodes, collates, decodes and scores them, and knows its baseline.

Read `base` (what a task is), one task (`text_classification`), `training` (seeds and folders), `cli` (scripts) and
`models` (train and predict in three lines).
"""

from ..common.lazy import lazy_exports

_HOMES = {
    "Answerer": "models",
    "ChoiceOptions": "multiple_choice",
    "Chooser": "models",
    "Classifier": "models",
    "LabelledSources": "cli",
    "MultipleChoice": "multiple_choice",
    "PassageOptions": "question_answering",
    "QuestionAnswering": "question_answering",
    "TagOptions": "token_classification",
    "Tagger": "models",
    "Task": "base",
    "TaskModel": "models",
    "TextClassification": "text_classification",
    "TextOptions": "text_classification",
    "TokenClassification": "token_classification",
    "fine_tune_answerer": "question_answering",
    "fine_tune_chooser": "multiple_choice",
    "fine_tune_classifier": "text_classification",
    "fine_tune_tagger": "token_classification",
    "fine_tune_task": "training",
    "language_table": "language_scores",
    "load_task_model": "models",
    "run_fine_tuning": "cli",
    "table_lines": "language_scores",
    "task_class": "cli",
    "write_language_table": "language_scores",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

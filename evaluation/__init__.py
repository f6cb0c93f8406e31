"""How good it is: tasks, metrics and per-language reports."""

from importlib import import_module
from typing import Any

_HOMES = {
    "ChoiceOptions": "multiple_choice",
    "PassageOptions": "answering",
    "TagOptions": "tagging",
    "TextOptions": "classification",
    "bitext_accuracy": "bitext",
    "embedding_markdown": "embedding_judging",
    "embedding_model_index": "embedding_judging",
    "fine_tune_answerer": "answering",
    "fine_tune_chooser": "multiple_choice",
    "fine_tune_classifier": "classification",
    "fine_tune_tagger": "tagging",
    "judge_embedder": "embedding_judging",
    "language_table": "language_table",
    "local_task": "mteb_tasks",
    "neighbour_scores": "knn",
    "retrieval_scores": "retrieval",
    "run_fine_tuning": "fine_tuning_script",
    "sts_scores": "sts",
    "summary_table": "embedding_judging",
    "table_lines": "language_table",
    "write_language_table": "language_table",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

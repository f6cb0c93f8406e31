"""mmBERT for everyone: train it, continue it, merge it, embed with it, publish it.

This file is the face and nothing else: public names, resolved when they are first used, and the registration of the
model with transformers' Auto classes. pytest imports a repository root that has an `__init__.py` a second time under
the folder's name; registering only when the name is `mmbert` keeps every class single. And where that folder's name is
no name of a package (`mmbert-main`), a relative import would fail, so even the version is looked up when it is wanted.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "__version__": "version",
    "Answerer": "tasks",
    "Chooser": "tasks",
    "Classifier": "tasks",
    "LanguageMixture": "languages",
    "LanguagePhaseCallback": "callbacks",
    "MaskingRatioCallback": "callbacks",
    "MlmTrainer": "trainers",
    "MmBertConfig": "modeling",
    "MmBertForMaskedLM": "modeling",
    "MmBertForMultipleChoice": "modeling",
    "MmBertForQuestionAnswering": "modeling",
    "MmBertForSequenceClassification": "modeling",
    "MmBertForTokenClassification": "modeling",
    "MmBertModel": "modeling",
    "Recipe": "recipes",
    "Tagger": "tasks",
    "export_modernbert": "export",
    "load_embedder": "embeddings",
    "merge_ties": "merging",
    "merge_weighted_average": "merging",
    "train_tokenizer": "modeling",
    "trim_vocabulary": "export",
}

__all__ = sorted(_HOMES, key=lambda name: (name != "__version__", name))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if __name__ == "mmbert":
    from .common.moved import install
    from .modeling.registration import register_when_loaded

    install()
    register_when_loaded()

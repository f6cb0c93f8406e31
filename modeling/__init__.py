"""What the model is: configuration, network, attention, initialisation, tokenizer, checkpoint formats.

The files that the network needs lie flat in this folder and import each other as `.name` only: a published checkpoint
carries copies of them beside its weights (`auto_map`).
"""

from importlib import import_module
from typing import Any

from .configuration_mmbert import MmBertConfig
from .modeling_mmbert import (
    MmBertForMaskedLM,
    MmBertForMultipleChoice,
    MmBertForQuestionAnswering,
    MmBertForSequenceClassification,
    MmBertForTokenClassification,
    MmBertModel,
    MmBertPreTrainedModel,
)

# Not needed to run a network, so not imported before they are used.
_HOMES = {
    "build_tokenizer": "tokenization_mmbert",
    "initialise_from": "resize",
    "quantise_weights": "int8_weights",
    "train_tokenizer": "tokenization_mmbert",
}

__all__ = [
    "MmBertConfig",
    "MmBertForMaskedLM",
    "MmBertForMultipleChoice",
    "MmBertForQuestionAnswering",
    "MmBertForSequenceClassification",
    "MmBertForTokenClassification",
    "MmBertModel",
    "MmBertPreTrainedModel",
    "build_tokenizer",
    "initialise_from",
    "quantise_weights",
    "register",
    "train_tokenizer",
]


def register() -> None:
    """Make AutoConfig, AutoModel and the five Auto classes with a head know `mmbert`; calling it again is harmless."""
    import transformers

    transformers.AutoConfig.register(MmBertConfig.model_type, MmBertConfig, exist_ok=True)
    for auto, model in (
        (transformers.AutoModel, MmBertModel),
        (transformers.AutoModelForMaskedLM, MmBertForMaskedLM),
        (transformers.AutoModelForMultipleChoice, MmBertForMultipleChoice),
        (transformers.AutoModelForQuestionAnswering, MmBertForQuestionAnswering),
        (transformers.AutoModelForSequenceClassification, MmBertForSequenceClassification),
        (transformers.AutoModelForTokenClassification, MmBertForTokenClassification),
    ):
        auto.register(MmBertConfig, model, exist_ok=True)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

"""The model: configuration, network, attention, initialisation, tokenizer.

Read `modeling_mmbert` first: the encoder and its heads, as in transformers. `packing` turns padded rows into one
stream, `layers` and `attention` compute on it, `attention_backends` choose the kernel. Files that the network needs lie
flat and import each other as `.name` only: a published checkpoint carries copies of them (`auto_map`).
"""

from ..common.lazy import lazy_exports

_HOMES = {
    "MmBertConfig": "configuration_mmbert",
    "MmBertForMaskedLM": "modeling_mmbert",
    "MmBertForMultipleChoice": "modeling_mmbert",
    "MmBertForQuestionAnswering": "modeling_mmbert",
    "MmBertForSequenceClassification": "modeling_mmbert",
    "MmBertForTokenClassification": "modeling_mmbert",
    "MmBertModel": "modeling_mmbert",
    "MmBertPreTrainedModel": "modeling_mmbert",
    "build_tokenizer": "tokenization_mmbert",
    "initialise_from": "resize",
    "quantise_weights": "int8_weights",
    "register": "registration",
    "save_tokenizer": "tokenization_mmbert",
    "train_tokenizer": "tokenization_mmbert",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

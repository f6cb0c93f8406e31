"""What the model reads: corpora, token shards, the language mixture, packed and masked batches; position -> batch."""

from importlib import import_module
from typing import Any

_HOMES = {
    "Answer": "answers",
    "Answers": "answers",
    "CatalogueCorpus": "catalogues",
    "Corpus": "corpus",
    "Document": "corpus",
    "Entity": "word_labels",
    "DocumentTokenizer": "document_tokenizer",
    "FileCorpus": "files",
    "HubCorpus": "hub",
    "LabelledSources": "labelled_sources",
    "LanguageMixture": "mixture",
    "MlmStream": "stream",
    "ReadOptions": "rows",
    "RunningText": "running_text",
    "ShardOptions": "shard_writer",
    "PackedCollator": "collator",
    "Pair": "corpus",
    "PassageEncoding": "passages",
    "PassageRows": "passage_rows",
    "ParallelCorpus": "corpus",
    "Source": "corpus",
    "TokenShards": "shards",
    "WordEncoding": "words",
    "WordRows": "word_rows",
    "answer_spans": "passages",
    "best_null_threshold": "answers",
    "character_tags": "word_labels",
    "check_languages": "languages",
    "decode_answers": "answers",
    "encode_passages": "passages",
    "encode_running": "words",
    "encode_words": "words",
    "entities": "word_labels",
    "entry_phase": "languages",
    "join_parts": "tokenization",
    "join_words": "running_text",
    "natural_token_counts": "official_mixture",
    "open_corpus": "opening",
    "planned_mixture": "official_mixture",
    "published_mixture": "official_mixture",
    "encode_texts": "text_features",
    "sample_rows": "labelled",
    "read_labelled": "labelled",
    "published_token_counts": "languages",
    "split_words": "running_text",
    "tag_names": "word_labels",
    "tag_numbers": "word_labels",
    "tags_of_spans": "word_labels",
    "tokenize_corpus": "tokenization",
    "write_predictions": "answers",
    "write_shards": "shards",
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

"""What the model reads: corpora, token shards, the language mixture, packed and masked batches; position -> batch."""

from importlib import import_module
from typing import Any

_HOMES = {
    "CatalogueCorpus": "catalogues",
    "Corpus": "corpus",
    "Document": "corpus",
    "DocumentTokenizer": "document_tokenizer",
    "FileCorpus": "files",
    "HubCorpus": "hub",
    "LanguageMixture": "mixture",
    "MlmStream": "stream",
    "ReadOptions": "rows",
    "ShardOptions": "shard_writer",
    "PackedCollator": "collator",
    "Pair": "corpus",
    "ParallelCorpus": "corpus",
    "Source": "corpus",
    "TokenShards": "shards",
    "check_languages": "languages",
    "entry_phase": "languages",
    "join_parts": "tokenization",
    "natural_token_counts": "official_mixture",
    "open_corpus": "opening",
    "planned_mixture": "official_mixture",
    "published_mixture": "official_mixture",
    "read_labelled": "labelled",
    "published_token_counts": "languages",
    "tokenize_corpus": "tokenization",
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

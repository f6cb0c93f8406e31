"""From a corpus to token shards: `pipeline` plans shard tasks, `pool` runs `worker`s, `writer` joins what they left."""

from ...common.lazy import lazy_exports

_HOMES = {
    "BundleWriter": "intermediate",
    "DocumentTokenizer": "document_tokenizer",
    "HubFeed": "source",
    "PreparedData": "preparation",
    "SeenHashes": "dedup",
    "ShardOptions": "writer",
    "TokenizeProgress": "progress",
    "WorkFolder": "workdir",
    "balanced_texts": "preparation",
    "cut_documents": "chunking",
    "join_parts": "pipeline",
    "open_feed": "open_source",
    "open_planned_corpus": "preparation",
    "planned_languages": "preparation",
    "prepare": "preparation",
    "read_finished": "intermediate",
    "text_hash": "dedup",
    "tokenize_corpus": "pipeline",
    "tokenize_feeds": "pipeline",
    "tokenized_folder": "folder",
    "write_languages": "writer",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

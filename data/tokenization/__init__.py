"""From a corpus to token shards.

`pipeline` cuts sources into shard tasks, `workers` does them in any number of processes, `writer` joins what they left,
and `recipe_data` does all of it for a recipe. `source`, `mds_source`, `shard_source`, `datatrove` are what can be read.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "BundleWriter": "intermediate",
    "DocumentTokenizer": "document_tokenizer",
    "HubRowSource": "source",
    "PreparedData": "recipe_data",
    "RowSource": "source",
    "SeenHashes": "writer",
    "ShardOptions": "writer",
    "ShardTask": "source",
    "TokenizeProgress": "workers",
    "TokenizeStep": "datatrove",
    "WorkFolder": "workdir",
    "balanced_texts": "recipe_data",
    "cut_documents": "writer",
    "join_parts": "pipeline",
    "open_planned_corpus": "recipe_data",
    "open_row_source": "pipeline",
    "planned_languages": "recipe_data",
    "prepare": "recipe_data",
    "read_finished": "intermediate",
    "tokenize_corpus": "pipeline",
    "tokenize_sources": "pipeline",
    "tokenized_folder": "recipe_data",
    "write_languages": "writer",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

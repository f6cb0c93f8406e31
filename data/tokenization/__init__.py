"""From a corpus to token shards.

`pipeline` cuts sources into shard tasks, `workers` does them in any number of processes, `writer` joins what they left,
and `recipe_data` does all of it for a recipe. `source`, `mds_source`, `shard_source`, `datatrove` are what can be read.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "SeenHashes": "writer",
    "TokenizeProgress": "workers",
    "TokenizeStep": "datatrove",
    "balanced_texts": "recipe_data",
    "join_parts": "pipeline",
    "open_planned_corpus": "recipe_data",
    "open_row_source": "pipeline",
    "planned_languages": "recipe_data",
    "prepare": "recipe_data",
    "tokenize_corpus": "pipeline",
    "tokenize_sources": "pipeline",
    "tokenized_folder": "recipe_data",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

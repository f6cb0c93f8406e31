"""Embedders evaluated: retrieval, bitext, similarity, neighbours; by language."""

from ...common.lazy import lazy_exports

_HOMES = {
    "local_task": "mteb_tasks",
    "read_set": "evaluate",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

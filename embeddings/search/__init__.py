"""Search in documents: `index` adds and removes, `reading` answers, `part` holds passages and vectors."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Document": "documents",
    "Passage": "passages",
    "SearchHit": "query",
    "SearchIndex": "index",
    "build_graph": "nearest",
    "compare_all": "nearest",
    "cut_passages": "passages",
    "open_graph": "nearest",
    "read_documents": "documents",
    "read_manifest": "manifest",
    "walk_graph": "nearest",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

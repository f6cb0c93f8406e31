"""Search in documents: `index` adds, removes and answers; `store` is its files, `words` its full text, `where` filters.

Read `index` first, then `store`; `documents` and `passages` say what goes in, `hits` what comes out.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "Document": "documents",
    "Passage": "passages",
    "SearchHit": "hits",
    "SearchIndex": "index",
    "build_graph": "nearest",
    "compare_all": "nearest",
    "cut_passages": "passages",
    "open_graph": "nearest",
    "read_documents": "documents",
    "walk_graph": "nearest",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

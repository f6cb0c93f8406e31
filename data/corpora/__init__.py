"""Where text comes from.

`open` takes a place, `files`, `hub`, `mds` and `demo` read it, `base` and `rows` are what they give.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "CatalogueCorpus": "demo",
    "Corpus": "base",
    "Document": "base",
    "FileCorpus": "files",
    "HubCorpus": "hub",
    "MdsShard": "mds",
    "OnBadRow": "rows",
    "ReadOptions": "rows",
    "Row": "rows",
    "Source": "base",
    "Split": "base",
    "bad_row": "rows",
    "chunks": "demo",
    "find_problem": "rows",
    "is_heldout": "base",
    "locale_of": "gettext_files",
    "open_corpus": "open",
    "open_with": "open",
    "parse_index": "mds",
    "read_messages": "gettext_files",
    "read_rows": "readers",
    "read_samples": "mds",
    "unpack_shard": "mds",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

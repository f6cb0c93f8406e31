"""Labelled rows as people have them.

`read` is the way in; `files`, `conll` and `hub` read, `columns` find what is what.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "read_labelled": "read",
    "first_look": "read",
    "sample_rows": "read",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

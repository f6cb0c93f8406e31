"""The one reader of rows, for everything that reads them.

`read` is the way in; `files` knows formats, compression, lines and slices, `delimited`, `json_rows`, `arrow` and
`conll` read a format each, `hub` the Hub's datasets, `names` what names of files say.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "Record": "base",
    "Slice": "base",
    "Table": "base",
    "TableError": "base",
    "TableRow": "base",
    "open_tables": "read",
    "read_table": "read",
    "records": "read",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

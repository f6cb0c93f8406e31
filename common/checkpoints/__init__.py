"""Hugging Face checkpoints on disk.

`format` names files and reads headers, `integrity` refuses pickles and compares checksums, `reader` opens, `writer`
writes whole or not at all.
"""

from ..lazy import lazy_exports

_HOMES = {
    "check_folder": "integrity",
    "verify_checksums": "integrity",
    "write_checksums": "integrity",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

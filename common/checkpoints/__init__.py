"""Hugging Face checkpoints on disk.

`format` names files and reads headers, `integrity` refuses pickles and compares checksums, `reader` opens, `writer`
writes whole or not at all.
"""

from ..lazy import lazy_exports

_HOMES = {
    "Checkpoint": "reader",
    "CheckpointWriter": "writer",
    "atomic_directory": "writer",
    "check_folder": "integrity",
    "checkpoint_fingerprint": "reader",
    "find_shards": "format",
    "local_checkpoint": "hub",
    "open_checkpoint": "reader",
    "read_header": "format",
    "verify_checksums": "integrity",
    "write_checksums": "integrity",
    "write_index": "writer",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

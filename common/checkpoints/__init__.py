"""Hugging Face checkpoints on disk.

`format` names files and reads headers, `reader` opens, `writer` writes whole or not at all.
"""

from ..lazy import lazy_exports

_HOMES = {
    "Checkpoint": "reader",
    "CheckpointWriter": "writer",
    "atomic_directory": "writer",
    "checkpoint_fingerprint": "reader",
    "find_shards": "format",
    "open_checkpoint": "reader",
    "read_header": "format",
    "write_checksums": "writer",
    "write_index": "writer",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""Hugging Face checkpoints on disk.

`format` names files and reads headers, `reader` opens, `writer` writes whole or not at all.
"""

from ..lazy import lazy_exports

_HOMES = {
    "Checkpoint": "reader",
    "CheckpointWriter": "writer",
    "atomic_directory": "writer",
    "checkpoint_fingerprint": "reader",
    "copy_files": "writer",
    "find_shards": "format",
    "open_checkpoint": "reader",
    "read_header": "format",
    "read_json": "format",
    "refuse_existing": "writer",
    "sha256": "format",
    "sync_to_disk": "writer",
    "write_checksums": "writer",
    "write_index": "writer",
    "write_json": "writer",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

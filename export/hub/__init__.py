"""To the Hub as one commit: `assemble` the folder, `push` it."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Publication": "upload",
    "assemble_locally": "upload",
    "ensure_repository": "upload",
    "published_tags": "upload",
    "push": "upload",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

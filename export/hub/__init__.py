"""To the Hub as one commit: `assemble` the folder, `push` it."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Publication": "push",
    "ensure_repository": "push",
    "published_tags": "push",
    "push": "push",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

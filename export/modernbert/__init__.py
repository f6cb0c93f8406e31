"""A checkpoint as plain `modernbert`, with our network beside it and a self test that stock transformers has passed."""

from ...common.lazy import lazy_exports

_HOMES = {"export_modernbert": "convert"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

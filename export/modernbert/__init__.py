"""A checkpoint as plain `modernbert`, with our network beside it and a self test that stock transformers has passed."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Comparison": "self_test",
    "SelfTest": "self_test",
    "convert_composer": "composer",
    "copy_modules": "st_modules",
    "export_modernbert": "convert",
    "make_self_test": "self_test",
    "read_modules": "st_modules",
    "read_self_test": "self_test",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

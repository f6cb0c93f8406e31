"""`mmbert bench`: tokens per second, memory and fraction of the roofline, against other models."""

from ...common.lazy import lazy_exports

_HOMES = {"Case": "measurement", "Plan": "measurement", "fits": "measurement", "measure": "measurement"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""From token shards to batches.

`dataset` is position -> batch; `sampler`, `spans`, `masking` and `heldout` are its parts.
"""

from ...common.lazy import lazy_exports

_HOMES = {"HeldOut": "heldout"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

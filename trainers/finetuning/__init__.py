"""Fine-tuning: `fine_tune` is one seed from rows to a saved folder, the others its parts."""

from ...common.lazy import lazy_exports

_HOMES = {"FineTuned": "run", "fine_tune": "run"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

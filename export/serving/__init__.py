"""Who will serve a checkpoint: `check` reads it, `run` tries it."""

from ...common.lazy import lazy_exports

_HOMES = {"Verdict": "check", "read_verdicts": "check"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

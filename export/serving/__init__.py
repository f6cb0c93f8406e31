"""Who will serve a checkpoint: `check` reads it, `run` tries it."""

from ...common.lazy import lazy_exports

_HOMES = {
    "Verdict": "check",
    "put_together": "run",
    "read_verdicts": "check",
    "run_verdicts": "run",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

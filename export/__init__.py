"""How a model leaves: formats that other software reads, smaller vocabularies, the way to the Hub, who will load it."""

from importlib import import_module
from typing import Any

from .modernbert import export_modernbert

# Not needed to export, so not imported before they are used.
_HOMES = {
    "Comparison": "self_test",
    "Publication": "hub",
    "SelfTest": "self_test",
    "TrimReport": "trim_report",
    "Verdict": "serving",
    "convert_composer": "composer",
    "make_self_test": "self_test",
    "push": "hub",
    "put_together": "serving_run",
    "read_self_test": "self_test",
    "read_trim_report": "trim_report",
    "read_verdicts": "serving",
    "run_verdicts": "serving_run",
    "trim_vocabulary": "trimming",
}

__all__ = sorted([*_HOMES, "export_modernbert"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

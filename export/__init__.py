"""How a model leaves: formats that other software reads, smaller vocabularies, and the way to the Hub."""

from importlib import import_module
from typing import Any

from .hub import Publication, push
from .modernbert import export_modernbert

# Not needed to export, so not imported before they are used.
_HOMES = {"TrimReport": "trim_report", "read_trim_report": "trim_report", "trim_vocabulary": "trimming"}

__all__ = ["Publication", "TrimReport", "export_modernbert", "push", "read_trim_report", "trim_vocabulary"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)

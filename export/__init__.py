"""How a model leaves: formats that other software reads."""

from .modernbert import export_modernbert

__all__ = ["export_modernbert"]

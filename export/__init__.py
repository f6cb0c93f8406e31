"""How a model leaves: formats that other software reads, and the way to the Hub."""

from .hub import Publication, push
from .modernbert import export_modernbert

__all__ = ["Publication", "export_modernbert", "push"]

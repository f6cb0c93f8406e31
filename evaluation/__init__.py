"""How good it is: tasks, metrics and per-language reports."""

from .bitext import bitext_accuracy

__all__ = ["bitext_accuracy"]

"""Checkpoints that appear whole or not at all, hold no pickle, and reach the Hub as one commit."""

from ...common.lazy import lazy_exports

_HOMES = {"CheckpointingTrainer": "trainer", "NonFiniteLoss": "trainer"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

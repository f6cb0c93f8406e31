"""Pairs to train on: `sources` read them, `cleaning` says what is left out, `pair_set` holds them."""

from ...common.lazy import lazy_exports

_HOMES = {"PairSet": "pair_set", "same_text": "pair_set"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

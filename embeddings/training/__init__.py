"""Training of embedders, rerankers, ColBERT and SPLADE.

`options` and `presets` choose, `run` trains, `losses` measure.
"""

from ...common.lazy import lazy_exports

_HOMES = {"train_embedder": "embedder"}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

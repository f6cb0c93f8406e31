"""From token shards to batches.

`dataset` is position -> batch; `sampler`, `spans`, `masking` and `heldout` are its parts.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "ChunkTable": "spans",
    "HeldOut": "heldout",
    "Masker": "masking",
    "MlmStream": "dataset",
    "PackedCollator": "collator",
    "PackedRows": "dataset",
    "PhaseReader": "sampler",
    "cap_epochs": "epoch_cap",
    "implied_token_counts": "published_counts",
    "natural_token_counts": "published_counts",
    "planned_mixture": "published_counts",
    "published_mixture": "published_counts",
    "row_noise": "masking",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

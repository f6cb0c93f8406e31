"""Training of embedders, rerankers, ColBERT and SPLADE.

`options` and `presets` choose, `run` trains, `losses` measure.
"""

from ...common.lazy import lazy_exports

_HOMES = {
    "AlignmentReport": "alignment",
    "TrainingPreset": "presets",
    "TrainingReport": "run",
    "align_encoder": "alignment",
    "language_batches": "language_sampler",
    "mine_negatives": "hard_negatives",
    "preset": "presets",
    "rows_of": "options",
    "run_script": "options",
    "settings_of": "options",
    "train_embedder": "embedder",
    "train_multi_vector": "retrievers",
    "train_reranker": "retrievers",
    "train_sparse_encoder": "retrievers",
    "training_parser": "options",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

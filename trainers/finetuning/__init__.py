"""Fine-tuning: `fine_tune` is one seed from rows to a saved folder, the others its parts."""

from ...common.lazy import lazy_exports

_HOMES = {
    "EpochOrder": "trainer",
    "FineTuneOptions": "config",
    "FineTuningArguments": "config",
    "FineTuned": "run",
    "Head": "model",
    "Metrics": "trainer",
    "RowCollator": "trainer",
    "WeightedLoss": "class_weights",
    "add_lora": "model",
    "balanced_weights": "class_weights",
    "build_network": "model",
    "find_previous_run": "previous_run",
    "fine_tune": "run",
    "identity_of": "previous_run",
    "label_order": "model",
    "parameter_groups": "layerwise_lr",
    "parse_fine_tuning": "config",
    "read_record": "output",
    "rows_fingerprint": "previous_run",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

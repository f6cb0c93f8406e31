"""Fine-tuning: `fine_tune` is one seed from rows to a saved folder, the others its parts."""

from ...common.lazy import lazy_exports

_HOMES = {
    "EpochOrder": "trainer",
    "FineTuneOptions": "config",
    "FineTuned": "run",
    "Head": "model",
    "Metrics": "trainer",
    "RowCollator": "trainer",
    "WeightedLoss": "class_weights",
    "add_lora": "model",
    "balanced_weights": "class_weights",
    "build_network": "model",
    "fine_tune": "run",
    "identity_of": "previous_run",
    "label_order": "model",
    "look": "previous_run",
    "parameter_groups": "layerwise_lr",
    "parse_fine_tuning": "command",
    "read_record": "output",
    "rows_fingerprint": "previous_run",
    "training_arguments": "arguments",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""Masked-LM training: `run` is a recipe from end to end, `trainer` the Trainer, the others its parts."""

from ...common.lazy import lazy_exports

_HOMES = {
    "MlmTrainer": "trainer",
    "RecipeRun": "run",
    "language_losses": "eval_loss",
    "parse_run_options": "args",
    "read_group_losses": "record",
    "resource_groups": "eval_loss",
    "run_record": "record",
    "stable_adamw": "optimizer",
    "training_arguments": "args",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

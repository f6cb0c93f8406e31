"""What is planned: a recipe's phases, decay variants, and the schedules that follow from them.

Read `recipe`, `phase`, `training_schedule`; the others are parts of a recipe or of reading its YAML.
"""

from ..common.lazy import lazy_exports

_HOMES = {
    "BatchSchedule": "batch_schedule",
    "DataPlan": "data_plan",
    "DataSource": "data_plan",
    "MaskingSchedule": "masking_schedule",
    "OptimizerPlan": "optimizer_plan",
    "Phase": "phase",
    "Recipe": "recipe",
    "ScheduledPhase": "training_schedule",
    "TrainingSchedule": "training_schedule",
    "shipped_recipes": "recipe",
    "with_replayed_languages": "replay",
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _HOMES)

"""What is planned: a recipe's phases, decay variants, and the schedules that follow from them."""

from .batch_schedule import BatchSchedule
from .data_plan import DataPlan
from .data_source import DataSource
from .masking_schedule import MaskingSchedule
from .optimizer_plan import OptimizerPlan
from .phase import Phase
from .recipe import Recipe
from .road import Road, Stretch

__all__ = [
    "BatchSchedule",
    "DataPlan",
    "DataSource",
    "MaskingSchedule",
    "OptimizerPlan",
    "Phase",
    "Recipe",
    "Road",
    "Stretch",
]

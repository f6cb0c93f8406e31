"""What is planned: a recipe's phases, decay variants, and the schedules that follow from them."""

from .masking_schedule import MaskingSchedule
from .phase import Phase
from .recipe import DataPlan, OptimizerPlan, Recipe
from .road import Road, Stretch

__all__ = ["DataPlan", "MaskingSchedule", "OptimizerPlan", "Phase", "Recipe", "Road", "Stretch"]

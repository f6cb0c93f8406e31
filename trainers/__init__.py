"""How it learns: the masked-LM trainer, its optimizer, its checkpoints, and a whole recipe run from end to end."""

from .arguments import training_arguments
from .mlm import MlmTrainer
from .optimizer import stable_adamw
from .recipe_run import RecipeRun

__all__ = ["MlmTrainer", "RecipeRun", "stable_adamw", "training_arguments"]

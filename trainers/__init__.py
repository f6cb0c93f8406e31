"""How it learns: the masked-LM trainer, its optimizer, its checkpoints, a recipe from end to end, and fine-tuning."""

from .arguments import training_arguments
from .finetuning import FineTuned, fine_tune
from .finetuning_command import parse_fine_tuning
from .finetuning_model import label_order
from .finetuning_options import FineTuneOptions
from .finetuning_saving import read_record
from .mlm import MlmTrainer
from .optimizer import stable_adamw
from .recipe_run import RecipeRun

__all__ = [
    "FineTuneOptions",
    "FineTuned",
    "MlmTrainer",
    "RecipeRun",
    "fine_tune",
    "label_order",
    "parse_fine_tuning",
    "read_record",
    "stable_adamw",
    "training_arguments",
]

"""How it learns: the masked-LM trainer, its optimizer, its checkpoints, a recipe from end to end, and fine-tuning."""

from .finetuning.config import FineTuneOptions, FineTuningArguments, parse_fine_tuning
from .finetuning.model import label_order
from .finetuning.output import read_record
from .finetuning.run import FineTuned, fine_tune
from .pretraining.args import parse_run_options, training_arguments
from .pretraining.optimizer import stable_adamw
from .pretraining.run import RecipeRun
from .pretraining.trainer import MlmTrainer

__all__ = [
    "FineTuneOptions",
    "FineTuned",
    "FineTuningArguments",
    "MlmTrainer",
    "RecipeRun",
    "fine_tune",
    "label_order",
    "parse_fine_tuning",
    "parse_run_options",
    "read_record",
    "stable_adamw",
    "training_arguments",
]

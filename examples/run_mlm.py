"""Train a recipe: phases, falling masking ratio, growing language set, decay variants.

    accelerate launch examples/run_mlm.py --recipe demo --output_dir run
    accelerate launch examples/run_mlm.py --recipe my.yaml --output_dir run --bf16 --dataloader_num_workers 4

The same command resumes a run that was stopped. Every field of transformers' TrainingArguments is an option, but for
what the recipe decides: steps, learning rate, weight decay, clipping and seed.
"""

import logging
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec

from mmbert import Recipe
from mmbert.model_cards import draw_language_report
from mmbert.trainers import RecipeRun, parse_run_options
from transformers.utils import logging as transformers_logging


@dataclass
class RunOptions:
    """Options of this script."""

    recipe: str = field(metadata={"help": "Name of a shipped recipe, such as demo, or path of a YAML file."})
    variants: str = field(default="all", metadata={"help": "Decay variants to train: all, none, or a,b."})
    tokens_per_language: int = field(default=2048, metadata={"help": "Held-out tokens scored in each language."})
    allow_changed_data: bool = field(default=False, metadata={"help": "Resume although the token shards changed."})
    allow_changed_recipe: bool = field(default=False, metadata={"help": "Resume although past phases changed."})


def main() -> None:
    """Parse, run, say where things lie."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()  # of reading and writing weights, a moment each
    options, arguments = parse_run_options(RunOptions, sys.argv[1:])
    run = RecipeRun(
        Recipe.load(options.recipe),
        arguments.pop("output_dir"),
        arguments=arguments,
        tokens_per_language=options.tokens_per_language,
        allow_changed_data=options.allow_changed_data,
        allow_changed_recipe=options.allow_changed_recipe,
        draw_report=draw_language_report if find_spec("matplotlib") else None,  # pip install "mmbert[plots]"
    )
    variants = {"all": None, "none": []}.get(options.variants, options.variants.split(","))
    for part, directory in run.run(variants).items():
        print(f"{part}: {directory}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

"""`mmbert pretrain`: train a recipe: phases, falling masking ratio, growing language set, decay variants.

    mmbert pretrain --recipe demo --output_dir run
    accelerate launch -m mmbert pretrain --recipe my.yaml --output_dir run --bf16 --dataloader_num_workers 4

The same command resumes a run that was stopped. Every field of transformers' TrainingArguments is an option, but for
what the recipe decides: steps, learning rate, weight decay, clipping and seed.
"""

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec

import typer

from ...common.command import run_command


@dataclass
class PretrainOptions:
    """Options of the command."""

    recipe: str = field(metadata={"help": "Name of a shipped recipe, such as demo, or path of a YAML file."})
    variants: str = field(default="all", metadata={"help": "Decay variants to train: all, none, or a,b."})
    tokens_per_language: int = field(default=2048, metadata={"help": "Held-out tokens scored in each language."})
    allow_changed_data: bool = field(default=False, metadata={"help": "Resume although the token shards changed."})
    allow_changed_recipe: bool = field(default=False, metadata={"help": "Resume although past phases changed."})


def main() -> None:
    """Train with the options of the command line."""
    run_command(lambda: pretrain(sys.argv[1:]))


def pretrain(arguments: list[str]) -> None:
    """Train and say where things are."""
    from transformers.utils import logging as transformers_logging

    from ...model_cards import draw_language_report
    from ...recipes import Recipe
    from ...trainers import RecipeRun, parse_run_options

    transformers_logging.disable_progress_bar()  # of reading and writing weights, a moment each
    options, given = parse_run_options(PretrainOptions, arguments, "mmbert pretrain", __doc__)
    run = RecipeRun(
        Recipe.load(options.recipe),
        given.pop("output_dir"),
        arguments=given,
        tokens_per_language=options.tokens_per_language,
        allow_changed_data=options.allow_changed_data,
        allow_changed_recipe=options.allow_changed_recipe,
        draw_report=draw_language_report if find_spec("matplotlib") else None,  # pip install "mmbert[plots]"
    )
    variants = {"all": None, "none": []}.get(options.variants, options.variants.split(","))
    for part, directory in run.run(variants).items():
        typer.echo(f"{part}: {directory}")

"""The `mmbert` command: one thin file per verb, in `training/`, `text/` and `checkpoints/`.

Help, usage errors and completion answer without torch: each verb imports what it needs when it runs. An error that a
user can mend is one line on standard error and exit status 2 (`common.command`).
"""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..common.command import run_command
from ..common.messages import speak
from ..common.options import with_known_names
from .checkpoints.bench import bench
from .checkpoints.card import card
from .checkpoints.doctor import doctor
from .checkpoints.export import export
from .checkpoints.merge import merge
from .checkpoints.push import push
from .checkpoints.trim import trim
from .text.embed import embed
from .text.inspect import inspect
from .text.languages import languages
from .text.recipe import recipe
from .text.search import search
from .text.tokenize import tokenize
from .training.demo import demo
from .training.evaluate import evaluate
from .training.predict import predict


class _Command(TyperCommand):
    """A verb whose options may be written in transformers' names and short forms, with `_` or `-`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not ctx.ignore_unknown_options:
            known = [word[2:] for option in self.params for word in (*option.opts, *option.secondary_opts)]
            args = with_known_names(args, [*known, "help"], ctx.command_path)
        return super().parse_args(ctx, args)


class _Verbs(TyperGroup):
    """The verbs in the order in which they are listed here: what people do first comes first."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    name="mmbert",
    cls=_Verbs,
    help="Train, fine-tune, search with, shrink and publish mmBERT, the multilingual ModernBERT.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# Verbs that read their options with transformers' HfArgumentParser: every field of TrainingArguments is one of them.
_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _pass_on(to: typer.Typer, name: str, module: str, function: str, line: str) -> None:
    """Add a verb that hands its arguments, `--help` included, to a function of a module that is imported then."""

    def verb(context: typer.Context) -> None:
        act: Callable[[list[str]], None] = getattr(import_module(f".{module}", __name__), function)
        act(context.args)

    verb.__doc__ = line
    to.command(name, cls=_Command, context_settings=_PASSED_ON, add_help_option=False)(verb)


def _version(wanted: bool) -> None:
    if wanted:
        from ..version import __version__

        typer.echo(f"mmbert {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
) -> None:
    """Train, fine-tune, search with, shrink and publish mmBERT, the multilingual ModernBERT."""


_pass_on(app, "pretrain", "training.pretrain", "pretrain", "Train by a recipe: phases, masking ratios, decay variants.")
_pass_on(
    app, "continue", "training.continue_pretraining", "continue_pretraining", "Continue a checkpoint on your languages."
)
finetune = typer.Typer(cls=_Verbs, help="Fine-tune on labelled rows, with seeds and scores.", no_args_is_help=True)
for _name, _line in (
    ("classification", "Classify texts or pairs of texts, or score them with a number."),
    ("tagging", "Tag words: parts of speech, entities."),
    ("qa", "Find answers in passages."),
    ("choice", "Choose among answers or continuations."),
):
    _pass_on(finetune, _name, "training.finetune", _name, _line)
app.add_typer(finetune, name="finetune")
train = typer.Typer(cls=_Verbs, help="Train an embedder, a reranker, ColBERT or SPLADE.", no_args_is_help=True)
for _name, _line in (
    ("embedder", "Train a SentenceTransformer on pairs, triplets, scored pairs, NLI or parallel text."),
    ("reranker", "Train a cross-encoder that reads question and passage together."),
    ("colbert", "Train a multi-vector model: one vector per token."),
    ("splade", "Train a sparse model: weights over the vocabulary."),
):
    _pass_on(train, _name, "training.train", _name, _line)
app.add_typer(train, name="train")
for _verb in (
    demo,
    doctor,
    inspect,
    languages,
    recipe,
    tokenize,
    predict,
    evaluate,
    embed,
    merge,
    export,
    trim,
    bench,
    card,
    push,
):
    app.command(cls=_Command)(_verb)
app.add_typer(search, name="search")


def main() -> None:
    """Run the command line."""
    speak("command", **({"on_bad_row": "--skip-bad-rows"} if "evaluate" in sys.argv[1:2] else {}))
    quiet = bool({"-q", "--quiet"} & set(sys.argv[1:2]))
    run_command(lambda: app(prog_name="mmbert"), quiet=quiet)

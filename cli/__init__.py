"""The `mmbert` command: one thin file per verb, in `training/`, `text/` and `checkpoints/`.

Help, usage errors and completion answer without torch: each verb imports what it needs when it runs. An error that a
user can mend is one line on standard error and exit status 2 (`common.command`).
"""

import difflib
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..common.command import run_command
from ..common.deprecation import warn_renamed
from ..common.library_output import sort_library_output
from ..common.messages import did_you_mean, speak
from ..common.options import known_name, spellings, split_config, with_known_names
from ..common.run_file import read_run_file, remember, result_place, write_run_file
from .checkpoints.bench import bench
from .checkpoints.card import card
from .checkpoints.doctor import doctor
from .checkpoints.export import export
from .checkpoints.merge import merge
from .checkpoints.push import push
from .checkpoints.report import report
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

# What people type who come from other packages, and the verb here.
_MEANT = {
    "fine-tune": "finetune", "classify": "finetune classification", "train-classifier": "finetune classification",
    "text-classification": "classification", "sentiment": "classification", "regression": "classification",
    "nli": "classification", "sbert": "embedder", "sequence-classification": "classification",
    "classifier": "classification",
    "token-classification": "tagging", "ner": "tagging", "pos": "tagging", "tagger": "tagging",
    "question-answering": "qa", "answering": "qa", "squad": "qa", "multiple-choice": "choice", "choices": "choice",
    "encode": "embed", "embeddings": "embed", "infer": "predict", "inference": "predict", "eval": "evaluate",
    "convert": "export", "publish": "push", "upload": "push", "prune": "trim", "benchmark": "bench", "mlm": "pretrain",
    "sentence-transformer": "embedder", "bi-encoder": "embedder", "cross-encoder": "reranker", "sparse": "splade",
    "multi-vector": "colbert", "late-interaction": "colbert", "continue-pretraining": "continue",
    "help": "--help", "version": "--version", "query": "search query", "index": "search index",
}  # fmt: skip


_LOUD = {"export": "export.log", "embed": "run.log"}  # beside what trains: other libraries speak much here


class _Command(TyperCommand):
    """A verb whose options have transformers' names and short forms too; arguments may be written like options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.ignore_unknown_options:
            return super().parse_args(ctx, args)
        file, args = (None, args) if self._means_composer(args) else split_config(args)
        names = {word[2:]: one.name for one in self.params for word in (*one.opts, *one.secondary_opts) if "--" in word}
        arguments = {one.name: one for one in self.params if one.param_type_name == "argument"}
        args = with_known_names(args, [*names, "help", *arguments], ctx.command_path)
        ctx.default_map = self._of_file(file, {**names, **{name: name for name in arguments}}, ctx.command_path)
        for name, one in arguments.items():
            args, values = _taken(args, f"--{name}")
            if values:
                ctx.default_map[name] = values if one.nargs != 1 else values[-1]
        rest = super().parse_args(ctx, args)
        given = {name: ctx.params[name] for name in ctx.params if _is_given(ctx, name)}
        if "places" in given and "output" not in given:  # SOURCE... OUTPUT
            given = {**given, "places": given["places"][:-1], "output": given["places"][-1]}
        remember(ctx.command_path, given)
        return rest

    def invoke(self, ctx: Any) -> Any:
        if self.name in _LOUD:
            sort_library_output(result_place(), _LOUD[self.name])
        done = super().invoke(ctx)
        write_run_file()
        return done

    def _means_composer(self, args: list[str]) -> bool:
        """Whether `--config` is that of 0.1's `export --from composer`."""
        if self.name != "export" or "composer" not in " ".join(args) or not any("--config" in word for word in args):
            return False
        old = next(place for place, word in enumerate(args) if word.startswith("--config"))
        warn_renamed("--config of --from composer", "--composer-config")
        args[old] = args[old].replace("--config", "--composer-config", 1)
        return True

    def _of_file(self, file: Path | None, names: dict[str, str], command: str) -> dict[str, Any]:
        """Read a file of options as defaults of the parameters."""
        found: dict[str, Any] = {}
        spelled = spellings(names)
        repeated = {one.name for one in self.params if getattr(one, "multiple", False) or one.nargs != 1}
        for name, value in read_run_file(file, command).items() if file else ():
            option = known_name(name, spelled, f"--config {file}: {command}")
            if value is not None:
                several = names[option] in repeated and not isinstance(value, list)
                found[names[option]] = [value] if several else value
        return found


def _is_given(ctx: Any, name: str) -> bool:
    source = getattr(ctx.get_parameter_source(name), "name", "DEFAULT")
    return source in ("COMMANDLINE", "DEFAULT_MAP") and ctx.params[name] is not None


def _taken(args: list[str], option: str) -> tuple[list[str], list[str]]:
    """Take every `OPTION VALUE` and `OPTION=VALUE` out of a command line."""
    rest, values, waiting = [], [], False
    for word in args:
        if waiting or word.startswith(f"{option}="):
            values.append(word if waiting else word.partition("=")[2])
            waiting = False
        elif word == option:
            waiting = True
        else:
            rest.append(word)
    return rest, values


class _Verbs(TyperGroup):
    """The verbs in the order in which they are listed here: what people do first comes first."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        word = args[0].lower().replace("_", "-") if args else ""
        if args and not word.startswith("-") and self.get_command(ctx, args[0]) is None:
            names = _MEANT | {name: name for name in self.commands}
            near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
            hint = f"did you mean {names[near[0]]}?" if near else f"there are {', '.join(self.commands)}"
            raise ValueError(f"{ctx.command_path} has no command {args[0]}; {hint}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


app = typer.Typer(
    name="mmbert",
    cls=_Verbs,
    help="Train, fine-tune, search with, shrink and publish mmBERT, the multilingual ModernBERT.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
# Verbs that read their options with transformers' HfArgumentParser: every field of TrainingArguments is one of them.
_PASSED_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _pass_on(to: typer.Typer, name: str, module: str, function: str, line: str) -> None:
    """Add a verb that hands its arguments, `--help` included, to a function of a module that is imported then."""

    def verb(context: typer.Context) -> None:
        act: Callable[[list[str]], None] = getattr(import_module(f".{module}", __name__), function)
        act(context.args)
        write_run_file()

    verb.__doc__ = line
    to.command(name, cls=_Command, context_settings=_PASSED_ON, add_help_option=False)(verb)


def _version(wanted: bool) -> None:
    if wanted:
        from ..version import __version__

        typer.echo(f"mmbert {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="Say which version this is.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")] = False,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Compare no checksums of what is read.")] = False,
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
    ("distilled", "Train an embedder to give the vectors of a teacher: a model, a command, an endpoint, a file."),
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
    report,
    card,
    push,
):
    app.command(cls=_Command)(_verb)
for _command in search.registered_commands:
    _command.cls = _Command
app.add_typer(search, name="search", cls=_Verbs)


def main() -> None:
    """Run the command line."""
    own = {
        "evaluate": {"on_bad_row": "--skip-bad-rows", "extra_languages": "", "columns": "by renaming it to {name}"},
        "languages": {"extra_languages": ""},
        "trim": {"language": ""},
        "predict": {"windows": "fine-tuning with --windows"},
    }
    speak("command", on_bad="--skip-bad", **own.get(next(iter(sys.argv[1:2]), ""), {}))
    run_command(_run)


def _run() -> None:
    """Run it so that wrong usage is one line, as every other error is."""
    try:
        status = app(prog_name="mmbert", standalone_mode=False)
    except typer.Abort as stopped:
        raise stopped.__cause__ or KeyboardInterrupt from None
    except SystemExit as ended:  # click ends with 1 where nobody reads any more
        raise ended.__context__ if isinstance(ended.__context__, BrokenPipeError) else ended from None
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        if "NoArgs" in type(error).__name__:  # asked for nothing: the help
            typer.echo(error.format_message(), err=True)
            sys.exit(2)
        told, context = error.format_message().replace("Value error, ", "").rstrip("."), getattr(error, "ctx", None)
        command = context.command_path if context is not None else "mmbert"
        told = f"{command}: {told[:1].lower()}{told[1:]}"
        if choice := re.search(r"'([^']*)' is not one of (.*)", told):
            meant = did_you_mean(choice[1], re.findall(r"'([^']*)'", choice[2]))
            raise ValueError(f"{told}{f'; {meant}' if 'mean' in meant else ''}") from None
        raise ValueError(f"{told}; `{command} --help` shows how") from None
    sys.exit(status if isinstance(status, int) else 0)

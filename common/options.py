"""One vocabulary for the options of every command: transformers' names, their short forms, `_` and `-` alike.

    --epochs 3 --batch-size 8 --lr 2e-5 --output run     is     --num_train_epochs 3 --per_device_train_batch_size 8 ...

A name that no option has is refused with the nearest one. `--config FILE` reads options from YAML or JSON (see
`run_file`); what stands on the command line wins.
"""

import argparse
import difflib
import re
from collections.abc import Collection, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, cast

from ..common.messages import require_known
from .library_output import sort_library_output
from .run_file import read_run_file, remember_words, result_place

# Names for one thing. The first of a row that a command has is meant by all others of the row.
_SAME = (
    ("num_train_epochs", "epochs", "num_epochs", "epoch"),
    ("per_device_train_batch_size", "batch_size", "train_batch_size", "bs", "batch"),
    ("learning_rate", "lr"),
    ("output_dir", "output", "out", "out_dir", "output_path"),
    ("max_seq_length", "max_length", "max_len", "max_seq_len", "seq_len"),
    ("data", "dataset", "dataset_name"),
    ("train", "train_file", "train_data"),
    ("dev", "validation", "validation_file", "eval_file", "dev_file"),
    ("test", "test_file"),
    ("model", "model_name_or_path", "checkpoint", "model_name", "base_model"),
    ("use_cpu", "cpu", "no_cuda"),
    ("languages", "language", "langs", "lang"),
    ("gradient_accumulation_steps", "grad_accum", "accumulation"),
    ("overwrite_output_dir", "overwrite", "force", "restart"),
    ("warmup_steps", "warmup", "warmup_ratio"),
    ("columns", "column"),
    ("tasks", "task"),
    ("dims", "dim", "dimensions"),
    ("top", "top_k", "k", "limit"),
    ("quantize", "quantization"),
    ("source", "texts", "documents", "places", "data", "file", "input", "input_file", "test_file"),
    ("checkpoints", "models", "checkpoint", "model"),
    ("folder", "checkpoint", "model"),
    ("repo_id", "repo", "hub_model_id"),
)
_ELSEWHERE = {
    "device": "it uses the accelerator that there is; give --use_cpu, or set CUDA_VISIBLE_DEVICES=1 in front",
    "seed": "--seeds N makes N runs, with seeds 0, 1, ...",
    "seeds": "it makes one run; give --seed N",
    "task": "the task is the word after the verb, as in `mmbert finetune tagging`",
}
_REPORTERS: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("wandb", "trackio", "mlflow", "comet_ml", "clearml", "swanlab")
}
_OTHER_REPORTERS = (
    "none", "all", "azure_ml", "codecarbon", "dagshub", "dvclive", "flyte", "kubeflow", "neptune"
)  # fmt: skip
_REPORTERS["tensorboard"] = ("tensorboard", "tensorboardX")
_FALSE = ("false", "no", "off", "0")
_WRONG_VALUE = re.compile(r"argument (--[^/:]+)[^:]*: invalid (?:choice|(\w+) value): '(.*?)'(?: \(choose|$)")
_KINDS = {"int": "a whole number", "float": "a number", "Path": "a path"}


def with_known_names(
    arguments: Iterable[str], known: Iterable[str], command: str, flags: Collection[str] = ()
) -> list[str]:
    """A command line with every option under a name that the command has, `--config` read in; `flags` take no value."""
    spelled = spellings(known)
    words = list(arguments)
    if "config" not in spelled:
        file, words = split_config(words)
        words = [*(_of_file(file, spelled, command, flags) if file else []), *words]
    end = words.index("--") if "--" in words else len(words)
    given = []
    for word in words[:end]:
        if not word.startswith("--") or word == "--help":
            given.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        given.append(f"--{known_name(name, spelled, command)}{equals}{value}")
    return [*given, *words[end:]]


def spellings(known: Iterable[str]) -> dict[str, str]:
    """Return each name with `_` and how the command spells it."""
    spelled: dict[str, str] = {}
    for name in known:
        spelled.setdefault(name.replace("-", "_"), name)  # transformers lists --learning_rate, then --learning-rate
    return spelled


def known_name(name: str, spelled: dict[str, str], command: str) -> str:
    """How a command spells an option that may be written in another name; ValueError with the nearest."""
    plain = name.replace("-", "_")
    if plain in spelled:
        return spelled[plain]
    for row in _SAME:
        if plain in row:
            for other in row:
                if other in spelled:
                    return spelled[other]
    if plain in _ELSEWHERE and not (plain == "seed" and "seeds" not in spelled):
        raise ValueError(f"{command} has no option --{name}; {_ELSEWHERE[plain]}")
    if column := re.fullmatch(r"(\w+?)_columns?(?:_names?)?", plain):  # of transformers' scripts
        how = {"columns": f"--columns {column[1]}=COLUMN", "field": "--field COLUMN"}
        if told := next((how[one] for one in how if one in spelled), None):
            raise ValueError(f"{command} has no option --{name}; write {told}")
    short = {name for row in _SAME if spelled.keys() & set(row) for name in row}
    near = difflib.get_close_matches(plain, [*spelled, *sorted(short - spelled.keys())], n=1, cutoff=0.6)
    hint = f"; did you mean --{spelled.get(near[0], near[0])}?" if near else f"; `{command} --help` lists the options"
    raise ValueError(f"{command} has no option --{name}{hint}")


def split_config(words: list[str]) -> tuple[Path | None, list[str]]:
    """Take `--config FILE` out of a command line."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--config":
            value = value if equals else next(iter(words[place + 1 : place + 2]), "")
            if not value:
                raise ValueError("--config is not followed by a file; give a YAML or JSON file of options")
            rest = [*words[:place], *words[place + (1 if equals else 2) :]]
            if any(other.partition("=")[0] == "--config" for other in rest):
                raise ValueError("--config is given twice; put the options into one file")
            return Path(value), rest
    return None, words


def _of_file(path: Path, spelled: dict[str, str], command: str, flags: Collection[str]) -> list[str]:
    """Write the options of a YAML or JSON file as a command line."""
    found = []
    for name, value in read_run_file(path, command).items():
        option = known_name(name, spelled, f"--config {path}: {command}")
        if value is None or (option in flags and str(value).lower() in _FALSE):
            continue
        if str(value).lower() == "true" or option in flags:
            found.append(f"--{option}")
        elif isinstance(value, list):
            found += [f"--{option}", *value]
        else:
            found.append(f"--{option}={value}")
    return found


class HelpWithDefaults(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """The description as it is written, and the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        told = isinstance(action.default, int | float | str) and not isinstance(action.default, bool)
        return super()._get_help_string(action) if told else action.help


def one_line_errors(parser: argparse.ArgumentParser) -> None:
    """Let a parser say what is wrong in one line, without its usage."""

    def error(message: str) -> NoReturn:
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            raise ValueError(f"{parser.prog} needs {missing}; `{parser.prog} --help` lists the options")
        if found := _WRONG_VALUE.match(message):
            name, kind, value = found.groups()
            choices = next((list(map(str, one.choices)) for one in parser._actions if name in one.option_strings
                            and one.choices), None)  # fmt: skip
            if choices is not None:
                require_known(name.lstrip("-"), value, choices)
            message = f"{name} {value} must be {_KINDS.get(kind, kind)}"
        if (parts := message.partition(": Truthy value expected: got "))[1]:
            message = f"{parts[0]} {parts[2].split(' but ')[0]} must be true or false"
        if (rest := message.removeprefix("unrecognized arguments: ")) != message:
            message = _stray(rest.split()[0])
        raise ValueError(f"{parser.prog}: {message.removeprefix('argument ')}")

    parser.error = error  # type: ignore[method-assign]


def _stray(word: str) -> str:
    return f"{word!r} belongs to no option; write its name in front of it, such as --train {word}"


def require_reporters(names: Iterable[str]) -> None:
    """Refuse a service of --report_to whose package is not installed, before anything is read or trained."""
    for name in names:
        require_known("report_to", name, (*_REPORTERS, *_OTHER_REPORTERS))
        if name in _REPORTERS and not any(find_spec(package) for package in _REPORTERS[name]):
            raise ValueError(f"--report_to {name} needs its package: pip install {_REPORTERS[name][0]}")


def refuse_file(output: Path | None) -> None:
    """Refuse a file where the command makes a folder, before anything is read."""
    if output is not None and output.is_file():
        raise ValueError(f"--output {output} is a file, and a folder is to be made there; choose another name")


def hf_arguments(
    arguments: list[str], records: tuple[type, ...], command: str, description: str | None = None
) -> tuple[tuple[Any, ...], frozenset[str]]:
    """Records of dataclasses read from a command line, transformers' way, and the names that it gave."""
    from transformers import HfArgumentParser

    parser = HfArgumentParser(cast(Any, records), allow_abbrev=False, prog=command, description=description)
    one_line_errors(parser)
    known = [word.lstrip("-") for action in parser._actions for word in action.option_strings if word[:2] == "--"]
    written = with_known_names(arguments, known, command)
    remember_words(command, written)
    *values, rest = parser.parse_args_into_dataclasses(written, return_remaining_strings=True)
    if rest:
        parser.error(_stray(rest[0]))
    refuse_file(result_place())
    sort_library_output(result_place())
    require_reporters(one for value in values for one in _listed(getattr(value, "report_to", ())))
    given = {word.split("=")[0].lstrip("-").replace("-", "_") for word in written if word[:2] == "--"}
    return tuple(values), frozenset(name.removeprefix("no_") if name not in known else name for name in given)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def comma_list(text: str | None) -> tuple[str, ...]:
    """Take apart what an option lists with commas between."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def column_names(pairs: Iterable[str]) -> dict[str, str | list[str]]:
    """Read `--columns name=column`, or `name=column,column` where several columns make one of ours."""
    named: dict[str, str | list[str]] = {}
    for pair in pairs:
        name, equals, column = pair.partition("=")
        if not equals:
            raise ValueError(f"--columns {pair}: write name=column, such as text=review.")
        named[name] = column.split(",") if "," in column else column
    return named

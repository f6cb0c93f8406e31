"""One vocabulary for the options of every command: transformers' names, their short forms, `_` and `-` alike.

    --epochs 3 --batch-size 8 --lr 2e-5 --output run     is     --num_train_epochs 3 --per_device_train_batch_size 8 ...

A name that no option has is refused with the nearest one. `--config FILE` reads options from YAML or JSON; what stands
on the command line wins.
"""

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

# Names for one thing. The first of a row that a command has is meant by all others of the row.
_SAME = (
    ("num_train_epochs", "epochs"),
    ("per_device_train_batch_size", "batch_size", "train_batch_size"),
    ("learning_rate", "lr"),
    ("output_dir", "output", "out"),
    ("max_seq_length", "max_length", "max_len"),
    ("data", "dataset", "dataset_name"),
    ("model", "model_name_or_path", "checkpoint"),
    ("use_cpu", "cpu", "no_cuda"),
    ("seeds", "seed"),
    ("languages", "language", "langs", "lang"),
)


def with_known_names(arguments: Iterable[str], known: Iterable[str], command: str) -> list[str]:
    """A command line with every option under a name that the command has, `--config` read in."""
    spelled: dict[str, str] = {}
    for name in known:
        spelled.setdefault(name.replace("-", "_"), name)  # transformers lists --learning_rate, then --learning-rate
    words = list(arguments)
    if "config" not in spelled:
        words = _with_file(words)
    end = words.index("--") if "--" in words else len(words)
    given = []
    for word in words[:end]:
        if not word.startswith("--") or word == "--help":
            given.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        given.append(f"--{spelled[_known_name(name, spelled, command)]}{equals}{value}")
    return [*given, *words[end:]]


def _known_name(name: str, spelled: dict[str, str], command: str) -> str:
    plain = name.replace("-", "_")
    if plain in spelled:
        return plain
    for row in _SAME:
        if plain in row:
            for other in row:
                if other in spelled:
                    return other
    short = {name for row in _SAME if spelled.keys() & set(row) for name in row}
    near = difflib.get_close_matches(plain, [*spelled, *sorted(short - spelled.keys())], n=1, cutoff=0.6)
    hint = f"; did you mean --{spelled.get(near[0], near[0])}?" if near else f"; `{command} --help` lists the options"
    raise ValueError(f"{command} has no option --{name}{hint}")


def _with_file(words: list[str]) -> list[str]:
    """Put the options of `--config FILE` in front, where those of the command line win."""
    for place, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == "--config":
            following = words[place + 1 : place + 2] if not equals else [value]
            return [*_of_file(Path(*following)), *words[:place], *words[place + (1 if equals else 2) :]]
    return words


def _of_file(path: Path) -> list[str]:
    """Write the options of a YAML or JSON file as a command line."""
    import yaml

    if not path.is_file():
        raise FileNotFoundError(f"--config {path} is no file; give a YAML or JSON file of options")
    try:
        options = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"--config {path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(options, dict):
        raise ValueError(f"--config {path} must map options to values, such as `learning_rate: 2e-5`")
    found = []
    for name, value in options.items():
        found += [f"--{name}", *map(_written, value if isinstance(value, list) else [value])]
    return found


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def hf_arguments(
    arguments: list[str], records: tuple[type, ...], command: str, description: str | None = None
) -> tuple[tuple[Any, ...], frozenset[str]]:
    """Read dataclasses of options, transformers' way: a record per dataclass, and the names that were given."""
    from transformers import HfArgumentParser

    parser = HfArgumentParser(cast(Any, records), allow_abbrev=False, prog=command, description=description)
    known = [word.lstrip("-") for action in parser._actions for word in action.option_strings if word[:2] == "--"]
    written = with_known_names(arguments, known, command)
    values = parser.parse_args_into_dataclasses(written)
    given = {word.split("=")[0].lstrip("-").replace("-", "_") for word in written if word[:2] == "--"}
    return values, frozenset(name.removeprefix("no_") if name not in known else name for name in given)

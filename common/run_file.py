"""The options of a command, kept beside what it made: `mmbert VERB --config FOLDER/run.yaml` does the same again.

    command: finetune qa          which verb it belongs to; another verb refuses the file
    model: jhu-clsp/mmBERT-small
    output_dir: answers           options under the names that the command has, paths as they were given

Files of one's own need no `command`. Values are text as on a command line, so that the language `no` stays one. Tokens
of services are never written.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "run.yaml"
_PLACES = ("output_dir", "output")
_now: dict[str, Any] = {}  # what runs in this process: the command, its options


def read_run_file(path: Path, command: str) -> dict[str, str | list[str] | None]:
    """Values as text by option, a list for several, None for one that is left out; a folder means its run.yaml."""
    import yaml

    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"--config {path} is no file; give a YAML or JSON file of options")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"--config {path} cannot be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(root, yaml.MappingNode):
        raise ValueError(f"--config {path} must map options to values, such as `learning_rate: 2e-5`")
    found = {str(key.value): _value(value, f"--config {path}, {key.value}") for key, value in root.value}
    own = found.pop("command", None)
    if own is not None and f"mmbert {own}" != command and own != command:
        raise ValueError(f"--config {path} is of `mmbert {own}`, not of `{command}`; run that, or give another file")
    return found


def _value(node: Any, where: str) -> str | list[str] | None:
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    if isinstance(node, yaml.SequenceNode) and all(isinstance(one, yaml.ScalarNode) for one in node.value):
        return [str(one.value) for one in node.value]
    if isinstance(node, yaml.MappingNode) and all(isinstance(one, yaml.ScalarNode) for _, one in node.value):
        return [f"{key.value}={one.value}" for key, one in node.value]  # columns: {text: review}
    raise ValueError(f"{where} must be a value or a list of values")


def remember(command: str, options: Mapping[str, Any]) -> None:
    """Note what this process runs, for `write_run_file` at its end."""
    _now.clear()
    _now.update(command=command.removeprefix("mmbert "), options=dict(options))


def remember_words(command: str, words: Sequence[str]) -> None:
    """Note what this process runs, from a command line whose options have known names."""
    options: dict[str, Any] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name] = [value] if equals else []
        elif name:
            options[name].append(word)
    one = {name: values[0] if len(values) == 1 else values or True for name, values in options.items()}
    remember(command, one)


def write_run_file() -> None:
    """Write `run.yaml` into the folder that the command has made, `NAME.run.yaml` beside a file; once."""
    import yaml

    if not _now:
        return
    from ..version import __version__

    command, options = _now["command"], _now["options"]
    _now.clear()
    place = _place(options)
    if place is None or not place.exists() or os.environ.get("RANK", "0") != "0":
        return
    target = beside(place, NAME)
    head = f"# Written by mmbert {__version__}; `mmbert {command} --config {target.name}` does the same again.\n"
    plain = {name: _plain(value) for name, value in options.items() if not name.endswith("token")}
    text = yaml.safe_dump({"command": command, **plain}, sort_keys=False, allow_unicode=True, width=1000)
    target.write_text(head + text, encoding="utf-8")


def result_place() -> Path | None:
    """Return the folder or file that the command of this process makes, if its options name one."""
    return _place(_now.get("options", {}))


def beside(place: Path, name: str) -> Path:
    """Return a file in the folder of a result, or beside its file."""
    return place / name if place.is_dir() else place.with_name(f"{place.name.partition('.')[0]}.{name}")


def _place(options: Mapping[str, Any]) -> Path | None:
    return next((Path(str(options[name])) for name in _PLACES if options.get(name)), None)


def _plain(value: Any) -> Any:
    """Numbers and truth values as such, everything else as text."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(getattr(value, "value", value))
    return int(text) if text.isdecimal() and str(int(text)) == text else text

"""The catalogue as objects: `catalogue.yaml` beside this file, checked once.

A user's own task needs no entry here: a YAML file of the same shape is read by `load_tasks(path)` too.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ....common.messages import did_you_mean
from .task import BenchmarkTask, Part

_KEYS = frozenset(
    "title suite head metric languages codes hub config revision columns splits train dev test training "
    "train_languages positive answer_language official note".split()
)
_SPLITS = ("train", "dev", "test")


@cache
def load_tasks(path: str | Path | None = None) -> Mapping[str, BenchmarkTask]:
    """Read a catalogue.

    Args:
        path: A YAML file of the same shape; None: the catalogue that ships.

    Returns:
        Tasks by name, in the file's order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no YAML, or an entry has an unknown key or value; the task is named.
    """
    place = files(__package__) / "catalogue.yaml" if path is None else Path(path)
    if path is not None and not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; give a YAML file with `tasks:`")
    try:
        content = yaml.safe_load(place.read_text(encoding="utf-8"))
    except yaml.YAMLError as broken:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(broken).split())}") from broken
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), dict):
        raise ValueError(f"{path} has no `tasks:` with a task a key")
    defaults = (content.get("defaults") or {}).get("training", {})  # of a user's own catalogue
    return {name: _task(name, entry, defaults) for name, entry in content["tasks"].items()}


def task_named(name: str, path: str | Path | None = None) -> BenchmarkTask:
    """Find a task.

    Args:
        name: Its name in the catalogue.
        path: Another catalogue, which is looked into first.

    Returns:
        The task.

    Raises:
        ValueError: If there is none of that name; near names are listed.
    """
    tasks = {**load_tasks(), **(load_tasks(path) if path is not None else {})}
    if name not in tasks:
        raise ValueError(f"no task {name!r} in the catalogue; {did_you_mean(name, sorted(tasks), most=3)}")
    return tasks[name]


def _task(name: str, entry: Any, defaults: Mapping[str, float]) -> BenchmarkTask:
    if not isinstance(entry, dict):
        raise ValueError(f"task {name}: an entry holds keys like title and head, got {entry!r}")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f"task {name}: unknown key {unknown[0]!r}; the keys are {', '.join(sorted(_KEYS))}")
    missing = [key for key in ("title", "head", "metric") if key not in entry]
    if missing:
        raise ValueError(f"task {name}: {missing[0]} is missing")
    return BenchmarkTask(
        name=name,
        title=entry["title"],
        suite=entry.get("suite", "more"),
        head=entry["head"],
        metric=entry["metric"],
        parts=_parts(entry),
        languages=_languages(entry),
        train_languages=tuple(entry.get("train_languages", ("eng_Latn",))),
        positive=entry.get("positive"),
        training={**defaults, **entry.get("training", {})},
        answer_language=entry.get("answer_language"),
        official=entry.get("official"),
        note=entry.get("note", ""),
    )


def _languages(entry: Mapping[str, Any]) -> dict[str, str]:
    """Read "tag:code tag:code"; `all` means whatever the source has, so nothing is listed."""
    text = entry.get("codes") or entry.get("languages") or "all"
    if text == "all":
        return {}
    return dict(pair.split(":", 1) for pair in text.split())


def _parts(entry: Mapping[str, Any]) -> dict[str, Part]:
    shared = {key: entry[key] for key in ("hub", "config", "revision", "columns") if key in entry}
    parts = {split: Part(split=theirs, **shared) for split, theirs in entry.get("splits", {}).items()}
    parts |= {split: Part(**entry[split]) for split in _SPLITS if split in entry}
    return parts

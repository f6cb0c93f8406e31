"""Remedies in the words of what the user ran: options of a command or script, keys of a recipe, Python's arguments."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

_PATTERNS = {
    "python": ("{name}={value!r}", "_"),
    "command": ("--{name} {value}", "-"),
    "script": ("--{name} {value}", "_"),
    "recipe": ("`{name}: {value}` in the recipe's data section", "_"),
}
_LISTED = 20  # names that a message lists
_now: dict[str, str] = {"style": "python"}
_own: dict[str, str] = {}


def speak(style: str, **own: str) -> None:
    """Say once what the user ran ("python", "command", "script", "recipe"), and options that it calls otherwise."""
    if style not in _PATTERNS:
        raise ValueError(f"style is {style!r}, but must be one of {', '.join(_PATTERNS)}.")
    _now["style"] = style
    _own.clear()
    _own.update(own)


@contextmanager
def speaking(style: str) -> Iterator[None]:
    """Speak so within the block, or the function that is decorated: where a recipe decides, whatever runs it."""
    before, own = _now["style"], dict(_own)
    speak(style)
    try:
        yield
    finally:
        speak(before, **own)


def spoken() -> tuple[str, dict[str, str]]:
    """Return what `speak` was told, for another process to be told as well."""
    return _now["style"], dict(_own)


def speaks_python() -> bool:
    """Whether the user writes Python, in which lists are lists."""
    return _now["style"] == "python"


def option(name: str, value: Any) -> str:
    """How the user gives an option: `on_bad_row='skip'`, `--on-bad-row skip`, ..."""
    if name in _own:
        return _own[name]
    pattern, joint = _PATTERNS[_now["style"]]
    return pattern.format(name=name.replace("_", joint), value=value)


def name_of(name: str) -> str:
    """How the user calls an option whose value is not told: `max_length`, `--max-length`, ..."""
    return name if _now["style"] in ("python", "recipe") else option(name, "").strip()


def flag(name: str) -> str:
    """How the user turns something on: `overwrite_output_dir=True`, `--overwrite_output_dir`, ..."""
    if _now["style"] in ("python", "recipe"):
        return option(name, True if speaks_python() else "true")
    return option(name, "").strip()


def columns_option(name: str, column: str) -> str:
    """Return how the user names a column of labelled rows: `columns={'text': 'review'}`, `--columns text=review`."""
    if "columns" in _own:
        return _own["columns"].format(name=name, column=column)
    if _now["style"] == "python":
        return f"columns={{{name!r}: {column.split(',') if ',' in column else column!r}}}"
    return option("columns", f"{name}={column}")


def did_you_mean(word: str, known: Iterable[str], most: int = 1) -> str:
    """Return `did you mean f1?`, the nearest of the known words, or `there are accuracy, f1` if none is near."""
    names = list(known)
    plain = {name.lower(): name for name in names}
    begun = [name for name in plain if len(word) > 2 and name.startswith(word.lower())]  # adamw: adamw_torch
    near = [plain[name] for name in begun[:most]] or [
        plain[name] for name in difflib.get_close_matches(word.lower(), plain, n=most)
    ]
    return f"did you mean {' or '.join(near)}?" if near else f"there are {first_of(names, _LISTED) or 'none'}"


def first_of(names: Sequence[str], most: int) -> str:
    """List the first names and count the others: `swh_Latn, yor_Latn and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def first_line(error: BaseException) -> str:
    """Return the first line of what a library said, or the kind of its error where it said nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def require_known(name: str, value: Any, known: Iterable[Any], remedy: str = "") -> None:
    """Refuse the value of an option that is none of the known ones, with the nearest of them.

    Args:
        name: The option, as Python has it.
        value: What the user gave.
        known: The values that there are; None among them is what an option is that was left out.
        remedy: What else may be done, such as "give a folder.".

    Raises:
        ValueError: If the value is none of them.
    """
    values = list(known)
    if value in values:
        return
    names = [str(one) for one in values if one is not None]
    hint = did_you_mean(str(value), names)
    listed = f"is none of {', '.join(names)}" if len(names) <= _LISTED else "is unknown"
    near = f"; {hint}" if "mean" in hint or len(names) > _LISTED else ""
    more = f"{' Or' if near else '; or'} {remedy}" if remedy else ""
    raise ValueError(f"{option(name, value)} {listed}{near}{more}")

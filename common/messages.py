"""Remedies in the words of what the user ran: options of a command or script, keys of a recipe, Python's arguments."""

from __future__ import annotations

_PATTERNS = {
    "python": ("{name}={value!r}", "_"),
    "command": ("--{name} {value}", "-"),
    "script": ("--{name} {value}", "_"),
    "recipe": ("{name}: {value}", "_"),
}
_now: dict[str, str] = {"style": "python"}
_own: dict[str, str] = {}


def speak(style: str, **own: str) -> None:
    """Say once what the user ran ("python", "command", "script", "recipe"), and options that it calls otherwise."""
    if style not in _PATTERNS:
        raise ValueError(f"style is {style!r}, but must be one of {', '.join(_PATTERNS)}.")
    _now["style"] = style
    _own.clear()
    _own.update(own)


def option(name: str, value: str) -> str:
    """How the user gives an option: `on_bad_row='skip'`, `--on-bad-row skip`, ..."""
    if name in _own:
        return _own[name]
    pattern, joint = _PATTERNS[_now["style"]]
    return pattern.format(name=name.replace("_", joint), value=value)


def columns_option(name: str, column: str) -> str:
    """Return how the user names a column of labelled rows: `columns={'text': 'review'}`, `--columns text=review`."""
    if "columns" in _own:
        return _own["columns"].format(name=name, column=column)
    if _now["style"] == "python":
        return f"columns={{{name!r}: {column.split(',') if ',' in column else column!r}}}"
    return option("columns", f"{name}={column}")

"""Old names of options, keys, files and attributes that work for one version more."""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def warn_renamed(old: str, new: str, *, stacklevel: int = 2) -> None:
    """Say that a name has changed, at the user's line `stacklevel` frames up; 1 is the caller."""
    warnings.warn(f"{old} is now {new}; the old name goes in mmbert 0.3", FutureWarning, stacklevel=stacklevel + 1)


def renamed_keys(value: Any, **names: str) -> Any:
    """Return JSON of an older tree with its keys renamed (old=new) at any depth, with a warning for each."""
    found: set[str] = set()

    def renamed(part: Any) -> Any:
        if isinstance(part, list):
            return [renamed(one) for one in part]
        if not isinstance(part, Mapping):
            return part
        found.update(names.keys() & part.keys())
        return {names.get(key, key): renamed(one) for key, one in part.items()}

    new = renamed(value)
    for old in sorted(found):
        warn_renamed(f"the key {old!r}", repr(names[old]), stacklevel=3)
    return new if found else value


def renamed_keywords(**names: str) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Let a function take old keywords (old=new), with a warning for each."""

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        @wraps(function)
        def renaming(*args: Any, **kwargs: Any) -> Any:
            for old, new in names.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{old} is now {new}; both were given, keep {new}")
                    warn_renamed(old, new, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return renaming

    return decorate

"""Old names of options, keys, files and attributes that work for one version more."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def warn_renamed(old: str, new: str, *, stacklevel: int = 2) -> None:
    """Say that a name has changed, at the user's line `stacklevel` frames up; 1 is the caller."""
    warnings.warn(f"{old} is now {new}; the old name goes in mmbert 0.3", FutureWarning, stacklevel=stacklevel + 1)


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

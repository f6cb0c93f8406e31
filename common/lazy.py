"""Public names of a folder that are imported when first used, so that nobody waits for what they do not need."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .moved import find_moved


def lazy_exports(
    package: str, homes: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` and `__all__`, from {public name: its module, as "corpora.open"}."""

    def get(name: str) -> Any:
        if name not in homes:
            return find_moved(package, name)
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(homes)

    return get, names, sorted(homes)

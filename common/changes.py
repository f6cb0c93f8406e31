"""What differs between two descriptions of the same thing: one comparer for run identities, plans and records."""

import json
from collections.abc import Mapping
from typing import Any

_SHOWN = 60  # characters of a value that a message quotes


def find_changes(before: Any, now: Any, name: str = "") -> list[str]:
    """Name every entry of JSON values that differs, such as `options.epochs was 3 and is now 4`; none if equal."""
    if before == now:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before)]
        pairs = [(f"{name}.{key}" if name else str(key), before.get(key), now.get(key)) for key in keys]
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = [(f"{name}[{i}]", *both) for i, both in enumerate(zip(before, now, strict=True))]
    else:
        return [f"{name} was {_short(before)} and is now {_short(now)}"]
    return [change for key, old, new in pairs for change in find_changes(old, new, key)]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."

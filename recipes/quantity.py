"""Numbers as people write them in a recipe, and the one error type that knows which key was wrong.

YAML 1.1 reads `8e-4` as text and nobody types 2300000000000, so numbers go through `number` and `count`.
"""

import math
import re
from typing import Any

_SUFFIX = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


class RecipeError(ValueError):
    """A recipe that cannot be run; `key` is the path of the wrong entry, such as `phases[1].masking_ratio`."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key
        self.message = message


def number(key: str, value: Any) -> float:
    """Read a real number written as 0.3, `8e-4` or `1e-8`; `key` is its path for the message."""
    if not isinstance(value, bool):
        try:
            result = float(value)
        except (TypeError, ValueError):
            result = math.nan
        if math.isfinite(result):
            return result
    raise RecipeError(key, f"expected a finite number, got {value!r}. Write for example 0.3 or 8e-4.")


def count(key: str, value: Any) -> int:
    """Read a whole number written as 4608, `10,000`, `2.3T`, `600B`, `1.5M` or `200k`, rounded to the nearest unit."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,3}([,_]\d{3})+\s*", value):  # 10,000
        value = re.sub(r"[,_\s]", "", value)
    match = re.fullmatch(r"\s*([0-9.]+)\s*([kKMBT])\s*", value) if isinstance(value, str) else None
    result = number(key, match[1]) * _SUFFIX[match[2]] if match else number(key, value)
    if result < 0 or (match is None and result != int(result)):
        raise RecipeError(key, f"expected a whole number >= 0, got {value!r}. Suffixes k, M, B and T are understood.")
    return round(result)


def word(key: str, value: Any) -> str:
    """Read a name; YAML reads `no` and `yes` as false and true."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RecipeError(key, f"expected text, got {value!r}; put it in quotes.")
    return str(value)


def switch(key: str, value: Any) -> bool:
    """Read `true` or `false`."""
    if not isinstance(value, bool):
        raise RecipeError(key, f"expected true or false, got {value!r}.")
    return value

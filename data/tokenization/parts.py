"""Parts of a tokenisation that was spread over machines: they belong together, are all there, and are undamaged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .intermediate import FinishedUnit, read_finished
from .workdir import PLAN, first_difference


def read_parts(parts: Sequence[Path]) -> tuple[dict[str, Any], list[FinishedUnit]]:
    """Read the parts of one plan.

    Args:
        parts: Their folders, in any order.

    Returns:
        The plan, and all units in their order.

    Raises:
        FileNotFoundError: If a folder is no part.
        ValueError: If parts are missing, come twice, belong to different plans, or are damaged.
    """
    plans = [_read_plan(part) for part in parts]
    first, count = plans[0], plans[0]["part"][1]
    for part, plan in zip(parts, plans, strict=True):
        changed = first_difference(_comparable(first), _comparable(plan))
        if changed:
            raise ValueError(f"{parts[0]} and {part} are no parts of the same whole: in the second, {changed}.")
    numbers = sorted(plan["part"][0] for plan in plans)
    if numbers != list(range(1, count + 1)):
        raise ValueError(f"there are parts {', '.join(map(str, numbers))} of {count}; each is needed once.")
    place = {plan["part"][0] - 1: part for part, plan in zip(parts, plans, strict=True)}
    units = []
    for number in range(len(first["units"])):
        part = place[number % count]
        unit = read_finished(part / "bundles", number, verify=True)
        if unit is None:
            raise ValueError(f"{part} is damaged (unit {number}); write that part again.")
        units.append(unit)
    return first, units


def _read_plan(part: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads((part / PLAN).read_text(encoding="utf-8"))
    except OSError:
        raise FileNotFoundError(
            f"{part} is no part of a tokenisation ({PLAN} is missing); make it by `mmbert tokenize ... --part I/N`."
        ) from None
    return plan


def _comparable(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan without what may differ: the part itself, and times of change, which copying alters."""
    return {**plan, "part": plan["part"][1], "modified": {}}

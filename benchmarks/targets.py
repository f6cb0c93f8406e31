"""Targets of speed, and whether a run reached them.

A target is a ratio of two rows that ran in the same rounds, or the fraction of the roofline of one row. It is read on
one thread, by the eager network; a compiled one, where it was measured, is shown beside it and never stands in for it
silently.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mmbert.evaluation.efficiency.models import COMPILED
from mmbert.evaluation.efficiency.report import Row


@dataclass(frozen=True, slots=True)
class Runner:
    """Which row is meant.

    Attributes:
        network: See `Entry`.
        size: See `Entry`.
        dtype: See `Entry`.
        setting: Whose lengths its batch has.
    """

    network: str
    size: str
    dtype: str
    setting: str

    def find(self, rows: Sequence[Row], compared_with: str) -> Row | None:
        """Return the row on one thread that was measured in the rounds of the setting `beside`, or None."""
        wanted = (compared_with, self.setting, 1, self.network, self.size, self.dtype)
        return next((row for row in rows if row.key == wanted), None)

    def __str__(self) -> str:
        return f"{self.network} {self.size} {self.dtype} at {self.setting}"


@dataclass(frozen=True, slots=True)
class Target:
    """A number to reach.

    Attributes:
        at_least: The number.
        ours: Whose speed.
        against: Compared with whose speed; None: with the roofline.
    """

    at_least: float
    ours: Runner
    against: Runner | None = None

    def value(self, rows: Sequence[Row], *, compiled: bool = False) -> float | None:
        """Return what was measured.

        Args:
            rows: Of one run.
            compiled: Of the compiled network instead of the eager one.

        Returns:
            The ratio or fraction, or None if a row is missing.
        """
        runner = replace(self.ours, network=COMPILED) if compiled else self.ours
        ours = runner.find(rows, self.ours.setting)
        if ours is None:
            return None
        if self.against is None:
            return ours.roofline
        against = self.against.find(rows, self.ours.setting)
        return None if against is None else ours.tokens_per_second / against.tokens_per_second

    def verdict(self, rows: Sequence[Row]) -> str:
        """Say `reached`, `reached compiled`, `missed` or `not measured`."""
        eager, compiled = self.value(rows), self.value(rows, compiled=True)
        if eager is None:
            return "not measured"
        if eager >= self.at_least:
            return "reached"
        return "reached compiled" if compiled is not None and compiled >= self.at_least else "missed"


def targets_table(targets: Sequence[Target], rows: Sequence[Row]) -> str:
    """Write targets and what was measured as a Markdown table.

    Args:
        targets: What was to be reached.
        rows: Of one run.

    Returns:
        The table, without a line end; the compiled column is left out where nothing was compiled.
    """
    with_compiled = any(row.network == COMPILED for row in rows)
    head = ["network", "against", "target", "measured", *(["compiled"] if with_compiled else []), "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 3) + "---|"]
    for target in targets:
        unit = "" if target.against is None else "x"
        values = [target.value(rows), *([target.value(rows, compiled=True)] if with_compiled else [])]
        measured = ["" if value is None else f"{value:.2f}{unit}" for value in values]
        against = "roofline" if target.against is None else str(target.against)
        cells = [str(target.ours), against, f"{target.at_least:.2f}{unit}", *measured, target.verdict(rows)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)

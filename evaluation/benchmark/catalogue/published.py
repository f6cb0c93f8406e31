"""What others published: the tables of the mmBERT paper (arXiv 2509.06888), as a table shows them beside our numbers.

`published.tsv` holds them in per cent, one score a line. Means are computed here, never copied: the printed GLUE
average is not the mean of its eight columns (for mmBERT-base they give 86.9, the table says 86.3) and how it was made
is not said; that of XTREME is the plain mean. The settings behind the numbers were chosen with the test scores in view.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_PRINTED = "printed average"


@dataclass(frozen=True, slots=True)
class Published:
    """A published score."""

    suite: str  # `glue`, `xtreme` or `low-resource`
    model: str  # as the paper calls it; mmBERT without a variant's name is the released one
    task: str  # name in the catalogue
    metric: str  # which of our numbers it compares with
    score: float  # per cent
    place: str  # table or figure of the paper


@cache
def published_scores() -> tuple[Published, ...]:
    """Read all published scores of single tasks.

    Returns:
        The scores, in the order of the tables.
    """
    return tuple(row for row in _rows() if row.task != _PRINTED)


@cache
def _rows() -> tuple[Published, ...]:
    lines = (files(__package__) / "published.tsv").read_text(encoding="utf-8").splitlines()
    table = csv.DictReader(lines, delimiter="\t")
    return tuple(Published(**{**row, "score": float(row["score"])}) for row in table)  # type: ignore[arg-type]

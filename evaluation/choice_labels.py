"""Which choice a label means: the choice itself, a number, a letter, a name that counts.

Labels are the choices themselves if all of a data set are; else a label is a number (from 1 if no row of the data set
has 0 and one has the number of choices, else from 0), a name that counts from 1 ("choice2"), a letter from A, or a
choice itself. So a number is not taken for a choice that happens to read "2", as in Belebele's questions of how many.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datasets import Dataset

_LETTERS = "ABCDEFGHIJ"
_COUNTED = re.compile(r"(?:choice|ending|answer|option)_?(\d+)", re.IGNORECASE)  # COPA's classes on the Hub


def right_choices(name: str, rows: Dataset, first: int | None = None) -> list[int]:
    """Find which choice is right, from 0.

    Args:
        name: Of the data set, for messages.
        rows: With `choices` and `label`.
        first: What numbers count from where these rows leave it open, see `first_number`; None: 0.

    Returns:
        A place a row.

    Raises:
        ValueError: If a label is none of these.
    """
    labels = [str(label).strip() for label in rows["label"][:]]
    choices = [[str(choice).strip() for choice in several] for several in rows["choices"][:]]
    literal = all(label in several for label, several in zip(labels, choices, strict=True))
    told = first_number(rows)
    start = (first or 0) if told is None else told
    found = []
    for row, (text, several) in enumerate(zip(labels, choices, strict=True), start=1):
        place = several.index(text) if literal else _place(text, several, start)
        if not 0 <= place < len(several):
            raise ValueError(
                f"{name}, row {row}: label {text!r} is none of the {len(several)} choices; give a number from {start},"
                " a letter from A, or the choice itself."
            )
        found.append(place)
    return found


def first_number(*parts: Dataset) -> int | None:
    """Say what the labels of data sets count from: the first one decides that leaves no doubt.

    Args:
        *parts: With `choices` and `label`.

    Returns:
        0 or 1; None where no label is 0 or the number of choices, so that both may be meant.
    """
    for rows in parts:
        numbers = [int(label) for label in rows["label"][:] if str(label).strip().isdecimal()]
        if 0 in numbers:
            return 0
        if numbers and max(numbers) == max(len(one or ()) for one in rows["choices"][:]):
            return 1
    return None


def _place(text: str, several: Sequence[str], first: int) -> int:
    if text.isdecimal():
        return int(text) - first
    if counted := _COUNTED.fullmatch(text):
        return int(counted[1]) - 1
    if len(text) == 1 and text.upper() in _LETTERS:
        return _LETTERS.find(text.upper())
    return several.index(text) if text in several else -1

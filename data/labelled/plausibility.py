"""Values that are not what they look like, before anything is trained on them: understood, or refused with the row.

A vector of zeros and ones is no list of the classes "0" and "1", "['Anna', 'lives']" no two words, and numbers among
words no classes of one kind.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ...common.messages import columns_option

_ARRAY = re.compile(r"array\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_WITHOUT_COMMAS = re.compile(r"""['"]\s+['"]""")  # numpy's spelling; Python would join the words
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_BARE = frozenset("BIOESLU")
KIND = "ENT"  # name of the one kind of entities that bare B, I and O tell


def is_written_list(values: Sequence[Any]) -> bool:
    """Tell a column of lists in Python's or JSON's spelling, as pandas writes them into a CSV file."""
    texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    return bool(texts) and all((text[0], text[-1]) in (("[", "]"), ("{", "}")) for text in texts)


def written_list(value: Any, place: str) -> Any:
    """Read a list, or an object, in Python's, numpy's or JSON's spelling.

    Args:
        value: What stands in the row; what is no text comes back as it is.
        place: Row and column, for the message.

    Returns:
        The list or object.

    Raises:
        ValueError: If it cannot be read.
    """
    if not isinstance(value, str) or not value.strip():
        return value
    text = _ARRAY.sub(r"\1", value.strip())
    try:
        return json.loads(text)
    except ValueError:
        pass
    if _WITHOUT_COMMAS.search(text) or (re.fullmatch(r"\[[\d\s.+-]+\]", text) and "," not in text):
        text = re.sub(r"""(?<=['"\d.])\s+(?=['"\d.+-])""", ", ", text)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{place} is {value!r:.60}, a list in a spelling that is not read; write jsonl") from None


def is_multi_hot(values: Sequence[Any]) -> bool:
    """Tell vectors of zeros and ones, one place per class, from lists of the numbers of classes: those repeat none."""
    lists = [value for value in values if isinstance(value, (list, tuple))]
    lengths = {len(value) for value in lists}
    if len(lengths) != 1 or lengths <= {0, 1} or any(_bit(one) is None for value in lists for one in value):
        return False
    return any(len({_bit(one) for one in value}) < len(value) for value in lists)


def are_bits(values: Sequence[Any]) -> bool:
    """Tell lists of zeros and ones from lists of words: most of what stands in them is 0 or 1."""
    flat = [one for value in values for one in value or () if one not in (None, "")]
    return sum(_bit(one) is not None for one in flat) * 2 > len(flat)


def classes_of(values: Sequence[Any], names: Sequence[str] | None, rows: Sequence[str]) -> list[list[str] | None]:
    """Return the classes whose place in the vector holds a one.

    Args:
        values: Vectors of zeros and ones.
        names: Class of each place; None: its number.
        rows: Place of each row, for messages.

    Returns:
        The classes of every row.

    Raises:
        ValueError: If a value is neither 0 nor 1.
    """
    found: list[list[str] | None] = []
    for value, row in zip(values, rows, strict=True):
        if value is None:
            found.append(None)
            continue
        bits = [_bit(one) for one in value]
        if None in bits:
            wrong = value[bits.index(None)]
            raise ValueError(
                f"{row}: classes are marked by 0 and 1, but there is {wrong!r:.40}; mend it, or write names"
            )
        found.append([names[place] if names else str(place) for place, bit in enumerate(bits) if bit])
    return found


def check_lists(values: Sequence[Any], rows: Sequence[str]) -> None:
    """Refuse lists of zeros and ones that are no vectors of one length, and no lists of classes either."""
    for value, row in zip(values, rows, strict=True):
        if isinstance(value, (list, tuple)) and len(value) > 1 and all(_bit(one) is not None for one in value):
            if len({_bit(one) for one in value}) < len(value):
                raise ValueError(
                    f"{row}: labels is {list(value)!r:.60}; a vector of 0 and 1 per class must have as many places in"
                    " every row, a list of classes each class once"
                )


def _bit(value: Any) -> int | None:
    if isinstance(value, str):
        value = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "true": 1, "false": 0}.get(value.strip().lower())
    return int(value) if value in (0, 1) and value is not None else None


def check_classes(values: Sequence[str | None], rows: Sequence[str]) -> None:
    """Refuse numbers among words: a file whose classes come from two codings.

    Args:
        values: A class a row.
        rows: Place of each, for the message.

    Raises:
        ValueError: If some are numbers and others words.
    """
    classes = {value: bool(_NUMBER.fullmatch(value)) for value in dict.fromkeys(values) if value}
    if len(set(classes.values())) == 2:
        kinds = list(classes.values())
        found = list(classes)
        first, second = (list(values).index(found[place]) for place in (0, kinds.index(not kinds[0])))
        other = rows[first].rpartition(", ")[2]
        raise ValueError(
            f"{rows[second]}: label is {values[second]!r:.40}, but {values[first]!r:.40} in {other};"
            " classes are all numbers or all words: write one name for each class, or leave such rows out of the file"
        )


def words_for_numbers(label: Sequence[Any], columns: Mapping[str, Sequence[Any]], name: str) -> Sequence[Any] | None:
    """Find the column that says in words what the numbers of classes mean: `label_text` beside `label`."""
    shown = {str(value) for value in label if value not in (None, "")}
    if not shown or not all(_NUMBER.fullmatch(str(value)) for value in shown):
        return None
    for other in (f"{name}_text", f"{name}_name", f"{name}_str", f"{name}_names", "class_name"):
        if other in columns and all(isinstance(value, str) or value is None for value in columns[other]):
            return columns[other]
    return None


def binary_columns(columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the columns that hold only zeros and ones: classes written as columns."""
    return [
        name
        for name, values in columns.items()
        if values and all(_bit(value) is not None for value in values) and len({_bit(value) for value in values}) == 2
    ]


def with_kind(tags: Sequence[list[str | None] | None]) -> list[list[str | None] | None] | None:
    """Name the kind of bare B, I and O; None if the tags are others."""
    found = {tag for row in tags for tag in row or () if tag}
    if not found & {"B", "I"} or not found <= _BARE or "O" not in found:
        return None
    return [None if row is None else [f"{tag}-{KIND}" if tag and tag != "O" else tag for tag in row] for row in tags]


def hint_of_columns(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return the remedy for rows whose classes are columns of zeros and ones; empty if there are none."""
    marked = binary_columns(columns)
    if len(marked) < 2:
        return ""
    shown = ",".join(marked)
    return f" {', '.join(marked)} hold 0 and 1: if they are classes, name them by {columns_option('labels', shown)}."

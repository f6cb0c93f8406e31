"""Columns of a source under our names: what sources usually call them, and values in one shape.

A name that the user gives wins; then the first usual name that the source has. Who names one of `label`, `labels` and
`score` says what the rows ask for: the other two are not looked for. Classes that a source stores as numbers with a
list of names come out as those names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .files import Part

FIELDS = {
    "id": ("id", "sent_id", "idx", "guid"),
    "language": ("language", "lang", "language_code", "locale"),
    "text": ("text", "sentence", "sentence1", "premise", "question1", "content", "review", "utterance"),
    "text_pair": ("text_pair", "sentence2", "hypothesis", "question2"),
    "label": (
        "label",
        "category",
        "intent",
        "sentiment",
        "gold_label",
        "class",
        "answer_index",
        "correct_answer_num",
        "answerKey",
    ),
    "labels": ("labels",),
    "score": ("score", "similarity_score", "similarity", "rating"),
    "tokens": ("tokens", "words", "form"),
    "tags": ("tags", "ner_tags", "upos", "pos_tags", "upos_tags"),
    "question": ("question",),
    "context": ("context", "passage", "paragraph", "flores_passage", "article", "ctx"),
    "answers": ("answers", "answer"),
    "choices": ("choices", "endings", "options"),
}
"""Our names, each with what sources call it."""

# Of the targets only the one that the user names, if any; a column is not both texts of a pair.
_TARGETS = ("label", "labels", "score")
_PAIR = ("text", "text_pair")

# COPA's choice1, SWAG's ending0, Social IQa's answerA, Belebele's mc_answer1, WinoGrande's option1.
_NUMBERED_CHOICES = re.compile(r"(choice|ending|answer|mc_answer|option)_?([0-9]|[A-F])")
_SEPARATOR = "|"  # between the labels of one row, where a file has no lists


def fields_of(part: Part, columns: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Give the columns of a part our names and shapes.

    Args:
        part: Rows of one place.
        columns: Our name to the source's.

    Returns:
        Our names, and `split` where there is such a column; all of one length.

    Raises:
        ValueError: If a column that the user named is not there, or values are of no use under a name.
    """
    found: dict[str, list[Any]] = {}
    is_conll = "tokens" in part.columns and "line" in part.columns
    for name in (*FIELDS, "split"):
        given = columns.get(name)
        if given is not None and not (is_conll and name in ("tokens", "tags")):
            found[name] = _named(part, name, given)
        else:
            usual = next((one for one in FIELDS.get(name, (name,)) if one in part.columns), None)
            if usual is not None and not _is_taken(name, usual, columns):
                found[name] = _decoded(part, usual)
    if "choices" not in found and (numbered := _numbered(part)):
        found["choices"] = _together(part, numbered)
    starts = part.columns.get("answer_start")
    shapes = {"label": _class, "labels": _classes, "score": _number, "tags": _strings, "tokens": _strings}
    for name, shape in shapes.items():
        if name in found:
            found[name] = [shape(value, name, part.place, row) for row, value in enumerate(found[name], start=1)]
    if "answers" in found and "context" in found:
        found["answers"] = [
            _answers(value, None if starts is None else starts[row], f"{part.place}, row {row + 1}")
            for row, value in enumerate(found["answers"])
        ]
    else:
        found.pop("answers", None)
    return {name: [_text(v) for v in values] if name in _TEXTS else values for name, values in found.items()}


_TEXTS = ("id", "text", "text_pair", "question", "context", "language")


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _is_taken(name: str, usual: str, columns: Mapping[str, Any]) -> bool:
    """Tell whether what the user named leaves no room for a usual name: STS-B's numbers stand in a column `label`."""
    if name in _TARGETS:
        return any(target in columns for target in _TARGETS)
    return name in _PAIR and any(columns.get(text) == usual for text in _PAIR)


def _named(part: Part, name: str, given: Any) -> list[Any]:
    """Return the column that the user named, or several put together."""
    several = [given] if isinstance(given, str) else list(given)
    for one in several:
        if one not in part.columns:
            raise ValueError(f"{part.place} has no column {one!r} for {name}; there are {', '.join(part.columns)}.")
    return _decoded(part, given) if isinstance(given, str) else _together(part, several)


def _numbered(part: Part) -> list[str]:
    found = sorted(name for name in part.columns if _NUMBERED_CHOICES.fullmatch(name))
    return found if len(found) > 1 else []


def _together(part: Part, names: list[str]) -> list[Any]:
    return [list(values) for values in zip(*(part.columns[name] for name in names), strict=True)]


def _decoded(part: Part, column: str) -> list[Any]:
    """Return a column; numbers of classes become their names, -1 (the Hub's "no label") none."""
    values, names = part.columns[column], part.names.get(column)
    if names is None:
        return values

    def name_of(value: Any) -> Any:
        if isinstance(value, list):
            return [name_of(one) for one in value]
        return names[value] if isinstance(value, int) and value >= 0 else None

    return [name_of(value) for value in values]


def _class(value: Any, name: str, place: str, row: int) -> str | None:
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, (list, dict)):
        raise ValueError(f"{place}, row {row}: {name} is a {type(value).__name__}; several classes are `labels`.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers with a gap
    return str(value).strip()


def _classes(value: Any, name: str, place: str, row: int) -> list[str] | None:
    if isinstance(value, str):
        return [part.strip() for part in value.split(_SEPARATOR) if part.strip()]
    return None if value is None else [str(one) for one in value if one is not None]


def _strings(value: Any, name: str, place: str, row: int) -> list[str | None] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return [*value.split()]
    return [None if one is None else str(one) for one in value]  # a word that nobody labelled


def _number(value: Any, name: str, place: str, row: int) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{place}, row {row}: {name} is {value!r:.40}, but must be a number.") from None


def _answers(value: Any, starts: Any, where: str) -> dict[str, list[Any]]:
    """Bring answers into SQuAD's shape; no answer is two empty lists, a start that nobody gave is None."""
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start", starts)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        texts, starts = [one.get("text") for one in value], [one.get("answer_start") for one in value]
    else:
        texts = value
    texts = [] if texts is None or texts == "" else [texts] if isinstance(texts, str) else list(texts)
    starts = list(starts) if isinstance(starts, (list, tuple)) else [] if starts in (None, "") else [starts]
    return {"text": [str(text) for text in texts], "answer_start": [_start(one, where) for one in starts[: len(texts)]]}


def _start(value: Any, where: str) -> int | None:
    """Read a place in a text; a CSV file has it as text, a column with gaps as a fraction."""
    if value is None or value == "" or value != value:
        return None
    try:
        return int(float(value))
    except (TypeError, ValueError):
        raise ValueError(f"{where}: answer_start is {value!r:.40}, but must be a number.") from None

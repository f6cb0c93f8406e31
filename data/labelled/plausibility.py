"""Values that are not what they look like, before anything is trained on them: understood, or refused with the row.

A vector of zeros and ones is no list of the classes "0" and "1", "['Anna', 'lives']" no two words, and numbers among
words no classes of one kind.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...common.messages import columns_option

_ARRAY = re.compile(r"array\((\[.*?\])(?:,\s*dtype=[^)]*)?\)", re.DOTALL)
_WITHOUT_COMMAS = re.compile(r"""['"]\s+['"]""")  # numpy's spelling; Python would join the words
_LIST = re.compile(r"\[.*\]|\{.*\}|\(\s*['\"].*\)|array\(.*\)", re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_BARE = frozenset("BIOESLUbioeslu")
_BITS = {"0", "1", "0.0", "1.0"}
_YES, _NO = frozenset(("yes", "y", "true", "t", "1", "1.0")), frozenset(("no", "n", "false", "f", "0", "0.0"))
_NO_CLASS = frozenset(("null", "none", "na", "n/a", "unlabeled", "unlabelled", "-1", "?"))
_FEW = 10  # so many marks, with halves among them, may be classes; more, and other fractions, are scores
KIND = "ENT"  # name of the one kind of entities that bare B, I and O tell


def is_written_list(values: Sequence[Any], rows: Sequence[str] = (), name: str = "") -> bool:
    """Tell a column of lists in Python's or JSON's spelling, as pandas writes them; one that mixes them is refused."""
    texts = {place: value.strip() for place, value in enumerate(values) if isinstance(value, str) and value.strip()}
    written = {place: _LIST.fullmatch(text) is not None for place, text in texts.items()}
    odd = next((place for place in texts if not written[place]), None)
    if odd is not None and rows and any(re.match(r"[\[(]\s*['\"]", texts[place]) for place in texts if written[place]):
        raise ValueError(f"{rows[odd]}: {name} is {values[odd]!r:.40}, while other rows hold lists; write all alike")
    return bool(texts) and odd is None


def written_list(value: Any, place: str) -> Any:
    """Read a list, or an object, in Python's, numpy's or JSON's spelling; what is no text comes back as it is."""
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
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = [...] if re.search(r"\s\.\.\.\s", text) else None
        if found is None:
            raise ValueError(f"{place} is {value!r:.60}, a list in a spelling that is not read; write jsonl") from None
    if isinstance(found, (tuple, set)):
        found = sorted(found, key=str) if isinstance(found, set) else list(found)
    if isinstance(found, list) and ... in found:
        raise ValueError(f"{place} is {value!r:.60}: numpy left out what stands for ...; write it again as jsonl")
    return found


def split_at_commas(values: Sequence[Any]) -> list[Any] | None:
    """Split words or tags that are separated by commas alone ("B-PER,O"); None if the column is not of that kind."""
    texts = [value.strip() for value in values if isinstance(value, str)]
    if not any(re.search(r"[^\s,],\s*[^\s,]", text) for text in texts) or any(
        re.search(r"(?<!,)\s", text) for text in texts
    ):
        return None
    return [[one.strip() for one in value.split(",")] if isinstance(value, str) else value for value in values]


def is_multi_hot(values: Sequence[Any]) -> bool:
    """Tell vectors of zeros and ones, one place per class, from lists of the numbers of classes: those repeat none."""
    lists = [value for value in values if isinstance(value, (list, tuple))]
    lengths = {len(value) for value in lists}
    if len(lengths) != 1 or lengths <= {0, 1} or any(_bit(one) is None for value in lists for one in value):
        return False
    repeated = any(len({_bit(one) for one in value}) < len(value) for value in lists)
    return repeated or (len(lists) > 1 and lengths == {2})  # as lists of classes all rows would have both


def plain_labels(values: Sequence[Any], rows: Sequence[str], notes: list[str]) -> list[Any]:
    """Bring several classes per row into lists: separated texts, "1 0 1", and {class: 0 or 1}, as spaCy has them."""
    texts = [value for value in values if isinstance(value, str) and value.strip()]
    written = [value.strip()[0] == "[" and value.strip()[-1] == "]" for value in texts]
    if any(written) and not all(written):
        odd = values.index(texts[written.index(False)])
        raise ValueError(f"{rows[odd]}: labels is {values[odd]!r:.40}, while other rows hold lists; write all alike")
    split = _splitter(texts, notes)
    found: list[Any] = []
    for value, row in zip(values, rows, strict=True):
        if isinstance(value, str):
            value = [piece.strip() for piece in split(value.strip()) if piece.strip()]
        elif isinstance(value, Mapping) and value and all(_bit(one) is not None for one in value.values()):
            value = [name for name, one in value.items() if _bit(one)]
        shares = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
        if wrong := next(
            (one for one in shares if isinstance(one, float) and not one.is_integer() and one == one), None
        ):
            raise ValueError(
                f"{row}: labels holds {wrong}, a share and no class; write 1 for the classes that a row has and 0 for"
                " the others, or their names"
            )
        found.append(value)
    return _without_minus(found, notes)


def _splitter(texts: Sequence[str], notes: list[str]) -> Callable[[str], list[str]]:
    """Find how the classes of a row are separated: "1 0 1", "011" (no number begins with 0), or a mark."""
    ways: list[Callable[[str], list[str]]] = [re.compile(r"[\s,;]+").split, list]
    for number, way in enumerate(ways):
        bits = [[one for one in way(text.strip()) if one] for text in texts]
        if len({len(one) for one in bits}) == 1 < len(bits[0]) and {one for row in bits for one in row} <= _BITS:
            if number == 0 or any(row[0] == "0" for row in bits):
                return way
    mark = _separator(texts)
    joined = next((text for text in texts if mark == "|" and re.search("[,;]", text)), None)
    if mark in (",", ";"):
        notes.append(f"labels: {mark!r} is taken as what separates the classes of a row")
    elif joined is not None:
        notes.append(f"labels: {joined!r:.40} is taken as one class; classes of a row are separated by |")
    return lambda text: text.split(mark)


def _without_minus(values: list[Any], notes: list[str]) -> list[Any]:
    """Turn vectors of -1 and 1 into zeros and ones."""
    flat = [one for value in values if isinstance(value, (list, tuple)) for one in value]
    if not set(map(type, flat)) <= {int, float} or set(flat) != {-1, 1} or len({len(one) for one in values if one}) > 1:
        return values
    notes.append("labels are vectors of -1 and 1: -1 is taken as 0")
    return [value and [max(one, 0) for one in value] for value in values]


def bits_of_marks(values: Sequence[Any]) -> list[Any]:
    """Turn columns of classes that are marked by yes and no, or by one mark and blanks, into zeros and ones."""
    marks = {str(one).strip().lower() for row in values for one in row if one is not None} - {""}
    if marks and marks <= _YES | _NO and not marks <= {"0", "1"}:
        bits = dict.fromkeys(_YES, 1) | dict.fromkeys(_NO, 0)
    elif len(marks) == 1 and marks != {"0"} and any(one in ("", None) for row in values for one in row):
        bits = {mark: 1 for mark in marks} | {"": 0}
    else:
        return list(values)
    return [[bits.get("" if one is None else str(one).strip().lower(), one) for one in row] for row in values]


def _separator(texts: Sequence[str]) -> str:
    """Find what separates classes: a bar, else a semicolon or comma if all pieces of some row are classes of others."""
    for mark in ("|", ";", ","):
        joined = [text for text in texts if mark in text]
        if mark == "|" and joined:
            return mark
        pieces = [[piece.strip() for piece in text.split(mark)] for text in texts]
        seen = Counter(piece for own in pieces for piece in set(own))
        if any(all(seen[piece] > 1 for piece in own) for own in pieces if len(own) > 1):
            return mark
    return "|"


def are_bits(values: Sequence[Any]) -> bool:
    """Tell lists of zeros and ones from lists of words: most of what stands in them is 0 or 1."""
    flat = [one for value in values if isinstance(value, (list, tuple)) for one in value if one not in (None, "")]
    return sum(_bit(one) is not None for one in flat) * 2 > len(flat)


def classes_of(values: Sequence[Any], names: Sequence[str] | None, rows: Sequence[str]) -> list[list[str] | None]:
    """Return the classes of every row whose place in its vector of zeros and ones holds a one."""
    found: list[list[str] | None] = []
    for value, row in zip(values, rows, strict=True):
        if not isinstance(value, (list, tuple)):
            if value is not None:
                raise ValueError(f"{row}: classes are lists of 0 and 1, but here is {value!r:.40}; mend it")
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
    """Refuse lists of numbers that are no vectors of zeros and ones of one length, and no lists of classes either."""
    for value, row in zip(values, rows, strict=True):
        if isinstance(value, (list, tuple)) and len(value) > 1:
            numbers = [str(one) for one in value if _NUMBER.fullmatch(str(one).strip()) or _bit(one) is not None]
            if len(set(numbers)) < len(numbers) == len(value):
                raise ValueError(
                    f"{row}: labels is {list(value)!r:.60}; a vector of 0 and 1 per class must have as many places in"
                    " every row, a list of classes each class once"
                )


def _bit(value: Any) -> int | None:
    if isinstance(value, str):
        value = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "true": 1, "false": 0}.get(value.strip().lower())
    return int(value) if value in (0, 1) and value is not None else None


def check_classes(values: Sequence[str | None], rows: Sequence[str], notes: list[str]) -> list[str | None]:
    """Refuse numbers among words, a file whose classes come from two codings; 1 and 1.0 are one class."""
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
    fractions = [value for value in classes if classes[value] and not float(value).is_integer()]
    if fractions and (len(classes) > _FEW or any(not (2 * float(value)).is_integer() for value in fractions)):
        raise ValueError(
            f"{rows[list(values).index(fractions[0])]}: label is {fractions[0]!r:.40}, one of {len(classes):,} numbers:"
            f" these are scores and no classes; say so, {columns_option('score', 'label')}, or write words for classes"
        )
    if fractions:
        notes.append(f"{', '.join(classes)} are taken as classes; as scores by {columns_option('score', 'label')}")
    if len(classes) == sum(value is not None for value in values) > _FEW:
        notes.append(f"each of the {len(classes):,} rows has a class of its own: is label the right column?")
    one_name: dict[str | None, str | None] = {value: value for value in classes}
    if any(classes.values()) and "." in "".join(classes):
        one_name = {value: str(int(float(value))) if float(value).is_integer() else value for value in classes}
    alike: dict[str, list[str]] = {}
    for value in classes:
        alike.setdefault(value.casefold(), []).append(value)
    if same := next((names for names in alike.values() if len(names) > 1), None):
        notes.append(f"{' and '.join(map(repr, same))} differ only in capitals, but are classes of their own")
    notes += [
        f"{value!r} is taken as a class ({list(values).count(value):,} rows); if it marks rows without one, empty it"
        for value in classes
        if value.lower() in _NO_CLASS
    ]
    return [one_name.get(value, value) for value in values]


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
    if not {tag.upper() for tag in found} & {"B", "I"} or not found <= _BARE or not found & {"O", "o"}:
        return None
    names = {tag: tag.upper() if tag in "Oo" else f"{tag.upper()}-{KIND}" for tag in found}
    return [None if row is None else [names.get(tag or "", tag) for tag in row] for row in tags]


def hint_of_columns(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return the remedy for rows whose classes are columns of zeros and ones; empty if there are none."""
    marked = binary_columns(columns)
    if len(marked) < 2:
        return ""
    shown = ",".join(marked)
    return f" {', '.join(marked)} hold 0 and 1: if they are classes, name them by {columns_option('labels', shown)}."

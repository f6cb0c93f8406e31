"""Columns of a source under our names: what sources usually call them, and values in one shape.

A name that the user gives wins; then the first usual name that the source has, whatever its capitals. Who names one of
`label`, `labels` and `score` says what the rows ask for: the other two are not looked for. Classes that a source stores
as numbers with a list of names come out as those names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

from ..tables.base import MISSING, Table, pick
from ..tables.files import format_of
from .annotations import accepted, flatten_label_studio, question_about_ends, span_column, tag_words
from .plausibility import (
    are_bits,
    bits_of_marks,
    check_classes,
    check_lists,
    classes_of,
    is_multi_hot,
    is_written_list,
    plain_labels,
    split_at_commas,
    with_kind,
    words_for_numbers,
    written_list,
)

FIELDS = {
    "id": ("id", "sent_id", "idx", "guid"),
    "language": ("language", "lang", "language_code", "locale"),
    "text": ("text", "sentence", "sentence1", "premise", "question1", "content", "review", "utterance"),
    "text_pair": ("text_pair", "sentence2", "hypothesis", "question2"),
    "label": (
        "label", "category", "intent", "sentiment", "gold_label", "class", "answer_index", "correct_answer_num",
        "answerKey",
    ),
    "labels": ("labels",),
    "score": ("score", "similarity_score", "similarity", "rating"),
    "tokens": ("tokens", "words", "form", "tokenized_text", "word", "token"),
    "tags": ("tags", "ner_tags", "upos", "pos_tags", "upos_tags", "tag", "ner_tag"),
    "question": ("question",),
    "context": ("context", "passage", "paragraph", "flores_passage", "article", "ctx"),
    "answers": ("answers", "answer"),
    "choices": ("choices", "endings", "options"),
}  # fmt: skip
"""Our names, each with what sources call it."""

_SENTENCE = ("sentence_id", "sent_id", "sentence #", "sentence", "sentence_idx", "sentence_number", "doc_id", "id")

# Of the targets only the one that the user names, if any; a column is not both texts of a pair.
_TARGETS = ("label", "labels", "score")
_PAIR = ("text", "text_pair")
_TEXTS = ("id", "text", "text_pair", "question", "context", "language")
_LISTS = ("tokens", "tags", "labels", "choices", "answers")

# COPA's choice1, SWAG's ending0, Social IQa's answerA, Belebele's mc_answer1, WinoGrande's option1.
_NUMBERED_CHOICES = re.compile(r"(choice|ending|answer|mc_answer|option)_?([0-9]|[A-F])")


@dataclass
class Part:
    """Rows of one place, as columns.

    Attributes:
        place: File or Hub id, for messages.
        columns: Name to values, all of one length.
        rows: Place of each row, for messages.
        language: What the place's name says of the language; None if it says nothing.
        names: Names of classes, by column, where the source stores numbers for them.
        of_no_split: See `Table`.
        taken: Our name to the source's column.
        notes: What was understood in a way that the user should know.
    """

    place: str
    columns: dict[str, list[Any]]
    rows: list[str]
    language: str | None = None
    names: dict[str, list[str]] = field(default_factory=dict)
    of_no_split: bool = False
    taken: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


def part_of(table: Table, named: Mapping[str, Any], skipped: Counter[str] | None = None) -> Part:
    """Read a table; annotations of tools become words and tags, rows of single words sentences."""
    left_out: Counter[str] = Counter()
    notes: list[str] = []
    numbered = _tagged(_read(table, skipped, left_out), table, named, skipped, left_out, notes)
    rows, numbers = [row for _, row in numbered], [number for number, _ in numbered]
    header = _header(rows)
    columns = {name: [row.get(name) for row in rows] for name in header}
    for column in {one for value in named.values() for one in ([value] if isinstance(value, str) else value)}:
        if column not in columns and any((value := pick(row, column)) is not MISSING for row in rows):
            columns[column] = [None if (value := pick(row, column)) is MISSING else value for row in rows]
    places = [f"{table.place}, row {number}" for number in numbers]
    part = Part(table.place, columns, places, table.language, table.names, table.of_no_split)
    if not columns and table.header:
        part.columns = {name: [] for name in table.header}
    part.notes += [*notes, *(f"left out {count:,} {what}" for what, count in left_out.items() if count)]
    return _sentences(part, named)


def _read(table: Table, skipped: Counter[str] | None, left_out: Counter[str]) -> list[tuple[int, dict[str, Any]]]:
    """Read rows with their numbers; tasks of Label Studio that nobody has annotated are left out."""
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, values, problem, detail in table.rows(None):
        if values is None:
            if skipped is None:
                raise ValueError(f"{table.place}, row {number}: {problem}{f' ({detail})' if detail else ''}.")
            skipped[problem] += 1
            continue
        rows.append(values)
        numbers.append(number)
    found = [(number, row) for number, row in zip(numbers, flatten_label_studio(rows), strict=True) if row is not None]
    if rows and not found:
        raise ValueError(f"{table.place}: nobody has annotated any of its {len(rows):,} tasks; export it again, later")
    left_out["tasks that nobody has annotated"] = len(rows) - len(found)
    kept = accepted(found)
    left_out["annotations that were rejected or ignored"] = len(found) - len(kept)
    return kept


def _tagged(
    rows: list[tuple[int, dict[str, Any]]],
    table: Table,
    named: Mapping[str, Any],
    skipped: Counter[str] | None,
    left_out: Counter[str],
    notes: list[str],
) -> list[tuple[int, dict[str, Any]]]:
    """Turn spans into words and tags, where a column holds spans."""
    given = named.get("tags", named.get("labels"))
    spans = span_column([row for _, row in rows], given if isinstance(given, str) else None)
    if spans is None:
        return rows
    header = _header([row for _, row in rows])
    text = usual_column("text", header) if named.get("text") is None else named["text"]
    tokens = usual_column("tokens", header) if named.get("tokens") is None else named["tokens"]
    found = []
    for number, row in rows:
        try:
            found.append((number, tag_words(row, spans, text, tokens, left_out)))
        except ValueError as error:
            if skipped is None:
                raise ValueError(f"{table.place}, row {number}: {error}.") from None
            skipped["spans that do not fit"] += 1
    notes += question_about_ends([row for _, row in rows], spans, text)
    return found


def _header(rows: Sequence[Mapping[str, Any]]) -> dict[str, None]:
    """Return the columns of all rows; most rows have those of the one before."""
    found: dict[str, None] = {}
    for row in rows:
        if not row.keys() <= found.keys():
            found |= dict.fromkeys(row)
    return found


def _sentences(part: Part, named: Mapping[str, Any]) -> Part:
    """Put rows of one word each together, by the column that numbers sentences."""
    word, tag = (named.get(name) or usual_column(name, part.columns) for name in ("tokens", "tags"))
    if not (isinstance(word, str) and isinstance(tag, str) and len(part) > 1):
        return part
    words, tags = part.columns.get(word, []), part.columns.get(tag, [])
    if not all(isinstance(one, str) and len(one.split()) < 2 for values in (words, tags) for one in values):
        return part
    lower = {name.lower().replace("_", " "): name for name in part.columns}
    names = (name.replace("_", " ") for name in _SENTENCE)
    key = next((lower[name] for name in names if name in lower and lower[name] not in (word, tag)), None)
    if key is None:
        raise ValueError(
            f"{part.place} has one word per row ({words[0]!r:.40}, {tags[0]!r:.40}), and no column says where a"
            " sentence ends; add a column sentence_id, or save it as .conll: a word and its tag per line, a blank line"
            " between sentences."
        )
    starts, last = list[int](), object()
    for index, value in enumerate(part.columns[key]):
        if value not in (None, "") and value == value and value != last:
            starts.append(index)
            last = value
    if not starts or starts[0] != 0:
        starts.insert(0, 0)
    ends = [*starts[1:], len(part)]
    columns = {name: [values[start] for start in starts] for name, values in part.columns.items()}
    for name in (word, tag):
        columns[name] = [part.columns[name][start:end] for start, end in zip(starts, ends, strict=True)]
    texts = zip(columns[key], columns[word], strict=True)
    if usual_column("text", [key]) and not all(one in str(text) for text, some in texts for one in some):
        columns.pop(key)  # it numbers sentences, and is not their text
    note = f"{len(part):,} rows of one word became {len(starts):,} sentences by the column {key!r}"
    rows = [part.rows[start] for start in starts]
    return Part(part.place, columns, rows, part.language, part.names, part.of_no_split, notes=[*part.notes, note])


def fields_of(part: Part, named: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Give the columns of a part our names and shapes; `part.taken` and `part.notes` say what was taken for what."""
    found: dict[str, list[Any]] = {}
    for name in (*FIELDS, "split"):
        given = named.get(name)
        if given is not None and not (_is_conll(part) and name in ("tokens", "tags")):
            found[name] = _named(part, name, given)
            part.taken[name] = given if isinstance(given, str) else ", ".join(given)
        else:
            usual = usual_column(name, part.columns)
            if usual is not None and not _is_taken(name, usual, named):
                found[name] = _decoded(part, usual)
                part.taken[name] = usual
    if "choices" not in found and (numbered := numbered_choices(part.columns)):
        found["choices"] = _together(part, numbered)
        part.taken["choices"] = ", ".join(numbered)
    _write_out(part, found)
    _tags_for_labels(part, found)
    _labels_for_label(part, found)
    _classes_in_words(part, found, named)
    shapes = {"label": _class, "labels": _classes, "score": _number, "tags": _strings, "tokens": _strings}
    for name, shape in shapes.items():
        if name in found:
            found[name] = [shape(value, name, row) for value, row in zip(found[name], part.rows, strict=True)]
    if "label" in found and "choices" not in found:
        found["label"] = check_classes(found["label"], part.rows, part.notes)
    if "tags" in found and (kinds := with_kind(found["tags"])) is not None:
        found["tags"] = kinds
        part.notes.append("tags are bare B, I and O: taken as entities of one kind, B-ENT and I-ENT")
    starts = part.columns.get("answer_start")
    if "answers" in found and "context" in found:
        found["answers"] = [
            _answers(value, None if starts is None else starts[index], part.rows[index])
            for index, value in enumerate(found["answers"])
        ]
    else:
        found.pop("answers", None)
    part.taken = {name: column for name, column in part.taken.items() if name in found}
    return {name: [_text(v) for v in values] if name in _TEXTS else values for name, values in found.items()}


def _is_conll(part: Part) -> bool:
    """Tell a CoNLL file, where the reader has used the columns that the user named."""
    return format_of(part.place) == "conll"


def _write_out(part: Part, found: dict[str, list[Any]]) -> None:
    """Read lists that stand in a table in Python's or JSON's spelling."""
    for name in (*_LISTS, *(("label",) if "choices" not in found else ())):
        if name in found and is_written_list(found[name], part.rows, name):
            found[name] = [
                written_list(value, f"{row}: {name}") for value, row in zip(found[name], part.rows, strict=True)
            ]
    if "tags" in found and (tags := split_at_commas(found["tags"])) is not None:
        found["tags"] = tags
        words = split_at_commas(found.get("tokens", ()))
        if words and all(len(a or ()) == len(b or ()) for a, b in zip(words, tags, strict=True)):
            found["tokens"] = words
    if "choices" in found:  # ARC: {"text": [...], "label": ["A", ...]}
        lists = [one.get("text", one) if isinstance(one, dict) else one for one in found["choices"]]
        found["choices"] = [
            [str(choice) if isinstance(choice, int | float) else choice for choice in one]
            if isinstance(one, list)
            else one
            for one in lists
        ]
    starts = part.columns.get("answer_start")
    if starts is not None and is_written_list(starts):
        part.columns["answer_start"] = [
            written_list(value, f"{row}: answer_start") for value, row in zip(starts, part.rows, strict=True)
        ]


def _tags_for_labels(part: Part, found: dict[str, list[Any]]) -> None:
    """Take `labels` for tags where they are as many as the words of their rows."""
    if "tokens" not in found or "tags" in found:
        return
    for name in ("labels", "label"):
        pairs = list(zip(found["tokens"], found.get(name, ()), strict=False))
        if pairs and all(isinstance(a, list) and isinstance(b, list) and len(a) == len(b) for a, b in pairs):
            found["tags"] = found.pop(name)
            part.taken["tags"] = part.taken.pop(name)
            return


def _labels_for_label(part: Part, found: dict[str, list[Any]]) -> None:
    """Take `label` for `labels` where rows have lists of classes (doccano, Label Studio); lists of one are a class."""
    values = [value.get("choices", value) if isinstance(value, dict) else value for value in found.get("label", ())]
    if "choices" in found or "labels" in found or not any(isinstance(value, (list, dict)) for value in values):
        return
    lists = [value if isinstance(value, (list, dict, type(None))) else [value] for value in values]
    if all(isinstance(value, list) and len(value) < 2 for value in lists):
        found["label"] = [value[0] if value else None for value in lists]
        return
    part.taken["labels"] = part.taken.pop("label")
    found["labels"] = lists
    del found["label"]
    part.notes.append(f"{part.taken['labels']} holds lists: taken as several classes per row")


def _classes_in_words(part: Part, found: dict[str, list[Any]], named: Mapping[str, Any]) -> None:
    """Name classes that are numbers or places in a vector."""
    given = named.get("labels")
    several = None if given is None or isinstance(given, str) else list(given)
    if several:
        found["labels"] = bits_of_marks(found["labels"])
    if "labels" in found:
        found["labels"] = plain_labels(found["labels"], part.rows, part.notes)
    if "labels" in found and (is_multi_hot(found["labels"]) or (several and are_bits(found["labels"]))):
        names = several or part.names.get(part.taken["labels"])
        found["labels"] = classes_of(found["labels"], names, part.rows)
        if names is None:
            part.notes.append("labels are vectors of 0 and 1: classes are named by their place, 0, 1, ...")
    elif "labels" in found:
        check_lists(found["labels"], part.rows)
    if "label" in found and "label" not in named:
        words = words_for_numbers(found["label"], part.columns, part.taken["label"])
        if words is not None:
            found["label"] = list(words)
            part.notes.append(f"classes are named by {part.taken['label']}_text or the like, beside their numbers")


def usual_column(name: str, columns: Any) -> str | None:
    """Return the first usual name that the source has, whatever its capitals."""
    usual = FIELDS.get(name, (name,))
    exact = next((one for one in usual if one in columns), None)
    if exact is not None:
        return exact
    lower = {str(column).lower().replace(" ", "_"): column for column in reversed(list(columns))}
    return next((lower[one.lower()] for one in usual if one.lower() in lower), None)


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _is_taken(name: str, usual: str, named: Mapping[str, Any]) -> bool:
    """Tell whether what the user named leaves no room for a usual name: STS-B's numbers stand in a column `label`."""
    if name in _TARGETS:
        return any(target in named for target in _TARGETS)
    return name in _PAIR and any(named.get(text) == usual for text in _PAIR)


def _named(part: Part, name: str, given: Any) -> list[Any]:
    """Return the column that the user named, or several put together."""
    several = [given] if isinstance(given, str) else list(given)
    for one in several:
        if one not in part.columns:
            raise ValueError(f"{part.place} has no column {one!r} for {name}; there are {listed(part.columns)}.")
    return _decoded(part, given) if isinstance(given, str) else _together(part, several)


def listed(columns: Iterable[str]) -> str:
    """Names of columns for a message of one line."""
    return ", ".join(name if str(name).isprintable() else repr(name) for name in columns)


def numbered_choices(columns: Iterable[str]) -> list[str]:
    """The columns that hold a choice each, in their order."""
    found = sorted(name for name in columns if _NUMBERED_CHOICES.fullmatch(str(name)))
    return found if len(found) > 1 else []


def _together(part: Part, names: list[str]) -> list[Any]:
    return [list(values) for values in zip(*(part.columns[name] for name in names), strict=True)]


def _decoded(part: Part, column: str) -> list[Any]:
    """Return a column; numbers of classes become their names, -1 (the Hub's "no label") none."""
    values, names = part.columns[column], part.names.get(column)
    if names is None or is_multi_hot(values):
        return values

    def name_of(value: Any) -> Any:
        if isinstance(value, list):
            return [name_of(one) for one in value]
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None

    return [name_of(value) for value in values]


def _class(value: Any, name: str, row: str) -> str | None:
    if isinstance(value, str):
        return None if value.strip().lower() in ("nan", "<na>") else normalize("NFC", value.strip())
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, (list, dict)):
        raise ValueError(f"{row}: {name} is a {type(value).__name__}; several classes are `labels`.")
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of integers with a gap
    return str(value).strip()


def _classes(value: Any, name: str, row: str) -> list[str] | None:
    if value is not None and not isinstance(value, (list, tuple)):
        raise ValueError(f"{row}: {name} is {value!r:.40}, but must be a list of classes; one class is `label`.")
    found = []
    for one in value or ():
        if isinstance(one, dict):
            one = next((one[key] for key in ("label", "name", "class") if isinstance(one.get(key), str)), one)
        if isinstance(one, (dict, list)):
            raise ValueError(f"{row}: {name} holds {one!r:.40}, which is no class; give names of classes.")
        if one is not None and one == one and str(one).strip():
            found.append(normalize("NFC", str(one).strip()))
    return None if value is None else found


def _strings(value: Any, name: str, row: str) -> list[str | None] | None:
    if value is None:
        return None
    if isinstance(value, str):
        return [*value.split()]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{row}: {name} is {value!r:.40}, but must be a list of words.")
    return [None if one is None else str(one) for one in value]  # a word that nobody labelled


def _number(value: Any, name: str, row: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{row}: {name} is {value!r:.40}, but must be a number.") from None


def _answers(value: Any, starts: Any, where: str) -> dict[str, list[Any]]:
    """Bring answers into SQuAD's shape; no answer is two empty lists, a start that nobody gave is None."""
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get("answer_start", starts)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        texts, starts = [one.get("text") for one in value], [one.get("answer_start") for one in value]
    else:
        texts = value
    texts = [] if texts is None or texts == "" else list(texts) if isinstance(texts, (list, tuple)) else [texts]
    starts = list(starts) if isinstance(starts, (list, tuple)) else [] if starts in (None, "") else [starts]
    return {"text": [str(text) for text in texts], "answer_start": [_start(one, where) for one in starts[: len(texts)]]}


def _start(value: Any, where: str) -> int | None:
    """Read a place in a text; a CSV file has it as text, a column with gaps as a fraction."""
    if value is None or value == "" or value != value:
        return None
    try:
        return int(float(value))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where}: answer_start is {value!r:.40}, but must be a number.") from None

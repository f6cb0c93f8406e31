"""JSON: an object a line, a list, columns, splits, SQuAD's articles, and what pandas and annotation tools export."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .base import Record, Slice, TableError
from .files import lines, not_utf8, open_text

_BATCH_LINES, _BATCH_BYTES = 256, 1 << 20
_GROWTH = 8  # a JSON line may be longer than its text: six bytes for \uXXXX, and the other columns
_NAMES = {int: "number", float: "number", str: "text", dict: "object", bool: "truth value"}
_SPLITS = ("train", "test", "dev", "validation", "valid", "val", "training", "eval")


def json_lines(path: Path, limit: int | None = None, part: Slice | None = None) -> Iterator[Record]:
    """Read an object per line, good and bad; blank lines only separate."""
    batch: list[tuple[int, bytes]] = []
    size = 0
    for number, line in lines(path, None if limit is None else limit * _GROWTH, part):
        if line is None:
            yield from _parsed(batch)
            batch, size = [], 0
            yield Record(number, None, "document too long", f"max_document_bytes is {limit:,}")
        elif line and not line.isspace():
            batch.append((number, line))
            size += len(line)
            if len(batch) == _BATCH_LINES or size > _BATCH_BYTES:
                yield from _parsed(batch)
                batch, size = [], 0
    yield from _parsed(batch)


def _parsed(batch: list[tuple[int, bytes]]) -> Iterator[Record]:
    """Parse lines at once, which takes half the time; where that fails, one by one, so that each bad one is named."""
    try:
        rows = json.loads((b"[" + b",".join(line for _, line in batch) + b"]").decode("utf-8"))
        if len(rows) == len(batch) and all(type(values) is dict for values in rows):
            yield from (Record(number, values) for (number, _), values in zip(batch, rows, strict=True))
            return
    except (ValueError, RecursionError):
        pass
    for number, line in batch:
        try:
            values = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            yield Record(number, None, "not UTF-8", f"byte {error.start}")
        except (ValueError, RecursionError) as error:
            whole = "; a file that is one JSON list is read by the name .json" if line[:1] == b"[" else ""
            yield Record(number, None, "invalid JSON", f"{error}{whole}")
        else:
            if isinstance(values, dict):
                yield Record(number, values)
            else:
                whole = "; a file that is one JSON list is read by the name .json" if isinstance(values, list) else ""
                yield Record(number, None, "invalid JSON", f"{_kind(values)}, not an object with columns{whole}")


def json_file(path: Path, limit: int | None = None) -> Iterator[Record]:
    """Read a .json file whole; one of JSON lines, as `Dataset.to_json` writes it, line by line."""
    with open_text(path) as file:
        first = file.readline()
        rest = b"" if _is_object(first) else file.read()
    if _is_object(first):
        with open_text(path) as file:
            file.readline()
            more = any(line.strip() for line in file)
        if more:
            yield from json_lines(path, limit)
            return
    try:
        content = json.loads((first + rest).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    except (ValueError, RecursionError) as error:
        raise TableError(f"no JSON ({error})" if (first + rest).strip() else "it is empty") from None
    for number, row in enumerate(_rows(content), start=1):
        if isinstance(row, Record):
            yield row._replace(number=number)
        elif isinstance(row, Mapping):
            yield Record(number, dict(row))
        else:
            shown = json.dumps(row, ensure_ascii=False)
            yield Record(
                number, None, "invalid JSON", f"a {type(row).__name__}, {shown:.40}, not an object with columns"
            )


def _is_object(line: bytes) -> bool:
    if not line.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(line.decode("utf-8")), dict)
    except (ValueError, RecursionError):
        return False


def _rows(content: Any) -> Iterator[Any]:
    """Yield the rows of a whole JSON file, whichever of the usual shapes it has."""
    if isinstance(content, dict):
        yield from _rows_of_object(content)
        return
    if not isinstance(content, list):
        raise TableError(f"it holds {'null' if content is None else _kind(content)}, not rows; write a list of objects")
    for number, row in enumerate(content, start=1):
        if isinstance(row, dict) and "paragraphs" in row:
            yield from _squad(row, f"article {number}")
        elif isinstance(row, dict) and set(row) >= {"row_idx", "row"}:  # the Hub's rows as its API gives them
            yield row["row"]
        elif isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and isinstance(row[1], dict):
            yield {"text": row[0], **row[1]}  # spaCy 2: a text and its annotations
        else:
            yield row


def _rows_of_object(content: dict[str, Any]) -> Iterator[Any]:
    values = list(content.values())
    if "paragraphs" in content:
        return _squad(content, "article 1")
    if isinstance(content.get("columns"), list) and _is_matrix(content.get("data")):  # pandas, orient="split"
        return (dict(zip(content["columns"], row, strict=False)) for row in content["data"])
    if isinstance(content.get("data"), (list, dict)):
        return _rows(content["data"])
    splits = [name for name, rows in content.items() if name.split("_")[-1] in _SPLITS and isinstance(rows, list)]
    if splits:
        return ({**row, "split": name} if isinstance(row, dict) else row for name in splits for row in content[name])
    if values and all(isinstance(column, dict) for column in values):
        if all(key.isdigit() for column in values for key in column):  # pandas, orient="columns"
            numbers = dict.fromkeys(key for column in values for key in column)
            return ({name: column.get(key) for name, column in content.items()} for key in numbers)
        return ({"id": key, **row} for key, row in content.items())  # by id
    lists = [rows for rows in values if isinstance(rows, list) and rows and _is_row(rows[0])]
    if len(lists) == 1:
        return _rows(lists[0])  # {"version": ..., "examples": [...]}
    if len(lists) > 1:
        raise TableError(f"it holds several lists of rows ({', '.join(content)}); write each into a file of its own")
    if not values or content.get("data", content) is None:
        raise TableError(f"it holds {'data: null' if values else 'an empty object'}, not rows; write a list of objects")
    return _columns(content) if all(isinstance(column, list) for column in values) else iter([content])


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict))


def _columns(content: dict[str, list[Any]]) -> Iterator[Any]:
    if len({len(values) for values in content.values()}) > 1:
        told = ", ".join(f"{name} {len(values)}" for name, values in content.items())
        raise TableError(f"its columns have different lengths ({told})")
    return (dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True))


def _is_matrix(data: Any) -> bool:
    return isinstance(data, list) and all(isinstance(row, list) for row in data)


def _squad(article: Mapping[str, Any], where: str) -> Iterator[Any]:
    """Yield a row for every question of an article; what is not SQuAD's shape is named by its place."""

    def bad(place: str, what: str) -> Record:
        return Record(0, None, "not SQuAD's shape", f"{where}{place}: {what}")

    paragraphs = article.get("paragraphs")
    if not isinstance(paragraphs, list):
        yield bad("", f"paragraphs is {_kind(paragraphs)}, but must be a list")
        return
    for number, paragraph in enumerate(paragraphs, start=1):
        place = f", paragraph {number}"
        if not isinstance(paragraph, dict) or not isinstance(paragraph.get("context"), str):
            yield bad(place, "has no context")
        elif not isinstance(paragraph.get("qas"), list):
            yield bad(place, f"qas is {_kind(paragraph.get('qas'))}, but must be a list of questions")
        else:
            for order, question in enumerate(paragraph["qas"], start=1):
                here = f"{place}, question {order}"
                if not isinstance(question, dict) or not isinstance(question.get("question"), str):
                    yield bad(here, "has no question")
                    continue
                answers = question.get("answers") or []
                answers = [answers] if isinstance(answers, dict) else answers
                if not isinstance(answers, list) or not all(isinstance(one, dict) and isinstance(one.get("text"), str)
                                                            for one in answers):  # fmt: skip
                    yield bad(here, 'answers must be objects like {"text": ..., "answer_start": ...}')
                    continue
                yield {
                    "id": question.get("id"),
                    "title": article.get("title"),
                    "context": paragraph["context"],
                    "question": question["question"],
                    "answers": [one["text"] for one in answers],
                    "answer_start": [one.get("answer_start") for one in answers],
                }


def _kind(value: Any) -> str:
    return "missing" if value is None else f"a {_NAMES.get(type(value), type(value).__name__)}"

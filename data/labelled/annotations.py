"""What annotation tools export, as rows: spans of characters or words become words with BIO tags, choices a class.

Read are doccano, Label Studio (JSON and JSON-MIN), Prodigy and spaCy, GLiNER (`tokenized_text` and `ner`, whose last
word counts), and any list of {start, end, label} or [start, end, label] beside a text or words. Words of a text are
runs of letters (`split_words`), cut again where a span begins or ends, so that no span is widened. BIO holds one label
per word: of spans that overlap the longer one stays, the others are counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from ...common.messages import columns_option
from ..features.running_text import RunningText, split_words
from ..features.word_labels import tags_of_spans
from .plausibility import written_list

_SPAN_COLUMNS = ("entities", "spans", "ner", "ents", "label", "labels", "annotations", "entity_spans", "mentions")
_START = ("start", "start_offset", "begin", "start_char", "offset_start", "char_start")
_END = ("end", "end_offset", "end_char", "offset_end", "char_end", "stop")
_LABEL = ("label", "type", "entity", "entity_group", "entity_type", "tag", "class", "labels")
_LOOKED_AT = 200
OVERLAP = "spans inside others"
FURTHER = "second labels of one span"

Span = tuple[int, int, str]


def span_column(rows: Sequence[Mapping[str, Any]], named: str | None = None) -> str | None:
    """Find the column that holds spans in the first 200 rows; None if there is none."""
    for column in (named,) if named else _SPAN_COLUMNS:
        values = [found for row in rows[:_LOOKED_AT] if (found := _listed(row.get(column))) and isinstance(found, list)]
        if values and all(_is_placed(one) for value in values for one in value):
            return column
    return None


def _is_placed(value: Any) -> bool:
    """Tell what has a start and an end; whether it is a span with a label, its row says."""
    if isinstance(value, Mapping):
        ends = [next((value[key] for key in keys if key in value), None) for keys in (_START, _END)]
        return all(isinstance(_whole(one), int) for one in ends)
    return _span(value) is not None or (isinstance(value, list) and len(value) == 3 and value[2] is None)


def _listed(value: Any) -> Any:
    """Return spans as a list: one in a CSV file's spelling, and a column of objects as `datasets` turns it around."""
    if isinstance(value, str) and value.strip()[:1] in ("[", "{"):
        try:
            value = written_list(value, "")
        except ValueError:
            return value
    if isinstance(value, Mapping) and value and all(isinstance(one, list) for one in value.values()):
        return [dict(zip(value, row, strict=False)) for row in zip(*value.values(), strict=False)]
    return value


def flatten_label_studio(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any] | None]:
    """Bring Label Studio's tasks into flat rows: their data, and the first annotation that was not cancelled."""
    if not rows or not all(
        isinstance(row.get("data"), dict) and _annotations(row) is not None for row in rows[:_LOOKED_AT]
    ):
        return list(rows)
    found: list[dict[str, Any] | None] = []
    for row in rows:
        done = [one for one in _annotations(row) or () if isinstance(one, dict) and not one.get("was_cancelled")]
        if not done:
            found.append(None)
            continue
        results = [one for one in _list(done[0].get("result")) if isinstance(one, dict)]
        values = [one["value"] for one in results if isinstance(one.get("value"), dict)]
        flat = {"id": row.get("id"), **row.get("data", {})}
        if any("choices" in value for value in values):
            flat["labels"] = [choice for value in values for choice in _list(value.get("choices"))]
        else:
            flat["entities"] = [value for value in values if _is_placed(value)]
        found.append(flat)
    classes = [row for row in found if row is not None and "entities" not in row]
    if all(len(row["labels"]) < 2 for row in classes):
        for row in classes:
            row["label"] = next(iter(row.pop("labels")), None)
    return found


def accepted(rows: Sequence[tuple[int, dict[str, Any]]]) -> list[tuple[int, dict[str, Any]]]:
    """Keep what an annotator of Prodigy has accepted; other rows have no answer of that kind, and all are kept."""
    answers = {row.get("answer") for _, row in rows[:_LOOKED_AT] if isinstance(row.get("answer"), (str, type(None)))}
    ours = any(name in row for _, row in rows[:1] for name in ("spans", "accept", "_input_hash", "_task_hash"))
    if not ours or not answers & {"accept", "reject", "ignore"} or not answers <= {"accept", "reject", "ignore"}:
        return list(rows)
    return [(number, row) for number, row in rows if row.get("answer") == "accept"]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _annotations(row: Mapping[str, Any]) -> Any:
    found = row.get("annotations", row.get("completions"))
    return found if isinstance(found, list) else None


def tag_words(
    row: Mapping[str, Any], column: str, text: str | None, tokens: str | None, left_out: Counter[str]
) -> dict[str, Any]:
    """Turn a row's spans into `tokens` and `tags`; `left_out` counts spans that overlap a longer one."""
    given = _listed(row.get(column) or [])
    if not isinstance(given, list):
        raise ValueError(f"{column} holds {given!r:.60}, which is no list of spans: give start, end and label")
    spans = [found for one in given if (found := _span(one)) is not None and found[2].strip()]
    left_out[FURTHER] += sum(len(_list(one.get("labels"))) > 1 for one in given if isinstance(one, Mapping))
    if len(spans) < len(given):
        wrong = next(one for one in given if not (found := _span(one)) or not found[2].strip())
        raise ValueError(f"{column} holds {wrong!r:.60}, which is no span: give start, end and label")
    words: Any = row.get(tokens or "")
    content = row.get(text or "")
    of_words = isinstance(words, list) and all(isinstance(word, str) for word in words)
    rest = {name: value for name, value in row.items() if name not in (column, tokens)}
    if of_words and not (content and any(end > len(words) for _, end, _ in spans)):
        last_counts = column == "ner" and tokens == "tokenized_text"
        spans = [(start, end + last_counts, label) for start, end, label in spans]
        return {**rest, "tokens": words, "tags": _tags_of_words(words, _apart(spans, left_out))}
    if not isinstance(content, str):
        raise ValueError(
            f"{column} holds spans, but there is no text or list of words that they point into; "
            f"name it, {columns_option('text', 'COLUMN')}"
        )
    trimmed = []
    for one, span in zip(given, spans, strict=True):
        start, end, label = _placed(span, one.get("text") if isinstance(one, Mapping) else None, content)
        if not 0 <= start < end <= len(content):
            raise ValueError(f"span {[start, end, label]} must hold characters of the text, which has {len(content)}")
        inside = content[start:end]
        if inside.strip():
            lead = len(inside) - len(inside.lstrip())
            trimmed.append((start + lead, start + lead + len(inside.strip()), label))
    spans = _apart(trimmed, left_out)
    running = _cut_at(content, spans)
    return {**rest, "tokens": running.words, "tags": tags_of_spans(running, spans)}


def _span(value: Any) -> Span | None:
    """Read a span, whichever of the usual shapes it has."""
    if isinstance(value, (list, tuple)) and len(value) >= 3:
        start, end, label = value[:3] if isinstance(value[2], str) else (value[1], value[2], value[0])
    elif isinstance(value, Mapping):
        start, end, label = (
            next((value[key] for key in keys if key in value), None) for keys in (_START, _END, _LABEL)
        )
        label = label[0] if isinstance(label, list) and label else label
    else:
        return None
    start, end = _whole(start), _whole(end)
    label = str(label) if isinstance(label, int) else label
    if isinstance(start, bool) or not (isinstance(start, int) and isinstance(end, int) and isinstance(label, str)):
        return None
    return start, end, label


def _placed(span: Span, said: Any, content: str) -> Span:
    """Hold a span against what the file says it holds; places that count as JavaScript does are brought to ours."""
    start, end, label = span
    if not isinstance(said, str) or not _letters(said) or _letters(content[start:end]) == _letters(said):
        return span
    wide = content.encode("utf-16-le", "surrogatepass")
    parts = [wide[: 2 * start], wide[2 * start : 2 * end]]
    before, inside = (part.decode("utf-16-le", "ignore") for part in parts)
    if _letters(inside) == _letters(said):
        return len(before), len(before) + len(inside), label
    last = ": an end is the place behind the last character, add 1" if content[start : end + 1] == said else ""
    raise ValueError(
        f"span {[start, end, label]} is {content[start:end]!r:.40} in the text, but its own text is {said!r:.40}{last}"
    )


def _letters(text: str) -> str:
    return "".join(one for one in text.replace("\\n", " ") if one.isalnum())


def question_about_ends(rows: Sequence[Mapping[str, Any]], column: str, text: str | None) -> list[str]:
    """Ask about spans of which nearly all end inside a word, and none begins there: ends may be last letters."""
    total, inside = 0, [0, 0]
    for row in rows:
        content, given = row.get(text or ""), _listed(row.get(column) or [])
        if not isinstance(content, str) or not isinstance(given, list):
            continue
        for one in given:
            total += 1
            for place, border in enumerate((_span(one) or (0, 0))[:2]):
                inside[place] += content[max(border - 1, 0) : border + 1].isalnum() and 0 < border < len(content)
    if total < 3 or inside[1] < 0.9 * total or inside[0] > 0.1 * total:
        return []
    return [
        f"{inside[1]:,} of {total:,} spans end inside a word and {inside[0]:,} begin in one: if their ends are the last"
        " letter, add 1 to each"
    ]


def _whole(value: Any) -> Any:
    """Return a place as a number where a table holds it as a text or a fraction."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _apart(spans: Sequence[Span], left_out: Counter[str]) -> list[Span]:
    """Keep spans that do not overlap, the longest first."""
    kept: list[Span] = []
    for span in sorted(dict.fromkeys(spans), key=lambda one: (one[0] - one[1], one[0])):
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
        else:
            left_out[OVERLAP] += 1
    return sorted(kept)


def _tags_of_words(words: Sequence[str], spans: Sequence[Span]) -> list[str]:
    tags = ["O"] * len(words)
    for start, end, label in spans:
        if not 0 <= start < end <= len(words):
            raise ValueError(f"span {[start, end, label]} must hold words of the row, which has {len(words)}")
        tags[start:end] = [f"B-{label}", *[f"I-{label}"] * (end - start - 1)]
    return tags


def _cut_at(text: str, spans: Sequence[Span]) -> RunningText:
    """Find the words of a text, cut where a span begins or ends."""
    borders = sorted({border for start, end, _ in spans for border in (start, end)})
    found = []
    for start, end in split_words(text).spans:
        cuts = [start, *(border for border in borders if start < border < end), end]
        found += list(pairwise(cuts))
    return RunningText(text, tuple(found))

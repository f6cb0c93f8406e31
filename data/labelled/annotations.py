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

_SPAN_COLUMNS = ("entities", "spans", "ner", "label", "labels", "annotations", "entity_spans", "mentions")
_START = ("start", "start_offset", "begin", "start_char", "offset_start", "char_start")
_END = ("end", "end_offset", "end_char", "offset_end", "char_end", "stop")
_LABEL = ("label", "type", "entity", "entity_group", "entity_type", "tag", "class", "labels")
_LOOKED_AT = 200
OVERLAP = "spans inside others"

Span = tuple[int, int, str]


def span_column(rows: Sequence[Mapping[str, Any]], named: str | None = None) -> str | None:
    """Find the column that holds spans in the first 200 rows; None if there is none."""
    for column in (named,) if named else _SPAN_COLUMNS:
        values = [found for row in rows[:_LOOKED_AT] if (found := _listed(row.get(column))) and isinstance(found, list)]
        if values and all(_span(one) is not None for value in values for one in value):
            return column
    return None


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
        results = [one for one in done[0].get("result") or () if isinstance(one, dict)]
        values = [one["value"] for one in results if isinstance(one.get("value"), dict)]
        flat = {"id": row.get("id"), **row.get("data", {})}
        choices = [choice for value in values for choice in value.get("choices") or ()]
        if any("choices" in value for value in values):
            flat["labels" if len(choices) > 1 else "label"] = choices if len(choices) > 1 else choices[0]
        else:
            flat["entities"] = [value for value in values if _span(value) is not None]
        found.append(flat)
    return found


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
    spans = [found for one in given if (found := _span(one)) is not None]
    if len(spans) < len(given):
        wrong = next(one for one in given if _span(one) is None)
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
    for start, end, label in spans:
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
    if isinstance(start, bool) or not (isinstance(start, int) and isinstance(end, int) and isinstance(label, str)):
        return None
    return start, end, label


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

"""Parquet and Arrow files, `datasets`' own among them, in batches; names of classes come from the schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .base import Record, Slice, TableError
from .files import format_of

_BATCH_ROWS = 1024


def arrow_rows(path: Path, columns: Sequence[str] | None = None, part: Slice | None = None) -> Iterator[Record]:
    """Read rows of a parquet or Arrow file, or of its row groups; a text that is no UTF-8 comes as bytes."""
    if format_of(path) == "arrow":
        with pa.memory_map(str(path)) as source:
            try:
                reader: Any = pa.ipc.open_file(source)
                batches: Iterable[Any] = (reader.get_batch(number) for number in range(reader.num_record_batches))
            except pa.ArrowInvalid:
                source.seek(0)
                reader = batches = pa.ipc.open_stream(source)
            wanted = _wanted(path, reader.schema, columns)
            yield from batch_rows((batch.select(wanted) if wanted else batch for batch in batches), 0)
        return
    with pq.ParquetFile(path) as file:
        wanted = _wanted(path, file.schema_arrow, columns)
        groups = range(part.begin, part.end) if part else range(file.num_row_groups)
        before = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
        batches = file.iter_batches(batch_size=_BATCH_ROWS, row_groups=list(groups), columns=wanted)
        yield from batch_rows(batches, before)


def batch_rows(batches: Iterable[Any], before: int = 0) -> Iterator[Record]:
    """Turn record batches, or tables, of one schema into rows, numbered after those before them."""
    number = before
    for large in batches:
        for begin in range(0, large.num_rows, _BATCH_ROWS):
            batch = large.slice(begin, _BATCH_ROWS)
            names = batch.schema.names
            for values in zip(*(_values(batch.column(place)) for place in range(len(names))), strict=True):
                number += 1
                yield Record(number, dict(zip(names, values, strict=True)))


def schema_of(path: Path) -> Any:
    """Return the schema of a parquet or Arrow file."""
    if format_of(path) == "parquet":
        return pq.read_schema(path)
    with pa.memory_map(str(path)) as source:
        try:
            return pa.ipc.open_file(source).schema
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).schema


def class_names(schema: Any) -> dict[str, list[str]]:
    """Names of classes by column, where `datasets` or pandas' categories left them in a schema."""
    if not (schema.metadata or {}).get(b"huggingface"):
        return {}
    from datasets import Features

    return feature_names(Features.from_arrow_schema(schema))


def feature_names(features: Any) -> dict[str, list[str]]:
    """Return the names of the classes of a data set's features, of columns and of lists."""
    found = {}
    for column, feature in features.items():
        inner = feature[0] if isinstance(feature, list) and feature else getattr(feature, "feature", feature)
        if getattr(inner, "names", None):
            found[column] = list(inner.names)
    return found


def _wanted(path: Path, schema: Any, columns: Sequence[str] | None) -> list[str] | None:
    if columns is None:
        return None
    tops = list(dict.fromkeys(name if name in schema.names else name.split(".")[0] for name in columns))
    missing = next((name for name, top in zip(columns, tops, strict=False) if top not in schema.names), None)
    if missing is not None:
        there = ", ".join(map(repr, schema.names))
        raise ValueError(f"{path} has no column {missing!r}; there are {there}. Name the right one.")
    return tops


def _values(column: Any) -> list[Any]:
    """Return a column as Python's values, bytes (as Spark and old Impala store texts) as text; no UTF-8 stays bytes."""
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return [_decoded(value) for value in column.to_pylist()]
    try:
        values: list[Any] = column.to_pylist()
        return values
    except UnicodeDecodeError:
        pass
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TableError("a nested text is not UTF-8")
    return [_decoded(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _decoded(value: bytes | None) -> Any:
    try:
        return value if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return value

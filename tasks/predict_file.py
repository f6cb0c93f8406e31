"""Predictions of a file's rows into a file of JSON lines, streaming; a killed run goes on where it was.

    .out.jsonl.partial     the predictions so far, a line per row
    .out.jsonl.json        what they are made of: checkpoint, input and options
    out.jsonl              the result, when it is whole

Only whole flushes count: what a kill left of one is cut off, so that the rest is computed in the same batches and the
file has the bytes of a run that was never stopped. Rows already predicted are read and passed over.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..common.changes import find_changes
from ..common.checkpoints.reader import checkpoint_fingerprint
from ..common.files import read_json, sync_to_disk, write_json
from ..common.locks import only_writer
from ..common.messages import columns_option, did_you_mean
from ..common.progress import Progress, per_second
from ..data.labelled.columns import FIELDS
from ..data.tables.base import MISSING, pick
from ..data.tables.files import format_of
from ..data.tables.read import read_table
from .models import READ, TaskModel, with_usual_names

logger = logging.getLogger(__name__)

_FLUSH = 1024  # rows between two writes to the disk; a whole number of the windows that `stream` sorts by length
_OTHER_FORMATS = (".csv", ".tsv", ".parquet", ".xlsx", ".txt", ".arrow")


@dataclass(frozen=True)
class FilePredictions:
    """What a run over a file did."""

    path: Path  # the file of predictions
    rows: int  # all of them
    resumed: int  # how many were there already
    cut: Mapping[str, int]  # texts cut at max_length in this run, by language


def predict_file(
    model: TaskModel,
    source: str | Path,
    output: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    batch_size: int = 32,
    keep: bool = True,
    restart: bool = False,
    show_progress: bool = True,
) -> FilePredictions:
    """Predict on every row of a file."""
    target = Path(output)
    refuse_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, state = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.json")
    now = json.loads(json.dumps(_conditions(model, source, columns, keep), default=str))
    with only_writer(target):
        if restart:
            partial.unlink(missing_ok=True)
        done = _lines_so_far(partial) if partial.is_file() and state.is_file() else 0
        if done and (changed := find_changes(read_json(state), now)):
            raise ValueError(
                f"{target} was begun under other conditions: {changed[0]}; give --restart or another file."
            )
        if not done:
            partial.unlink(missing_ok=True)
            write_json(state, now)
        rows = islice(table_rows(source, columns or {}), done, None)
        written = done
        with partial.open("a", encoding="utf-8") as file, Progress("predict", shown=show_progress) as bar:
            bar.resume(done)
            began = time.monotonic()
            while part := list(islice(rows, _FLUSH)):
                try:
                    found = list(model.stream([read for _, read in part], batch_size=batch_size))
                except ValueError as error:
                    raise ValueError(f"{source}, rows {written + 1} to {written + len(part)}: {error}") from None
                for (row, _), one in zip(part, found, strict=True):
                    line = {**(row if keep else {}), "prediction": one}
                    file.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")
                file.flush()
                written += len(part)
                rate = per_second(written - done, time.monotonic() - began)
                logger.info("%s rows predicted, %s rows/s", f"{written:,}", rate)
        if not written:
            partial.unlink(missing_ok=True)
            state.unlink(missing_ok=True)
            raise ValueError(f"{source} holds no row.")
        sync_to_disk(partial)
        partial.replace(target)
        state.unlink(missing_ok=True)
    return FilePredictions(target, written, done, dict(model.cut))


def refuse_target(target: Path) -> None:
    """Refuse an output that is a folder, or that is named as another format."""
    if target.is_dir():
        raise ValueError(f"{target} is a folder; name a file in it, such as {target / 'predictions.jsonl'}.")
    if target.suffix.lower() in _OTHER_FORMATS:
        raise ValueError(f"{target}: predictions are JSON lines; name the file {target.with_suffix('.jsonl')}.")


def table_rows(source: str | Path, columns: Mapping[str, str]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Read rows one by one: as they are with what `columns` names, and with the usual columns under our names."""
    path = Path(source)
    if str(source) != "-" and not path.is_file():
        folder = " but a folder" if path.is_dir() else ""
        raise FileNotFoundError(
            f"{source} is no file{folder}; give a table such as .jsonl, .csv or .parquet, or a .txt file."
        )
    if unknown := sorted(set(columns) - set(FIELDS)):
        raise ValueError(
            f"{columns_option(unknown[0], columns[unknown[0]])}: there is no name {unknown[0]!r}; "
            f"{did_you_mean(unknown[0], READ)}"
        )
    for place, row in _rows(path):
        for ours, theirs in columns.items():
            value = pick(row, theirs)
            if value is MISSING:
                raise ValueError(f"{place}: no column {theirs!r}; there are {', '.join(map(str, row))}.")
            row = {**row, ours: value}
        yield row, with_usual_names(row, place)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if str(path) == "-" or format_of(path) == "text":
        with sys.stdin if str(path) == "-" else path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path}, line {number}", {"text": line.rstrip("\n")}
    else:
        yield from read_table(path)


def _conditions(model: TaskModel, source: str | Path, columns: Mapping[str, str] | None, keep: bool) -> dict[str, Any]:
    path = Path(source)
    size = {"bytes": path.stat().st_size, "changed": path.stat().st_mtime_ns} if path.is_file() else {}
    return {
        "checkpoint": checkpoint_fingerprint(model.folder) if model.folder is not None else None,
        "input": {"path": str(source), **size},
        "reading": vars(model.reading),
        "columns": dict(columns or {}),
        "keep": keep,
    }


def _lines_so_far(partial: Path) -> int:
    """Count lines up to whole flushes and cut off the rest: what follows is then in the batches of an unbroken run."""
    count, place, kept, end = 0, 0, 0, 0
    with partial.open("rb+") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            count, place = count + 1, place + len(line)
            if count % _FLUSH == 0:
                kept, end = count, place
        file.truncate(end)
    return kept

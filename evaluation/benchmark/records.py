"""The record of a run: one JSON file with the scores and everything they depend on, written once, at the end.

A run whose file is there and tells of the same things is not repeated. What it depends on is its `identity`:
checkpoint, rows, setting, seed, definition of the task. If one of them differs, the folder belongs to another
evaluation: it is refused with the name of what changed, unless the caller wants it done anew. Versions and machine are
recorded, but do not make another run of it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...common.changes import find_changes
from ...common.deprecation import renamed_keys
from ...common.files import write_json
from .catalogue import BenchmarkTask
from .sweep import Run

FOLDER = "runs"


class ChangedRun(ValueError):
    """A record of the same name was made under other conditions."""


def identity_of(run: Run, task: BenchmarkTask, rows: str, checkpoint: str) -> dict[str, Any]:
    """Collect what a run's numbers depend on."""
    scored = ("head", "metric", "positive", "official", "answer_language")
    defining = {key: value for key, value in asdict(task).items() if key in scored and (value or key in scored[:3])}
    return {
        "protocol": "the best checkpoint by dev is scored",  # records of 0.1 are of the last one
        "checkpoint": checkpoint,
        "rows": rows,
        "task": hashlib.sha256(json.dumps(defining, sort_keys=True).encode()).hexdigest()[:16],
        "setting": run.setting.to_dict(),
        "seed": run.seed,
        "stage": run.stage,
    }


def record_path(output: Path, run: Run) -> Path:
    """Return where a run's record lies."""
    return output / FOLDER / f"{run.name}.json"


def read_record(output: Path, run: Run, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a run's record if it was done already."""
    path = record_path(output, run)
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:  # not ours: we write whole files only
        return None
    now = json.loads(json.dumps(identity, default=str))
    before = record.get("identity") or {}
    changed = find_changes({name: before.get(name) for name in now}, now)
    if changed:
        raise ChangedRun(
            f"{path}: done before under other conditions: {' and '.join(changed)}; give another output folder, or "
            "--overwrite-output-dir"
        )
    renewed: dict[str, Any] = renamed_keys(record, trivial="baseline")
    return renewed


def write_record(output: Path, run: Run, record: Mapping[str, Any]) -> Path:
    """Write a record whole or not at all."""
    path = record_path(output, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record, indent=1)
    return path

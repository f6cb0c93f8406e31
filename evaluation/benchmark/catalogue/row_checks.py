"""What must hold for a task's rows before anything is trained on them, and what a report must say about them."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ....data.features.passages import answer_spans
from ....data.features.word_labels import UNLABELLED
from .task import BenchmarkTask

if TYPE_CHECKING:
    from datasets import Dataset

_LISTED = 8


def row_keys(rows: "Dataset", names: Sequence[str] | None = None) -> list[str]:
    """Hash every row by what it says, not by its place."""
    names = names or [name for name in rows.column_names if name != "id"]
    columns = [rows[name][:] for name in names]
    return [
        hashlib.sha256(json.dumps(values, ensure_ascii=False, default=str).encode()).hexdigest()
        for values in zip(*columns, strict=True)
    ]


def require_scorable(task: BenchmarkTask, dev: "Dataset", test: "Dataset") -> None:
    """Refuse, before anything is trained, a language of dev or test in which nothing can be scored."""
    for part, rows in (("dev", dev), ("test", test)):
        values: dict[str, list[Any]] = {}
        column = {"score": "score", "tags": "tags", "spans": "tags"}.get(task.head)
        for tag, value in zip(rows["language"], rows[column], strict=True) if column else ():
            values.setdefault(tag, []).append(value)
        for tag, found in sorted(values.items()):
            if column == "tags" and all(one in UNLABELLED for tags in found for one in tags):
                problem = "there are 0 words to score"
            elif column == "score" and len(set(found)) == 1:
                problem = f"all {len(found)} gold scores are {found[0]:g}: a correlation needs two that differ"
            else:
                continue
            raise ValueError(f"{task.name}, {part} in {tag}: {problem}; give the language more rows, or leave it out")


def labels_of(task: BenchmarkTask, train: "Dataset") -> tuple[str, ...]:
    """List the classes or tags of train."""
    if task.head == "labels":
        found = set(train["label"])
    elif task.head in ("tags", "spans"):
        found = {str(tag) for tags in train["tags"] for tag in tags if tag not in UNLABELLED}
    else:
        return ()
    if len(found) < 2:
        raise ValueError(
            f"{task.name}: all {len(train)} training rows have the label {', '.join(sorted(found)) or 'none'}; "
            "give rows of two or more"
        )
    if task.positive is not None and str(task.positive) not in found:
        raise ValueError(
            f"{task.name}: f1 is that of the label {task.positive!r}, which no training row has; the labels are "
            f"{', '.join(sorted(found)[:_LISTED])}: write them as the task does, or give a --catalogue with your own "
            "`positive`"
        )
    return tuple(sorted(found, key=lambda tag: (tag != "O", tag)))


def strange_labels(task: BenchmarkTask, labels: Sequence[str], test: "Dataset") -> list[str]:
    """Say which labels of the test no training row has; those words or rows count as wrong."""
    if not labels:
        return []
    every = test["label"] if task.head == "labels" else [tag for tags in test["tags"] for tag in tags]
    found = [label for label in every if label not in UNLABELLED]  # those are not evaluated
    strange = [str(label) for label in found if label not in set(labels)]
    names = sorted(set(strange))
    if strange and len(strange) == len(found):
        raise ValueError(
            f"{task.name}: test has the labels {', '.join(names[:_LISTED])}, train has {', '.join(labels[:_LISTED])}; "
            "bring them under the same names"
        )
    if not strange:
        return []
    return [f"{len(strange):,} labels of the test ({', '.join(names[:_LISTED])}) are not in train and count as wrong"]


def answers_in_place(task: BenchmarkTask, train: "Dataset") -> "tuple[Dataset, list[str]]":
    """Leave out training rows with an answer that is not in its passage; dev and test are scored by their texts."""
    keep = [place for place, row in enumerate(train) if _in_place(row)]
    if not keep:
        raise ValueError(f"{task.name}: none of {len(train):,} training rows has its answers in its passage")
    if len(keep) == len(train):
        return train, []
    left = f"train: left out {len(train) - len(keep):,} of {len(train):,} rows, whose answer is not in their passage"
    return train.select(keep), [left]


def _in_place(row: Mapping[str, Any]) -> bool:
    try:
        answer_spans(row)
    except ValueError:
        return False
    return True


def shared_rows(task: BenchmarkTask, train: "Dataset", test: "Dataset") -> list[str]:
    """Say how many test rows stand in train too."""
    names = [name for name in ("language", "text_pair", *task.needs) if name in train.column_names]
    if not set(names) <= set(test.column_names):
        return []
    seen = set(row_keys(train, names))
    shared = sum(key in seen for key in row_keys(test, names))
    if shared == len(test):
        raise ValueError(
            f"{task.name}: all {shared:,} test rows are training rows too; give files with a column `split`, or "
            f"--data {task.name}:train=PATH and --data {task.name}:test=PATH"
        )
    return [f"{shared:,} of {len(test):,} test rows stand in train too"] if shared else []


def apart_from_test(task: BenchmarkTask, dev: "Dataset", test: "Dataset") -> "tuple[Dataset, list[str]]":
    """Leave out of dev what the test asks too: XQuAD's English is a part of the SQuAD dev that others choose on."""
    asked = [name for name in ("text_pair", *task.needs) if name not in ("label", "score", "tags", "answers")]
    names = [name for name in asked if name in dev.column_names]
    if not set(names) <= set(test.column_names):
        return dev, []
    evaluated = set(row_keys(test, names))
    keep = [place for place, key in enumerate(row_keys(dev, names)) if key not in evaluated]
    if len(keep) == len(dev):
        return dev, []
    if not keep:
        raise ValueError(
            f"{task.name}: all {len(dev):,} dev rows are test rows too, so the test would choose; give another dev, or "
            "none: it is cut out of train"
        )
    return dev.select(keep), [f"{len(dev) - len(keep):,} of {len(dev):,} dev rows stand in the test and were left out"]

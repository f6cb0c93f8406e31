"""The hidden folder beside the output in which a tokenization works, and which it takes up again after a kill.

    .NAME.tokenizing/plan.json     what is being done: source listing, tokenizer, options
    .NAME.tokenizing/tokenizer/    the tokenizer
    .NAME.tokenizing/bundles/      finished tasks
    .NAME.lock                     held by the process that is at work

The output appears under its name by one renaming, as the last act. Until then the folder needs the space of the tokens
twice: once as bundles, once as shards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...common.changes import find_changes
from ...common.files import read_json, refuse_existing, sync_to_disk, write_json, writing
from ...common.locks import only_writer
from ...modeling.tokenization_mmbert import save_tokenizer
from .intermediate import FinishedTask, read_finished

PLAN = "plan.json"


class WorkFolder:
    """Takes, or takes up again, the working folder of an output."""

    def __init__(self, output: Path) -> None:
        refuse_existing(output)
        self.output = output
        absolute = output.absolute()
        self.path = absolute.parent / f".{absolute.name}.tokenizing"
        self.tokenizer, self.bundles = self.path / "tokenizer", self.path / "bundles"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes."""
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(self.output):
            with writing(self.path):
                self.bundles.mkdir(parents=True, exist_ok=True)
            yield

    def claim(self, plan: Mapping[str, Any]) -> None:
        """Begin, or go on with the same plan."""
        path = self.path / PLAN
        if path.is_file():
            before = read_plan(self.path)
            if changed := first_difference(before, plan):
                raise ValueError(
                    f"{self.output} was begun with something else: {changed}. Undo that,"
                    f" or remove {self.path} to begin again."
                )
            if json.loads(json.dumps(plan)) == before:
                return
        write_json(path, plan, indent=None)

    def begin(self, name: str) -> Path:
        """Make an empty folder for what will be published."""
        path = self.path / name
        with writing(path):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        return path

    def keep_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Save the tokenizer unless it is there; a kill leaves none or all of it."""
        if not self.tokenizer.is_dir():
            partial = self.begin("tokenizer.tmp")
            with writing(self.tokenizer):
                save_tokenizer(tokenizer, partial)
                partial.rename(self.tokenizer)

    def give_up(self) -> None:
        """Remove the folder if no task is finished: nothing would be lost, and nothing would stand in the way."""
        if not any(self.bundles.glob("*.json")):
            shutil.rmtree(self.path, ignore_errors=True)

    def publish(self, folder: Path) -> None:
        """Give a finished folder the name of the output, and remove the rest."""
        with writing(self.output):
            for path in [*folder.rglob("*"), folder]:
                sync_to_disk(path)
            refuse_existing(self.output)
            self.output.parent.mkdir(parents=True, exist_ok=True)
            if self.output.is_dir():
                self.output.rmdir()
            folder.rename(self.output)
            sync_to_disk(self.output.absolute().parent)
        shutil.rmtree(self.path, ignore_errors=True)


def first_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name the first thing in which two plans differ."""
    after = json.loads(json.dumps(after))
    for section in ("tokenizer", "part"):
        if before[section] != after[section]:
            return f"the {section} was {_short(before[section])} and is {_short(after[section])}"
    if before.get("data") != after.get("data"):
        return find_changes(before.get("data"), after.get("data"), "data")[0]
    for name in sorted({*before["options"], *after["options"]}):
        old, new = before["options"].get(name), after["options"].get(name)
        # Tasks that were finished when a bad row stopped the run had none, so they stay as they are.
        if old != new and (name, old, new) != ("on_bad_row", "error", "skip"):
            return f"option {name} was {_short(old)} and is {_short(new)}"
    old_files, new_files = ({entry[0]: entry for entry in plan["listing"]} for plan in (before, after))
    for name in sorted({*old_files, *new_files}):
        if old_files.get(name) != new_files.get(name):
            how = "is new" if name not in old_files else "is gone" if name not in new_files else "has changed"
            return f"source file {name} {how}"
    for name, time in before.get("modified", {}).items():
        if after.get("modified", {}).get(name, time) != time:
            return f"source file {name} was modified since"
    return "" if before["tasks"] == after["tasks"] else "the source is cut into other tasks"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def read_parts(parts: Sequence[Path]) -> tuple[dict[str, Any], list[FinishedTask]]:
    """Read the parts of one plan."""
    plans = [_read_part(part) for part in parts]
    first, count = plans[0], plans[0]["part"][1]
    for part, plan in zip(parts, plans, strict=True):
        changed = first_difference(_comparable(first), _comparable(plan))
        if changed:
            raise ValueError(f"{parts[0]} and {part} are no parts of the same whole: in the second, {changed}.")
    numbers = sorted(plan["part"][0] for plan in plans)
    if numbers != list(range(1, count + 1)):
        raise ValueError(f"there are parts {', '.join(map(str, numbers))} of {count}; each is needed once.")
    place = {plan["part"][0] - 1: part for part, plan in zip(parts, plans, strict=True)}
    tasks = []
    for number in range(len(first["tasks"])):
        part = place[number % count]
        task = read_finished(part / "bundles", number, verify=True)
        if task is None:
            raise ValueError(f"{part} is damaged (task {number}); write that part again.")
        tasks.append(task)
    return first, tasks


def _read_part(part: Path) -> dict[str, Any]:
    if not (part / PLAN).is_file():
        raise FileNotFoundError(
            f"{part} is no part of a tokenization ({PLAN} is missing); make it by `mmbert tokenize ... --part I/N`."
        )
    return read_plan(part)


def read_plan(folder: Path) -> dict[str, Any]:
    """Read the plan of a folder, also one of 0.1, where tasks were called units."""
    plan = read_json(folder / PLAN)
    if "units" in plan:
        plan["tasks"] = plan.pop("units")
    return plan


def _comparable(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan without what may differ: the part itself, and times of change, which copying alters."""
    return {**plan, "part": plan["part"][1], "modified": {}}

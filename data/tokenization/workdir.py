"""The hidden folder beside the output in which a tokenisation works, and which it takes up again after a kill.

    .NAME.tokenizing/plan.json     what is being done: source listing, tokenizer, options
    .NAME.tokenizing/tokenizer/    the tokenizer
    .NAME.tokenizing/bundles/      finished units
    .NAME.lock                     held by the process that is at work

The output appears under its name by one renaming, as the last act. Until then the folder needs the space of the tokens
twice: once as bundles, once as shards.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ...common.files import refuse_existing, sync_to_disk, write_json, writing
from ...common.locks import only_writer
from ...modeling.tokenization_mmbert import save_tokenizer

PLAN = "plan.json"


class WorkFolder:
    """Takes, or takes up again, the working folder of an output.

    Args:
        output: The folder to be made; it may exist if it is empty.
    """

    def __init__(self, output: Path) -> None:
        refuse_existing(output)
        self.output = output
        absolute = output.absolute()
        self.path = absolute.parent / f".{absolute.name}.tokenizing"
        self.tokenizer, self.bundles = self.path / "tokenizer", self.path / "bundles"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes.

        Yields:
            None: Nothing.

        Raises:
            ValueError: If another process is writing it.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(self.output):
            with writing(self.path):
                self.bundles.mkdir(parents=True, exist_ok=True)
            yield

    def claim(self, plan: Mapping[str, Any]) -> None:
        """Begin, or go on with the same plan.

        Args:
            plan: What is to be done, as JSON values.

        Raises:
            ValueError: If an earlier run had begun something else; the message names what.
        """
        path = self.path / PLAN
        if path.is_file():
            before = json.loads(path.read_text(encoding="utf-8"))
            if changed := first_difference(before, plan):
                raise ValueError(
                    f"{self.output} was begun with something else: {changed}. Undo that,"
                    f" or remove {self.path} to begin again."
                )
            if json.loads(json.dumps(plan)) == before:
                return
        write_json(path, plan, indent=None)

    def begin(self, name: str) -> Path:
        """Make an empty folder for what will be published.

        Args:
            name: Its name.

        Returns:
            The folder.
        """
        path = self.path / name
        with writing(path):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
        return path

    def keep_tokenizer(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Save the tokenizer unless it is there; a kill leaves none or all of it.

        Args:
            tokenizer: The tokenizer.
        """
        if not self.tokenizer.is_dir():
            partial = self.begin("tokenizer.tmp")
            with writing(self.tokenizer):
                save_tokenizer(tokenizer, partial)
                partial.rename(self.tokenizer)

    def give_up(self) -> None:
        """Remove the folder if no unit is finished: nothing would be lost, and nothing would stand in the way."""
        if not any(self.bundles.glob("*.json")):
            shutil.rmtree(self.path, ignore_errors=True)

    def publish(self, folder: Path) -> None:
        """Give a finished folder the name of the output, and remove the rest.

        Args:
            folder: A folder inside this one, or this one itself.
        """
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
    """Name the first thing in which two plans differ.

    Args:
        before: One plan.
        after: The other.

    Returns:
        A phrase; empty if they are equal.
    """
    after = json.loads(json.dumps(after))
    for section in ("tokenizer", "part"):
        if before[section] != after[section]:
            return f"the {section} was {_short(before[section])} and is {_short(after[section])}"
    for name in sorted({*before["options"], *after["options"]}):
        old, new = before["options"].get(name), after["options"].get(name)
        # Units that were finished when a bad row stopped the run had none, so they stay as they are.
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
    return "" if before["units"] == after["units"] else "the source is cut into other units"


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else f"{text[:12]}..."

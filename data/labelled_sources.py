"""Where the rows of a task come from, by role: train, dev, test; one source for all, or one each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .labelled import read_labelled, sample_rows

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass
class LabelledSources:
    """Options of a script that trains on labelled rows and judges on others.

    A list is written with blanks or commas. Splits are looked for where the source has any: a column `split`, files
    named after them, the Hub's.
    """

    model: str = field(metadata={"help": "Checkpoint to start from: a folder or a Hub id."})
    data: str | None = field(default=None, metadata={"help": "File, folder or Hub id with train, dev and test."})
    train: str | None = field(default=None, metadata={"help": "Source of the training rows, if not --data."})
    dev: str | None = field(default=None, metadata={"help": "Source of the rows that choose the network; or none."})
    test: str | None = field(default=None, metadata={"help": "Source of the rows that are judged at the end; or none."})
    train_split: str = field(default="train", metadata={"help": "Split to train on, where the source has splits."})
    dev_split: str = field(default="dev", metadata={"help": "Split that chooses; none: the last network is kept."})
    test_split: str = field(default="test", metadata={"help": "Split that is judged; none: nothing is."})
    train_languages: list[str] | None = field(default=None, metadata={"help": "Languages to train on; all."})
    dev_languages: list[str] | None = field(default=None, metadata={"help": "Languages that choose; the trained."})
    test_languages: list[str] | None = field(default=None, metadata={"help": "Languages that are judged; all."})
    language: str | None = field(default=None, metadata={"help": "Language of all rows, if nothing else says it."})
    configuration: str | None = field(default=None, metadata={"help": "Of a Hub dataset with several."})
    columns: list[str] = field(default_factory=list, metadata={"help": "Our name=the source's: text=review, ..."})
    on_bad_row: str = field(default="error", metadata={"help": "error, or skip: leave out and count."})
    pretraining_record: str | None = field(
        default=None, metadata={"help": "run_record.json of the pre-training: languages it read; mmBERT's own list."}
    )
    rows_a_language: int | None = field(default=None, metadata={"help": "Judge at most so many rows of a language."})

    def read(self, require: Sequence[str | tuple[str, ...]]) -> dict[str, Dataset]:
        """Read the rows of the roles.

        Args:
            require: See `read_labelled`.

        Returns:
            `train`, and `dev` and `test` where there is a source for them.

        Raises:
            ValueError: If there is nothing to train on, an option is of no use, or --data does not tell its splits.
        """
        columns: dict[str, str | list[str]] = {}
        for pair in self.columns:
            name, equals, column = pair.partition("=")
            if not equals:
                raise ValueError(f"--columns {pair}: write name=column, such as text=review.")
            columns[name] = column.split(",") if "," in column else column
        if self.on_bad_row not in ("error", "skip"):
            raise ValueError(f"--on_bad_row is {self.on_bad_row!r}, but must be error or skip.")
        found = {}
        wanted = {
            "train": self.train_languages,
            "dev": self.dev_languages or self.train_languages,
            "test": self.test_languages,
        }
        for role, languages in wanted.items():
            source, split = getattr(self, role) or self.data, getattr(self, f"{role}_split")
            if source is None or "none" in (source, split):
                continue
            found[role] = read_labelled(
                source,
                split=split,
                languages=_listed(languages),
                language=self.language,
                columns=columns,
                require=require,
                on_bad_row=self.on_bad_row,  # type: ignore[arg-type]
                configuration=self.configuration,
            )
        if "train" not in found:
            raise ValueError("there is nothing to train on: give --data or --train.")
        self._require_splits(found)
        if self.rows_a_language and "test" in found:
            found["test"] = sample_rows(found["test"], self.rows_a_language)
        return found

    def _require_splits(self, found: dict[str, Dataset]) -> None:
        """Refuse a file that says nothing of splits: it would be judged on what it was trained on."""
        for role in ("dev", "test"):
            if role not in found or self.train or getattr(self, role):
                continue
            judged = {json.dumps(row, sort_keys=True) for row in found[role]}
            if all(json.dumps(row, sort_keys=True) in judged for row in found["train"]):
                raise ValueError(
                    f"{self.data} does not tell train from {role}: every training row is a row of {role} too; add a"
                    f" column split, give --train and --{role}, or --{role}_split none."
                )

    def pretrained_on(self) -> list[str] | None:
        """Return the languages of pre-training, None for mmBERT's own.

        Returns:
            Language tags.

        Raises:
            FileNotFoundError: If there is no such record.
            ValueError: If it is none of a pre-training.
        """
        if self.pretraining_record is None:
            return None
        try:
            found = json.loads(Path(self.pretraining_record).read_text(encoding="utf-8"))["data"]["languages"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(
                f"--pretraining_record {self.pretraining_record} names no languages; give the run_record.json of a run."
            ) from None
        return list(found)

    def where(self) -> dict[str, str]:
        """Return source and split of every role, for a record."""
        return {
            role: f"{getattr(self, role) or self.data} ({getattr(self, f'{role}_split')})"
            for role in ("train", "dev", "test")
        }


def _listed(values: list[str] | None) -> list[str] | None:
    return None if values is None else [one for part in values for one in part.split(",") if one]

"""Where the rows of a task come from, by role: train, dev, test; one source for all, or one each."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..data.labelled.read import read_labelled, sample_rows
from .language_scores import write_language_table

# CODEMOD section data.labelled_sources
# Where the rows of a task come from, by role: train, dev, test; one source for all, or one each.


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


# CODEMOD section evaluation.fine_tuning_script
# What the fine-tuning scripts have in common: options, rows, training with several seeds, the table, errors in a line.
#
#     run_fine_tuning(ScriptOptions, train, require=("tokens", "tags"), tell=print)
#
# A script is what differs: a dataclass of its own options, and a function that trains with them.


if TYPE_CHECKING:
    from ..trainers import FineTuned

Script = TypeVar("Script", bound=LabelledSources)


def run_fine_tuning(
    script: type[Script],
    train: Callable[..., list[FineTuned]],
    *,
    require: Sequence[str | tuple[str, ...]],
    score: str | None = None,
    draw: Callable[[dict[str, Any], Path], Any] | None = None,
    tell: Callable[[str], Any] = lambda _: None,
) -> None:
    """Run a fine-tuning script on the command line; what is wrong with its input ends it with one line.

    Args:
        script: Dataclass of its own options.
        train: Called as `train(own, rows, **given)` with the script's own options; gives one result a seed. `given` is
            what every task takes: `tokenizer`, `output_dir`, `options` (hyper-parameters), `seeds`, `score`, `facts`.
        require: Columns that rows need, see `mmbert.data.read_labelled`.
        score: Name of the script's option that says which score the table shows.
        draw: Draws the table, see `write_language_table`; left out where matplotlib is absent.
        tell: Told the table at the end, such as `print`.
    """
    try:
        told = _run(script, train, require, score, draw)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    if told:
        tell(told)


def _run(
    script: type[Script],
    train: Callable[..., list[FineTuned]],
    require: Sequence[str | tuple[str, ...]],
    score: str | None,
    draw: Callable[[dict[str, Any], Path], Any] | None,
) -> str:
    import datasets
    from accelerate import PartialState
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    from ..trainers import parse_fine_tuning

    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(script, sys.argv[1:])
    shown = None if score is None else getattr(options, score)
    pretrained_on = options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=require)
    results = train(
        options,
        rows,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        output_dir=output,
        options=training,
        seeds=seeds,
        score=shown,
        facts={"data": options.where()},
    )
    told = ""
    if PartialState().is_main_process and "test" in rows:
        table = write_language_table(
            [result.record for result in results],
            output,
            score=shown,
            pretrained_on=pretrained_on,
            draw=draw if find_spec("matplotlib") else None,  # pip install "mmbert[plots]"
        )
        told = f"{table}\nnetworks, predictions and tables are in {output}"
    PartialState().destroy_process_group()
    return told

"""What the fine-tuning scripts have in common: options, rows, training with several seeds, the table, errors in a line.

    run_fine_tuning("classification", sys.argv[1:], tell=print)

A script's options are `LabelledSources` (where rows come from), the task's way to read them (such as `TextOptions`) and
`FineTuningArguments`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from ..common.checkpoints.reader import require_start
from ..common.command import run_command
from ..common.messages import did_you_mean, require_known, speak
from ..common.options import column_names
from ..data.labelled.read import first_look, read_labelled, sample_rows
from .language_scores import write_language_table

if TYPE_CHECKING:
    from datasets import Dataset

    from .base import Task

TASKS = {
    "classification": "text_classification.TextClassification",
    "tagging": "token_classification.TokenClassification",
    "qa": "question_answering.QuestionAnswering",
    "choice": "multiple_choice.MultipleChoice",
}


@dataclass
class LabelledSources:
    """Options of a script that trains on labelled rows and evaluates on others.

    A list is written with blanks or commas. Splits are looked for where the source has any: a column `split`, files
    named after them, the Hub's.
    """

    model: str = field(metadata={"help": "Checkpoint to start from: a folder or a Hub id."})
    data: str | None = field(default=None, metadata={"help": "File, folder or Hub id with train, dev and test."})
    train: str | None = field(default=None, metadata={"help": "Source of the training rows, if not --data."})
    dev: str | None = field(default=None, metadata={"help": "Source of the rows that choose the network; or none."})
    test: str | None = field(default=None, metadata={"help": "Source of the rows that are tested at the end; or none."})
    train_split: str = field(default="train", metadata={"help": "Split to train on, where the source has splits."})
    dev_split: str = field(default="dev", metadata={"help": "Split that chooses; none: the last network is kept."})
    test_split: str = field(default="test", metadata={"help": "Split that is tested; none: nothing is."})
    train_languages: list[str] | None = field(default=None, metadata={"help": "Languages to train on; all."})
    dev_languages: list[str] | None = field(default=None, metadata={"help": "Languages that choose; the trained."})
    test_languages: list[str] | None = field(default=None, metadata={"help": "Languages that are tested; all."})
    language: str | None = field(default=None, metadata={"help": "Language of all rows, if nothing else says it."})
    configuration: str | None = field(default=None, metadata={"help": "Of a Hub dataset with several."})
    columns: list[str] = field(default_factory=list, metadata={"help": "Our name=the source's: text=review, ..."})
    on_bad_row: str = field(default="error", metadata={"help": "error, or skip: leave out and count."})
    pretraining_record: str | None = field(
        default=None, metadata={"help": "run_record.json of the pre-training: languages it read; mmBERT's own list."}
    )
    rows_per_language: int | None = field(default=None, metadata={"help": "Test at most so many rows per language."})
    table_score: str | None = field(default=None, metadata={"help": "Score of the table; the task's main one."})

    def read(self, require: Sequence[str | tuple[str, ...]]) -> dict[str, Dataset]:
        """Read the rows of `train`, and of `dev` and `test` where there is a source for them."""
        columns = column_names(self.columns)
        require_known("on_bad_row", self.on_bad_row, ("error", "skip"))
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
            try:
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
            except ValueError as error:
                if "has no split" not in str(error):
                    raise
                remedy = f"--{role}_split NAME" + (f", --{role} FILE or --{role}_split none" if role != "train" else "")
                raise ValueError(f"{str(error).rstrip('.')}; give {remedy}") from None
        if "train" not in found:
            raise ValueError("there is nothing to train on: give --data or --train.")
        self._require_splits(found)
        if self.rows_per_language and "test" in found:
            found["test"] = sample_rows(found["test"], self.rows_per_language)
        return found

    def _require_splits(self, found: dict[str, Dataset]) -> None:
        """Refuse a file that says nothing of splits: it would be evaluated on what it was trained on."""
        same = []
        for role in ("dev", "test"):
            if role not in found or self.train or getattr(self, role):
                continue
            evaluated = {json.dumps(row, sort_keys=True) for row in found[role]}
            if all(json.dumps(row, sort_keys=True) in evaluated for row in found["train"]):
                same.append(role)
        if same:
            both = " and ".join(same)
            raise ValueError(
                f"{self.data} does not tell train from {both}: every training row is a row of {both} too; add a column"
                f" split, give --train and {' and '.join(f'--{role}' for role in same)}, or"
                f" {' '.join(f'--{role}_split none' for role in same)}."
            )

    def pretrained_on(self) -> list[str] | None:
        """Return the languages of pre-training, None for mmBERT's own."""
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


def task_class(name: str) -> type[Task]:
    """Find a task by the name that commands use.

    Args:
        name: "classification", "tagging", "qa" or "choice".

    Returns:
        The class.

    Raises:
        ValueError: If there is none of that name.
    """
    if name not in TASKS:
        raise ValueError(f"there is no task {name!r}; {did_you_mean(name, TASKS)}")
    module, _, kind = TASKS[name].partition(".")
    found: type[Task] = getattr(import_module(f"{__package__}.{module}"), kind)
    return found


def script_options(kind: type[Task]) -> type[Any]:
    """Build the dataclass of a task's own options: its sources and its way to read rows, with the docstring as help."""
    reading = kind.reading_class
    hints, helps = get_type_hints(reading), _attributes(reading)
    own = [
        (one.name, hints[one.name], field(default=one.default, metadata={"help": helps[one.name]}))
        for one in fields(reading)
        if one.name != "on_bad_row" and one.default is not MISSING
    ]
    return make_dataclass(f"{kind.__name__}Options", own, bases=(LabelledSources,))


def run_fine_tuning(
    task: str,
    arguments: Sequence[str] | None = None,
    *,
    draw: Callable[[dict[str, Any], Path], Any] | None = None,
    tell: Callable[[str], Any] = lambda _: None,
) -> None:
    """Run a fine-tuning command; what is wrong with its input ends it with one line.

    Args:
        task: "classification", "tagging", "qa" or "choice".
        arguments: The command line; None: that of the process.
        draw: Draws the table, see `write_language_table`; left out where matplotlib is absent.
        tell: Told the table and the folder at the end, such as `print`.
    """

    def act() -> None:
        if told := _run(task_class(task), sys.argv[1:] if arguments is None else arguments, draw):
            tell(told)

    speak("script")
    run_command(act)


def _run(kind: type[Task], arguments: Sequence[str], draw: Callable[[dict[str, Any], Path], Any] | None) -> str:
    import datasets
    from accelerate import PartialState
    from transformers.utils import logging as transformers_logging

    from ..trainers import parse_fine_tuning
    from .training import fine_tune_task, require_known_scores

    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, args = parse_fine_tuning(
        script_options(kind), arguments, f"mmbert finetune {kind.name}", sys.modules[kind.__module__].__doc__
    )
    require_known_scores(kind, args, options.table_score)
    output = Path(str(args.output_dir))
    require_start(options.model)  # what is wrong with it is told before rows are read
    pretrained_on = options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=kind.columns)
    if PartialState().is_main_process:
        logging.getLogger(__name__).info("%s", first_look(rows["train"]))
    read = {one.name: getattr(options, one.name) for one in fields(kind.reading_class) if hasattr(options, one.name)}
    results = fine_tune_task(
        kind,
        options.model,
        rows,
        output,
        args,
        reading=kind.reading_class(**read),
        score=options.table_score,
        facts={"data": options.where()},
    )
    told = ""
    if PartialState().is_main_process:
        if "test" in rows:
            told = write_language_table(
                [result.record for result in results],
                output,
                score=options.table_score,
                pretrained_on=pretrained_on,
                draw=draw if find_spec("matplotlib") else None,  # pip install "mmbert[plots]"
            )
        count = f"{len(results)} networks" if len(results) > 1 else "the network"
        told += f"\n{count}, trained on {len(rows['train']):,} rows, with predictions and scores: {output}"
    PartialState().destroy_process_group()
    return told.strip()


def _attributes(kind: type[Any]) -> dict[str, str]:
    """Read what a dataclass's docstring says of its attributes."""
    text = (kind.__doc__ or "").partition("Attributes:")[2]
    found = re.findall(r"^ {4,8}(\w+): (.*(?:\n {12,}.*)*)", text, re.MULTILINE)
    return {name: " ".join(words.split()).replace("%", "%%") for name, words in found}


def _listed(values: list[str] | None) -> list[str] | None:
    return None if values is None else [one for part in values for one in part.split(",") if one]

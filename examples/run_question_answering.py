"""Fine-tune a network that finds answers in a passage, judge it in every language, with several seeds.

    accelerate launch examples/run_question_answering.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora] [--unanswerable]

Rows have `question`, `context` and `answers` (SQuAD's shape, or texts with a column answer_start); other names are
mapped: --columns context=passage. --train, --dev and --test name three sources where --data does not hold all:
zero-shot is a --test in languages that --train lacks. Passages longer than --max_length are read in windows;
--max_length 8192 reads documents whole. Every field of transformers' TrainingArguments is an option too. Writes the
networks, SQuAD's prediction files, table.md, table.json, table.png.
"""

import json
import logging
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
from accelerate import PartialState
from mmbert.data import read_labelled, sample_rows
from mmbert.evaluation import PassageOptions, fine_tune_answerer, language_table, table_lines
from mmbert.model_cards import draw_language_scores
from mmbert.trainers import parse_fine_tuning
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging


@dataclass
class ScriptOptions:
    """Options of this script."""

    model: str = field(metadata={"help": "Checkpoint to start from: a folder or a Hub id."})
    data: str | None = field(default=None, metadata={"help": "File, folder or Hub id with train, dev and test."})
    train: str | None = field(default=None, metadata={"help": "Source of the training rows, if not --data."})
    dev: str | None = field(default=None, metadata={"help": "Source of the rows that choose the network; or none."})
    test: str | None = field(default=None, metadata={"help": "Source of the rows that are judged at the end; or none."})
    train_split: str = field(default="train", metadata={"help": "Split to train on, where the source has splits."})
    dev_split: str = field(default="dev", metadata={"help": "Split that chooses; none: the last network is kept."})
    test_split: str = field(default="test", metadata={"help": "Split that is judged."})
    train_languages: list[str] | None = field(default=None, metadata={"help": "Languages to train on; all."})
    dev_languages: list[str] | None = field(default=None, metadata={"help": "Languages that choose; the trained."})
    test_languages: list[str] | None = field(default=None, metadata={"help": "Languages that are judged; all."})
    language: str | None = field(default=None, metadata={"help": "Language of all rows, if nothing else says it."})
    configuration: str | None = field(default=None, metadata={"help": "Of a Hub dataset with several."})
    columns: list[str] = field(default_factory=list, metadata={"help": "Our name=the source's, several."})
    on_bad_row: str = field(default="error", metadata={"help": "error, or skip: leave out and count."})
    max_length: int = field(default=512, metadata={"help": "Tokens in a window; 8192: whole documents."})
    stride: int = field(default=128, metadata={"help": "Tokens that neighbouring windows share."})
    unanswerable: bool = field(default=False, metadata={"help": '"No answer" is an answer; dev sets its threshold.'})
    longest: int = field(default=40, metadata={"help": "Tokens in an answer, at the most."})
    n_best: int = field(default=5, metadata={"help": "Answers written for each question."})
    rows_a_language: int | None = field(default=None, metadata={"help": "Judge at most so many rows of a language."})
    score: str | None = field(default=None, metadata={"help": "Score of the table: f1 or exact."})


def main() -> None:
    """Read, train, judge, write."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(ScriptOptions, sys.argv[1:])
    rows = read_all(options)
    results = fine_tune_answerer(
        options.model,
        rows,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        output_dir=output,
        options=training,
        seeds=seeds,
        passages=PassageOptions(
            max_length=options.max_length,
            stride=options.stride,
            unanswerable=options.unanswerable,
            longest=options.longest,
            n_best=options.n_best,
            on_bad_row=options.on_bad_row,
        ),
        facts={"data": {name: str(getattr(options, name) or options.data) for name in rows}},
    )
    if PartialState().is_main_process and "test" in rows:
        write_tables(options.score, [result.record for result in results], output)
    PartialState().destroy_process_group()


def read_all(options: ScriptOptions) -> dict[str, datasets.Dataset]:
    """Read the rows of the three roles; those of dev and test that nobody named are left out."""
    columns = dict(pair.split("=", 1) for pair in options.columns if "=" in pair)
    if len(columns) < len(options.columns):
        raise ValueError(f"--columns {' '.join(options.columns)}: write name=column, such as context=passage.")
    found = {}
    languages = {
        "train": options.train_languages,
        "dev": options.dev_languages or options.train_languages,
        "test": options.test_languages,
    }
    for role, wanted in languages.items():
        source, split = getattr(options, role) or options.data, getattr(options, f"{role}_split")
        if source is None or split == "none":
            continue
        found[role] = read_labelled(
            source,
            split=split,
            languages=tags(wanted),
            require=("question", "context"),
            language=options.language,
            columns=columns,
            on_bad_row=options.on_bad_row,
            configuration=options.configuration,
        )
    if "train" not in found:
        raise ValueError("there is nothing to train on: give --data or --train.")
    if options.rows_a_language and "test" in found:
        found["test"] = sample_rows(found["test"], options.rows_a_language)
    return found


def tags(listed: list[str] | None) -> list[str] | None:
    """Split lists at blanks or commas."""
    return None if listed is None else [tag for part in listed for tag in part.split(",") if tag]


def write_tables(score: str | None, records: list[dict[str, Any]], output: Path) -> None:
    """Print the groups of languages; write every language as markdown, JSON and a picture."""
    table = language_table(records, score=score)
    print(table_lines(table, every_language=len(table["languages"]) <= 40))
    (output / "table.md").write_text(table_lines(table) + "\n", encoding="utf-8")
    (output / "table.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if find_spec("matplotlib"):  # pip install "mmbert[plots]"
        draw_language_scores(table, output / "table.png")
    print(f"networks, predictions, table.md, table.json and table.png in {output}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

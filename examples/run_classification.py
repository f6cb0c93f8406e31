"""Fine-tune a classifier of texts or pairs of texts, judge it in every language, with several seeds.

    accelerate launch examples/run_classification.py --model CHECKPOINT --data FILE_OR_HUB_ID --train_languages eng_Latn
        --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `text` (and `text_pair`) and one of `label`, `labels` (several at once) or `score` (a number); other names are
mapped: --columns text=review label=stars. --train, --dev and --test name three sources where --data does not hold all.
Every field of transformers' TrainingArguments is an option too. Writes the networks, their predictions, table.md,
table.json, table.png.
"""

import logging
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec

import datasets
from accelerate import PartialState
from mmbert.data import LabelledSources
from mmbert.evaluation import TextOptions, fine_tune_classifier, write_language_table
from mmbert.model_cards import draw_language_scores
from mmbert.trainers import parse_fine_tuning
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int | None = field(default=None, metadata={"help": "Most tokens of a text; all, up to 8,192."})
    windows: bool = field(default=False, metadata={"help": "Read longer texts in overlapping windows."})
    overlap: int = field(default=64, metadata={"help": "Tokens that neighbouring windows share."})
    table_score: str | None = field(default=None, metadata={"help": "Score of the table; the task's main one."})


def main() -> None:
    """Read, train, judge, write."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(ScriptOptions, sys.argv[1:])
    options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=("text", "text_pair?", ("label", "labels", "score")))
    reading = TextOptions(
        max_length=options.max_length, windows=options.windows, overlap=options.overlap, on_bad_row=options.on_bad_row
    )
    results = fine_tune_classifier(
        options.model,
        rows,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        output_dir=output,
        options=training,
        seeds=seeds,
        texts=reading,
        facts={"data": options.where()},
    )
    if PartialState().is_main_process and "test" in rows:
        table = write_language_table(
            [result.record for result in results],
            output,
            score=options.table_score,
            pretrained_on=options.pretrained_on(),
            draw=draw_language_scores if find_spec("matplotlib") else None,  # pip install "mmbert[plots]"
        )
        print(f"{table}\nnetworks, predictions and tables are in {output}")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")

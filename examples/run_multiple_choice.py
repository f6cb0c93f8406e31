"""Fine-tune a network that chooses among answers or continuations, judge it in every language, with several seeds.

    accelerate launch examples/run_multiple_choice.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `choices` (a list, or columns such as choice1 and choice2), `label` (the right one: a number, a letter or the
choice itself) and what comes before: `context`, `text` or `question`. Other names are mapped: --columns label=answer
choices=first,second. --train, --dev and --test name three sources where --data does not hold all. A network that chose
before keeps its head.
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
from mmbert.evaluation import ChoiceOptions, fine_tune_chooser, write_language_table
from mmbert.model_cards import draw_language_scores
from mmbert.trainers import parse_fine_tuning
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int | None = field(default=None, metadata={"help": "Most tokens of a row and a choice; 8,192."})


def main() -> None:
    """Read, train, judge, write."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(ScriptOptions, sys.argv[1:])
    options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=("choices", "label"))
    results = fine_tune_chooser(
        options.model,
        rows,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        output_dir=output,
        options=training,
        seeds=seeds,
        choices=ChoiceOptions(max_length=options.max_length),
        facts={"data": options.where()},
    )
    if PartialState().is_main_process and "test" in rows:
        table = write_language_table(
            [result.record for result in results],
            output,
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

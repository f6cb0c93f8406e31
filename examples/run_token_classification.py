"""Fine-tune a tagger of words (names, parts of speech), judge it in every language, with several seeds.

    accelerate launch examples/run_token_classification.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `tokens` and `tags`, and `text` where it is known (CoNLL-U has it); other names are mapped: --columns
tags=ner_tags. --train, --dev and --test name three sources where --data does not hold all. Sentences longer than
--max_length are read in windows; --max_length 8192 reads documents whole. Every field of transformers'
TrainingArguments is an option too. Writes the networks, their predictions on words and on characters, table.md,
table.json, table.png.
"""

import logging
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec

import datasets
from accelerate import PartialState
from mmbert.data import LabelledSources
from mmbert.evaluation import TagOptions, fine_tune_tagger, write_language_table
from mmbert.model_cards import draw_language_scores
from mmbert.trainers import parse_fine_tuning
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int = field(default=512, metadata={"help": "Tokens in a window, up to 8,192."})
    stride: int = field(default=128, metadata={"help": "Tokens that neighbouring windows share."})
    joiner: str | None = field(default=None, metadata={"help": "Between words without a text; as the language writes."})
    score: str | None = field(default=None, metadata={"help": "Score of the table; f1 of spans, accuracy of words."})


def main() -> None:
    """Read, train, judge, write."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(ScriptOptions, sys.argv[1:])
    options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=("tokens", "tags"))
    results = fine_tune_tagger(
        options.model,
        rows,
        tokenizer=AutoTokenizer.from_pretrained(options.model),
        output_dir=output,
        options=training,
        seeds=seeds,
        words=TagOptions(
            max_length=options.max_length,
            stride=options.stride,
            joiner=options.joiner,
            on_bad_row=options.on_bad_row,
        ),
        facts={"data": options.where()},
    )
    if PartialState().is_main_process and "test" in rows:
        table = write_language_table(
            [result.record for result in results],
            output,
            score=options.score,
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

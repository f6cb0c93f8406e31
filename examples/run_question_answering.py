"""Fine-tune a network that finds answers in a passage, judge it in every language, with several seeds.

    accelerate launch examples/run_question_answering.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora] [--unanswerable]

Rows have `question`, `context` and `answers` (SQuAD's shape, or texts with a column answer_start); other names are
mapped: --columns context=passage. --train, --dev and --test name three sources where --data does not hold all:
zero-shot is a --test in languages that --train lacks. Passages longer than --max_length are read in windows;
--max_length 8192 reads documents whole. Every field of transformers' TrainingArguments is an option too. Writes the
networks, SQuAD's prediction files, table.md, table.json, table.png.
"""

import logging
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec

import datasets
from accelerate import PartialState
from mmbert.data import LabelledSources
from mmbert.evaluation import PassageOptions, fine_tune_answerer, write_language_table
from mmbert.model_cards import draw_language_scores
from mmbert.trainers import parse_fine_tuning
from transformers import AutoTokenizer
from transformers.utils import logging as transformers_logging


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int = field(default=512, metadata={"help": "Tokens in a window; 8192: whole documents."})
    stride: int = field(default=128, metadata={"help": "Tokens of the passage that neighbouring windows share."})
    unanswerable: bool = field(default=False, metadata={"help": '"No answer" is an answer; dev sets its threshold.'})
    longest: int = field(default=40, metadata={"help": "Tokens in an answer, at the most."})
    n_best: int = field(default=5, metadata={"help": "Answers written for each question."})
    score: str | None = field(default=None, metadata={"help": "Score of the table: f1 or exact."})


def main() -> None:
    """Read, train, judge, write."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s  %(message)s", datefmt="%H:%M:%S")
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    options, training, seeds, output = parse_fine_tuning(ScriptOptions, sys.argv[1:])
    options.pretrained_on()  # a wrong path is told now, not after the training
    rows = options.read(require=("question", "context"))
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

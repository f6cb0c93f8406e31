"""Fine-tune a network that finds answers in a passage, judge it in every language, with several seeds.

    accelerate launch examples/run_question_answering.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora] [--unanswerable]

Rows have `question`, `context` and `answers` (SQuAD's shape, or texts with a column answer_start); other names are
mapped: --columns context=passage. --train, --dev and --test name three sources where --data does not hold all:
zero-shot is a --test in languages that --train lacks. Passages longer than --max_length are read in windows;
--max_length 8192 reads documents whole. Every field of transformers' TrainingArguments is an option too. Writes the
networks, SQuAD's prediction files, table.md, table.json, table.png.
Stopped, the same command goes on; with --save_steps also in the middle of a seed.
"""

from dataclasses import dataclass, field
from typing import Any

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import LabelledSources, PassageOptions, fine_tune_answerer, run_fine_tuning
from mmbert.trainers import FineTuned


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int = field(default=512, metadata={"help": "Tokens in a window; 8192: whole documents."})
    stride: int = field(default=128, metadata={"help": "Tokens of the passage that neighbouring windows share."})
    unanswerable: bool = field(default=False, metadata={"help": '"No answer" is an answer; dev sets its threshold.'})
    longest: int = field(default=40, metadata={"help": "Tokens in an answer, at the most."})
    n_best: int = field(default=5, metadata={"help": "Answers written for each question."})
    score: str | None = field(default=None, metadata={"help": "Score of the table: f1 or exact."})


def train(own: ScriptOptions, rows: Any, **given: Any) -> list[FineTuned]:
    """Train with the script's own options.

    Args:
        own: The options.
        rows: By part.
        **given: What every task takes.

    Returns:
        A result a seed.
    """
    reading = PassageOptions(
        max_length=own.max_length,
        stride=own.stride,
        unanswerable=own.unanswerable,
        longest=own.longest,
        n_best=own.n_best,
        on_bad_row=own.on_bad_row,
    )
    return fine_tune_answerer(own.model, rows, passages=reading, **given)


if __name__ == "__main__":
    columns = ("question", "context")
    run_fine_tuning(ScriptOptions, train, require=columns, score="score", draw=draw_language_scores, tell=print)

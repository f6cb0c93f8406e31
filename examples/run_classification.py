"""Fine-tune a classifier of texts or pairs of texts, judge it in every language, with several seeds.

    accelerate launch examples/run_classification.py --model CHECKPOINT --data FILE_OR_HUB_ID --train_languages eng_Latn
        --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `text` (and `text_pair`) and one of `label`, `labels` (several at once) or `score` (a number); other names are
mapped: --columns text=review label=stars. --train, --dev and --test name three sources where --data does not hold all.
Every field of transformers' TrainingArguments is an option too. Writes the networks, their predictions, table.md,
table.json, table.png. Stopped, the same command goes on; with --save_steps also in
the middle of a seed.
"""

from dataclasses import dataclass, field
from typing import Any

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import LabelledSources, TextOptions, fine_tune_classifier, run_fine_tuning
from mmbert.trainers import FineTuned


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int | None = field(default=None, metadata={"help": "Most tokens of a text; all, up to 8,192."})
    windows: bool = field(default=False, metadata={"help": "Read longer texts in overlapping windows."})
    overlap: int = field(default=64, metadata={"help": "Tokens that neighbouring windows share."})
    table_score: str | None = field(default=None, metadata={"help": "Score of the table; the task's main one."})


def train(own: ScriptOptions, rows: Any, **given: Any) -> list[FineTuned]:
    """Train with the script's own options.

    Args:
        own: The options.
        rows: By part.
        **given: What every task takes.

    Returns:
        A result a seed.
    """
    reading = TextOptions(
        max_length=own.max_length, windows=own.windows, overlap=own.overlap, on_bad_row=own.on_bad_row
    )
    return fine_tune_classifier(own.model, rows, texts=reading, **given)


if __name__ == "__main__":
    run_fine_tuning(
        ScriptOptions,
        train,
        require=("text", "text_pair?", ("label", "labels", "score")),
        score="table_score",
        draw=draw_language_scores,
        tell=print,
    )

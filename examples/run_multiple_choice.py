"""Fine-tune a network that chooses among answers or continuations, judge it in every language, with several seeds.

    accelerate launch examples/run_multiple_choice.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `choices` (a list, or columns such as choice1 and choice2), `label` (the right one: a number, a letter or the
choice itself) and what comes before: `context`, `text` or `question`. Other names are mapped: --columns label=answer
choices=first,second. --train, --dev and --test name three sources where --data does not hold all. A network that chose
before keeps its head.
Every field of transformers' TrainingArguments is an option too. Writes the networks, their predictions, table.md,
table.json, table.png. Stopped, the same command goes on; with --save_steps also in
the middle of a seed.
"""

from dataclasses import dataclass, field
from typing import Any

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import ChoiceOptions, LabelledSources, fine_tune_chooser, run_fine_tuning
from mmbert.trainers import FineTuned


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int | None = field(default=None, metadata={"help": "Most tokens of a row and a choice; 8,192."})


def train(own: ScriptOptions, rows: Any, **given: Any) -> list[FineTuned]:
    """Train with the script's own options.

    Args:
        own: The options.
        rows: By part.
        **given: What every task takes.

    Returns:
        A result a seed.
    """
    reading = ChoiceOptions(max_length=own.max_length)
    return fine_tune_chooser(own.model, rows, choices=reading, **given)


if __name__ == "__main__":
    run_fine_tuning(ScriptOptions, train, require=("choices", "label"), draw=draw_language_scores, tell=print)

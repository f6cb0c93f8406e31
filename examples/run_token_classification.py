"""Fine-tune a tagger of words (names, parts of speech), judge it in every language, with several seeds.

    accelerate launch examples/run_token_classification.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `tokens` and `tags`, and `text` where it is known (CoNLL-U has it); other names are mapped: --columns
tags=ner_tags. --train, --dev and --test name three sources where --data does not hold all. Sentences longer than
--max_length are read in windows; --max_length 8192 reads documents whole. Every field of transformers'
TrainingArguments is an option too. Writes the networks, their predictions on words and on characters, table.md,
table.json, table.png. Stopped, the same command goes on; with --save_steps also in
the middle of a seed.
"""

from dataclasses import dataclass, field
from typing import Any

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import LabelledSources, TagOptions, fine_tune_tagger, run_fine_tuning
from mmbert.trainers import FineTuned


@dataclass
class ScriptOptions(LabelledSources):
    """Options of this script."""

    max_length: int = field(default=512, metadata={"help": "Tokens in a window, up to 8,192."})
    stride: int = field(default=128, metadata={"help": "Tokens that neighbouring windows share."})
    joiner: str | None = field(default=None, metadata={"help": "Between words without a text; as the language writes."})
    score: str | None = field(default=None, metadata={"help": "Score of the table; f1 of spans, accuracy of words."})


def train(own: ScriptOptions, rows: Any, **given: Any) -> list[FineTuned]:
    """Train with the script's own options.

    Args:
        own: The options.
        rows: By part.
        **given: What every task takes.

    Returns:
        A result a seed.
    """
    reading = TagOptions(max_length=own.max_length, stride=own.stride, joiner=own.joiner, on_bad_row=own.on_bad_row)
    return fine_tune_tagger(own.model, rows, words=reading, **given)


if __name__ == "__main__":
    columns = ("tokens", "tags")
    run_fine_tuning(ScriptOptions, train, require=columns, score="score", draw=draw_language_scores, tell=print)

"""Fine-tune a classifier of texts or pairs of texts with several seeds, and score it in every language.

    accelerate launch examples/run_classification.py --model CHECKPOINT --data FILE_OR_HUB_ID --train_languages eng_Latn
        --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `text` (and `text_pair`) and one of `label`, `labels` (several at once) or `score` (a number); other names are
mapped: --columns text=review label=stars.
--train, --dev and --test name three sources where --data does not hold all. Every field of transformers'
TrainingArguments is an option too. Writes the networks, their predictions, table.md, table.json, table.png. Stopped,
the same command goes on; with --save_steps also in the middle of a seed.
"""

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import run_fine_tuning

if __name__ == "__main__":
    run_fine_tuning("classification", draw=draw_language_scores, tell=print)

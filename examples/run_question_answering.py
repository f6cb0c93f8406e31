"""Fine-tune a network that finds answers in a passage with several seeds, and score it in every language.

    accelerate launch examples/run_question_answering.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora] [--unanswerable]

Rows have `question`, `context` and `answers` (SQuAD's shape, or texts with a column answer_start); other names are
mapped: --columns context=passage. Passages longer than --max_length are read in windows; --max_length 8192 reads
documents whole.
--train, --dev and --test name three sources where --data does not hold all. Every field of transformers'
TrainingArguments is an option too. Writes the networks, their predictions, table.md, table.json, table.png. Stopped,
the same command goes on; with --save_steps also in the middle of a seed.
"""

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import run_fine_tuning

if __name__ == "__main__":
    run_fine_tuning("qa", draw=draw_language_scores, tell=print)

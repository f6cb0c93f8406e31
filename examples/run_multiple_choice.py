"""Fine-tune a network that chooses among answers or continuations with several seeds, and score it in every language.

    accelerate launch examples/run_multiple_choice.py --model CHECKPOINT --data FILE_OR_HUB_ID
        --train_languages eng_Latn --output_dir run --num_train_epochs 5 --learning_rate 3e-4 [--lora]

Rows have `choices` (a list, or columns such as choice1 and choice2), `label` (the right one: a number, a letter or the
choice itself) and what comes before: `context`, `text` or `question`. Other names are mapped: --columns label=answer
choices=first,second. A network that chose before keeps its head.
--train, --dev and --test name three sources where --data does not hold all. Every field of transformers'
TrainingArguments is an option too. Writes the networks, their predictions, table.md, table.json, table.png. Stopped,
the same command goes on; with --save_steps also in the middle of a seed.
"""

from mmbert.model_cards import draw_language_scores
from mmbert.tasks import run_fine_tuning

if __name__ == "__main__":
    run_fine_tuning("choice", draw=draw_language_scores, tell=print)

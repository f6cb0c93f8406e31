#!/usr/bin/env bash
# transformers 5.23.0 (accelerate 1.15.0, torch 2.13.0), 2026-12-01: a masked-LM run resumed from a checkpoint sees the
# right rows under the wrong masks. With DataCollatorForLanguageModeling(seed=...) they are the masks of the run's first
# steps again; without a seed they are not those of the uninterrupted run either.
#
# The collator's generator is no part of a checkpoint and begins anew. Without one, the collator draws from torch's global
# state, which the Trainer restores; but the loader collates a batch ahead of the step, at the save and after it.
#
# Why a good guess goes wrong: rng_state.pth is saved "for reproducibility", the order of rows is restored exactly, two
# whole runs agree to the bit, and the collator's seed was added to make masking reproducible. Nothing is warned.
# Whom it hurts: who compares runs of which one was interrupted, and who resumes often within an epoch (spot machines):
# every piece of the run masks by the same draws.
#
# Seen:  seed=7:    rows as without a break: True; masks as without a break: False; masks of steps 1 to 4 again: True
#        seed=None: rows as without a break: True; masks as without a break: False; masks of steps 1 to 4 again: False
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON' | grep -v train_runtime
import sys
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForMaskedLM, DataCollatorForLanguageModeling, PreTrainedTokenizerFast
from transformers import Trainer, TrainingArguments

words = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
vocabulary = {word: number for number, word in enumerate([*words.values(), *"abcdefghijklmnopqrstuvwxyz"])}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, "[UNK]")), **words)
rows = [{"input_ids": torch.randint(3, 29, (20,)).tolist()} for _ in range(40)]
shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def batches(seed, checkpoint=None):
    seen = []

    class Collator(DataCollatorForLanguageModeling):
        def __call__(self, features, return_tensors=None):
            batch = super().__call__(features, return_tensors)
            seen.append(([row["input_ids"] for row in features], (batch["labels"] != -100).tolist()))
            return batch

    arguments = TrainingArguments(f"out{seed}", max_steps=8, per_device_train_batch_size=4, save_steps=4, use_cpu=True)
    model = BertForMaskedLM(BertConfig(vocab_size=29, **shape))
    Trainer(model, arguments, train_dataset=rows, data_collator=Collator(tokenizer, seed=seed)).train(checkpoint)
    return [list(part) for part in zip(*seen)]


found = []
for seed in (7, None):
    (order, masks), (after_order, after_masks) = batches(seed), batches(seed, f"out{seed}/checkpoint-4")
    same, exact, again = order[4:8] == after_order[:4], masks[4:8] == after_masks[:4], masks[:4] == after_masks[:4]
    print(f"seed={seed}: rows as without a break: {same}; masks as without a break: {exact};", end=" ")
    print(f"masks of steps 1 to 4 again: {again}", flush=True)
    found.append((same, exact, again))
sys.exit(found != [(True, False, True), (True, False, False)])
PYTHON

#!/usr/bin/env bash
# sentence-transformers 6.2.0 (transformers 5.23.0, torch 2.13.0), 2026-12-01: with BatchSamplers.NO_DUPLICATES and
# a text that stands in many rows, some rows are never trained on, though the run reports all its epochs.
#
# The sampler's length is rows / batch size. Rows that share a text cannot share a batch, so the sampler needs more and
# smaller batches at the end of an epoch; the Trainer asks for as many as the length says and starts the next epoch.
# What is cut off is always rows of the frequent texts: several answers to a question, one premise with many hypotheses.
#
# Why a good guess goes wrong: the sampler warns when it has too FEW batches, none are lost when the DataLoader is read
# by a loop, drop_last is off, and epochs, steps and the samples per second of the report are those of all rows.
# Whom it hurts: who trains embedders on pairs with several positives, for which this sampler is advised.
#
# Seen (100 rows, 40 of one question, batches of 10, 3 epochs):
#   steps 30, epochs 3.0, batches of the DataLoader: 10 promised, 40 given
#   rows trained on: 210 of 300; of the frequent question's 40 rows: 30 of 120, never: 16
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 datasets==5.2.0 sentence-transformers==6.2.0
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys
from collections import Counter

import numpy as np
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

words = ["[UNK]", *(f"a{number}" for number in range(100)), *(f"q{number}" for number in range(100))]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
table = np.random.default_rng(0).normal(size=(len(words), 8)).astype(np.float32)
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, table)], device="cpu")
trained = Counter()


class Counted(MultipleNegativesRankingLoss):
    def forward(self, features, labels=None):
        trained.update(features[1]["input_ids"].tolist())
        return super().forward(features, labels)


rows = [{"question": f"q{max(0, number - 39)}", "answer": f"a{number}"} for number in range(100)]
options = {"num_train_epochs": 3, "per_device_train_batch_size": 10, "batch_sampler": "no_duplicates"}
arguments = SentenceTransformerTrainingArguments("out", save_strategy="no", use_cpu=True, **options)
trainer = SentenceTransformerTrainer(model, arguments, train_dataset=Dataset.from_list(rows), loss=Counted(model))
trainer.train()
batches = trainer.get_train_dataloader()
promised, given, state = len(batches), sum(1 for _ in batches), trainer.state
print(f"steps {state.global_step}, epochs {state.epoch}, batches of the DataLoader: {promised} promised, {given} given")
often = [trained[1 + number] for number in range(40)]
print(f"rows trained on: {trained.total()} of 300; of the frequent question's 40 rows:", end=" ")
print(f"{sum(often)} of 120, never: {often.count(0)}")
sys.exit(not (state.epoch == 3 and promised == 10 and given == 40 and trained.total() == 210 and sum(often) == 30))
PYTHON

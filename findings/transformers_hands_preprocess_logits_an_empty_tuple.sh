#!/usr/bin/env bash
# transformers 5.23.0 (accelerate 1.15.0, torch 2.13.0), 2026-11-30: a model whose evaluation returns a loss and no
# logits makes Trainer.evaluate call preprocess_logits_for_metrics with `()`, and compute_metrics with predictions `()`.
#
# Why a good guess goes wrong: None, or a line that there is nothing to compute metrics from, would be expected. Instead
# the user's own function fails ('tuple' object has no attribute 'argmax'), or a metric is computed from nothing.
# Whom it hurts: masked LMs of large vocabularies, which leave the logits out to save memory, and distillation models.
#
# Seen: the hook got: () ; compute_metrics got: ()
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import torch
from transformers import Trainer, TrainingArguments
from transformers.modeling_outputs import MaskedLMOutput

seen = {}


class Lean(torch.nn.Linear):
    def forward(self, x, labels):
        return MaskedLMOutput(loss=(super().forward(x) - labels).square().mean())


def hook(logits, labels):
    seen["hook"] = logits
    return logits


def metrics(found):
    seen["metrics"] = found.predictions
    return {"rows": len(found.label_ids)}


rows = [{"x": torch.ones(2), "labels": torch.zeros(1)}] * 4
arguments = TrainingArguments("out", use_cpu=True, report_to=[])
trainer = Trainer(
    Lean(2, 1), arguments, eval_dataset=rows, compute_metrics=metrics, preprocess_logits_for_metrics=hook
)
trainer.evaluate()
print("the hook got:", seen["hook"], "; compute_metrics got:", seen["metrics"])
sys.exit(not (seen["hook"] == () and len(seen["metrics"]) == 0))
PYTHON

#!/usr/bin/env bash
# transformers 5.23.0 (accelerate 1.15.0, torch 2.13.0), 2026-11-30: what a user's callback adds to `logs` in on_log
# is shown on the console, and reaches neither the service named by report_to nor trainer_state.json.
#
# Trainer calls callbacks in the order default, reporting, user, printer, all with the same dict: the reporting callback
# has sent it, and log_history has taken a copy, before a user's callback adds masking ratio, phase or tokens per second.
#
# Why a good guess goes wrong: the printer comes last and shows the entry in every line, so it looks logged; nothing
# warns. callback_handler.callbacks can be re-ordered after construction, and state.log_history[-1] amended.
# Whom it hurts: pre-training code whose schedules are logged by callbacks.
#
# Seen:  the service got:   ['epoch', 'grad_norm', 'learning_rate', 'loss']
#        state.log_history: ['epoch', 'grad_norm', 'learning_rate', 'loss', 'step']
#        the printer's callback comes after: True
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 accelerate==1.15.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.integrations import integration_utils

sent = []


class Service(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **rest):
        sent.append(sorted(logs))


class Ratio(TrainerCallback):
    def on_log(self, args, state, control, logs=None, **rest):
        logs["masking_ratio"] = 0.3


class Line(torch.nn.Linear):
    def forward(self, x, labels):
        return {"loss": (super().forward(x) - labels).square().mean()}


integration_utils.INTEGRATION_TO_CALLBACK["service"] = Service
rows = [{"x": torch.ones(2), "labels": torch.zeros(1)}] * 4
args = TrainingArguments("out", max_steps=1, logging_steps=1, report_to=["service"], use_cpu=True, save_strategy="no")
trainer = Trainer(Line(2, 1), args, train_dataset=rows, callbacks=[Ratio()])
trainer.train()
kept = sorted(trainer.state.log_history[0])
print("the service got:  ", sent[0])
print("state.log_history:", kept)
order = [type(one).__name__ for one in trainer.callback_handler.callbacks]
shown = order.index("Service") < order.index("Ratio") < max(map(order.index, {"PrinterCallback", "ProgressCallback"} & {*order}))
print("the printer's callback comes after:", shown)
sys.exit(not ("masking_ratio" not in {*sent[0], *kept} and "loss" in sent[0] and shown))
PYTHON

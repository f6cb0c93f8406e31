#!/usr/bin/env bash
# peft 0.21.2 (transformers 5.23.0, torch 2.13.0), 2026-11-30: a LoRA adapter trained on a masked LM and loaded on the
# bare encoder of the same checkpoint is left out whole. merge_and_unload() then returns the untouched base.
#
# The adapter's keys carry the prefix of the class it was trained on (`base_model.model.model.layers...`); the bare
# encoder has none, so no tensor finds its place. transformers' own from_pretrained strips or adds that prefix.
#
# Why a good guess goes wrong: the same weights load across both classes without an adapter, so with one they should
# too, or it should be an error. It is a UserWarning among others, and vectors come out as if nothing had been trained.
# Whom it hurts: who continues an encoder by LoRA on masked words and then makes an embedder of it.
#
# Seen: warned: True; change by the adapter on the masked LM: True; on the bare encoder: 0.0
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertModel

torch.manual_seed(0)
small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
config = ModernBertConfig(vocab_size=50, pad_token_id=0, **small)
ModernBertForMaskedLM(config).save_pretrained("base")
learner = get_peft_model(ModernBertForMaskedLM.from_pretrained("base"), LoraConfig(r=4, target_modules=["Wqkv"]))
for name, weight in learner.named_parameters():
    if "lora_B" in name:  # as training would: zeros until then
        torch.nn.init.normal_(weight)
learner.save_pretrained("adapter")
ids = torch.arange(5, 25)[None]


def change(kind):
    """How far the merged adapter moves the output of a class."""
    with torch.no_grad():
        before = kind.from_pretrained("base").eval()(ids)[0]
        merged = PeftModel.from_pretrained(kind.from_pretrained("base"), "adapter").merge_and_unload().eval()
        return (merged(ids)[0] - before).abs().max().item()


trained = change(ModernBertForMaskedLM)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    bare = change(ModernBertModel)
warned = any("missing adapter keys" in str(one.message) for one in told)
print(f"warned: {warned}; change by the adapter on the masked LM: {trained > 0.001}; on the bare encoder: {bare}")
sys.exit(not (warned and trained > 0.001 and bare == 0))
PYTHON

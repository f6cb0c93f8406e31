#!/usr/bin/env bash
# peft 0.21.2 (transformers 5.23.0, torch 2.13.0), 2026-12-01: add_weighted_adapter(["a", "a"], [0.5, 0.5], ...) with
# "linear" gives twice the change of "a"; the "average" of two different LoRA adapters is far from their average.
#
# The factors are combined, not the changes: A = sum sqrt(w) A_i and B = sum sqrt(w) B_i, so that B A holds the products
# of one adapter's B with the other's A as well. dare_linear, magnitude_prune, ties and dare_ties work on factors too.
# "cat" is exact at a higher rank; "svd" averages the changes and cuts the rank.
#
# Why a good guess goes wrong: "linear" names a weighted sum, with one adapter and any weight it is one, and A and B of
# the same start have small cross products at first. In merges of languages or seeds the strength then looks mistuned.
# Whom it hurts: who averages adapters of languages, tasks or seeds, and who reads TIES or DARE of adapters off this.
#
# Seen:  linear       a with a: 2.00 times the change of a; a with b: off the average by 0.96 of its length
#        dare_linear  a with a: 2.00 times the change of a; a with b: off the average by 0.96 of its length
#        cat          a with a: 1.00 times the change of a; a with b: off the average by 0.00 of its length
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertModel

torch.manual_seed(0)
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
lora = LoraConfig(r=4, lora_alpha=8, target_modules=["query"])
model = get_peft_model(BertModel(BertConfig(vocab_size=50, **shape)), lora, adapter_name="a")
model.add_adapter("b", lora)
for name, weight in model.named_parameters():
    if "lora_B" in name:  # as training would: zeros until then
        torch.nn.init.normal_(weight)
query = next(module for name, module in model.named_modules() if name.endswith("query"))
a, b = query.get_delta_weight("a"), query.get_delta_weight("b")
average, seen = (a + b) / 2, {}
for kind in ("linear", "dare_linear", "cat"):
    options = {"combination_type": kind, **({"density": 1.0} if kind == "dare_linear" else {})}
    model.add_weighted_adapter(["a", "a"], [0.5, 0.5], f"aa_{kind}", **options)
    model.add_weighted_adapter(["a", "b"], [0.5, 0.5], f"ab_{kind}", **options)
    times = (query.get_delta_weight(f"aa_{kind}").norm() / a.norm()).item()
    off = ((query.get_delta_weight(f"ab_{kind}") - average).norm() / average.norm()).item()
    print(f"{kind:12} a with a: {times:.2f} times the change of a;", end=" ")
    print(f"a with b: off the average by {off:.2f} of its length")
    seen[kind] = round(times, 2), off > 0.5
sys.exit(seen != {"linear": (2.0, True), "dare_linear": (2.0, True), "cat": (1.0, False)})
PYTHON

#!/usr/bin/env bash
# transformers 4.57.6 (torch 2.13.0), 2026-12-01: the last entry of ModernBERT's `hidden_states` lacks the final norm that
# `last_hidden_state` has. In transformers 5.23.0 both are the same.
#
# Why a good guess goes wrong: BERT, RoBERTa and XLM-R have no norm after their last layer, so `hidden_states[-1]` and
# `last_hidden_state` are the same there, and libraries read either. Nothing warns: the shapes agree and, while the norm
# has the weights of a new one, so do the vectors almost (cosine 0.997 to 0.9999 after mean pooling).
# Whom it hurts: who embeds with Flair (0.15.1, `layers="-1"`), which reads `hidden_states[-1]` and runs with
# transformers 4 only: its vectors are not those of sentence-transformers for the same folder.
#
# Seen: transformers 4.57.6: hidden_states[-1] is last_hidden_state: False; after the final norm: True
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==4.57.6
env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import torch
import transformers

torch.manual_seed(0)
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
config = transformers.ModernBertConfig(vocab_size=100, pad_token_id=0, attn_implementation="sdpa", **shape)
model = transformers.ModernBertModel(config).eval()
with torch.no_grad():
    out = model(input_ids=torch.arange(5, 25)[None], output_hidden_states=True)
    last = out.hidden_states[-1]
    same, normed = (torch.allclose(one, out.last_hidden_state, atol=1e-6) for one in (last, model.final_norm(last)))
print(f"transformers {transformers.__version__}: ", end="")
print(f"hidden_states[-1] is last_hidden_state: {same}; after the final norm: {normed}")
sys.exit(same or not normed)
PYTHON

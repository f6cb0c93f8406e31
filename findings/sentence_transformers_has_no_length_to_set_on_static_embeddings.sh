#!/usr/bin/env bash
# sentence-transformers 6.2.0 (transformers 5.23.0, torch 2.13.0), 2026-11-30: `model.max_seq_length = 64`, which every
# other SentenceTransformer takes, raises AttributeError on a model made of StaticEmbedding; reading it gives infinity.
#
# Why a good guess goes wrong: max_seq_length is a property of SentenceTransformer with a setter, and loaders and
# benchmarks set it before they encode. Here the setter passes the value on to a module whose property has none.
# Whom it hurts: code that takes any embedder by name and cuts texts at one length; static models are the fast baseline.
#
# Seen: reads: inf; setting raises AttributeError: property 'max_seq_length' of 'StaticEmbedding' object has no setter
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 sentence-transformers==6.2.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, pre_tokenizers

tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "good": 1, "morning": 2}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, np.eye(3, 4, dtype=np.float32))], device="cpu")
assert model.encode("good morning").shape == (4,)
read, error = model.max_seq_length, ""
try:
    model.max_seq_length = 64
except AttributeError as raised:
    error = str(raised)
print(f"reads: {read}; setting raises AttributeError: {error}")
sys.exit(not (read == float("inf") and "no setter" in error))
PYTHON

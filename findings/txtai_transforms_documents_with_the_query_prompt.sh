#!/usr/bin/env bash
# txtai 9.14.0 (sentence-transformers 6.2.0, torch 2.13.0), 2026-11-30: `Embeddings.batchtransform(texts)` puts the
# model's saved prompt named "query" before every text; index() encodes the same texts with the one for documents.
#
# Why a good guess goes wrong: transform() and batchtransform() are documented as the way to get the vectors of texts.
# Their category is "query" unless "data" is given, which shows only with a model that has prompts saved with it.
# Whom it hurts: who compares or stores these vectors beside those of an index, or of the model itself.
#
# Seen: cosine with the model's own vectors: plain call below 0.99: True; with "data": 1.0000
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.23.0 sentence-transformers==6.2.0 txtai==9.14.0 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from txtai import Embeddings

torch.manual_seed(0)
words = ["[PAD]", "[UNK]", "look", "for", "good", "morning", "new", "bread"]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained("bert")
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
BertModel(BertConfig(vocab_size=len(words), initializer_range=1.0, **shape)).save_pretrained("bert")
module = Transformer("bert")
model = SentenceTransformer(modules=[module, Pooling(32)], prompts={"query": "look for ", "document": ""}, device="cpu")
model.save("model")
texts = ["good morning", "new bread"]
expected = model.encode(texts, normalize_embeddings=True)
embeddings = Embeddings(path="model", method="sentence-transformers", gpu=False)
plain, data = embeddings.batchtransform(texts), embeddings.batchtransform(texts, "data")
near = (plain * expected).sum(1).min() > 0.99
print(f'cosine: plain call below 0.99: {not near}; with "data": {(data * expected).sum(1).min():.4f}')
sys.exit(not (not near and (data * expected).sum(1).min() > 0.9999))
PYTHON

#!/usr/bin/env bash
# model2vec 0.10.0 (tokenizers 0.23.3), 2026-12-01: encode(max_length=512) reads far fewer than 512 tokens of a text if
# the vocabulary holds many short tokens, as those with Chinese characters, bytes or letters of many scripts do.
#
# Before it tokenizes, encode cuts every text at max_length x (median length of the vocabulary's tokens) characters. The
# median is taken over the table, not over text: where more than half of the entries are single characters it is 1, and
# a text in a language of long words ends after 512 characters. Texts of short tokens are not touched.
#
# Why a good guess goes wrong: the option and its documentation speak of tokens, English models have a median of 5 to 7,
# for which the cut is harmless, and no warning is given. max_length=None reads everything.
# Whom it hurts: who distils multilingual encoders, or adds words or characters of a language to a static model.
#
# Seen:  median length of a token: 1; tokens of the text: 100, read with max_length=512: 29, with None: 100
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet model2vec==0.10.0 tokenizers==0.23.3 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - <<'PYTHON'
import sys

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer, models, pre_tokenizers

han = [chr(0x4E00 + number) for number in range(600)]
german = [f"Verwaltungswort{number}" for number in range(400)]
words = ["[PAD]", "[UNK]", *han, *german]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
model = StaticModel(np.eye(len(words), dtype=np.float32), tokenizer, normalize=False)  # a dimension for each token
text = " ".join(german[:100])
read, everything = (int((model.encode([text], max_length=length) > 0).sum()) for length in (512, None))
print(f"median length of a token: {model.median_token_length}; tokens of the text: 100,", end=" ")
print(f"read with max_length=512: {read}, with None: {everything}")
sys.exit(not (model.median_token_length == 1 and read == 29 and everything == 100))
PYTHON

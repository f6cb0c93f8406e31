#!/usr/bin/env bash
# sentence-transformers 5.3.0 (transformers 5.3.0, torch 2.13.0), 2026-12-01: encode() strips blanks and line ends around
# every text before it is tokenized. sentence-transformers 6.2.0 does not.
#
# Why a good guess goes wrong: no option says so, and most models of 2021 (BERT's tokenizer) do not see blanks at all.
# Tokenizers that keep them (Gemma's, Llama's, byte-level ones) do.
# Whom it hurts: who embeds code, whose first line is indented, or texts that end in a line end, with one version and
# searches with the other: the same folder gives other vectors for the same text.
#
# Seen: sentence-transformers 5.3.0: ids of "  go\n" are those of "go": True
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet torch==2.13.0 transformers==5.3.0 sentence-transformers==5.3.0
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import sentence_transformers
from sentence_transformers.models import Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

words = ["[PAD]", "[UNK]", " ", "\n", "go"]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, "[UNK]"))
tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(one, "isolated") for one in (" ", "\n")])
PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]").save_pretrained("bert")
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
BertModel(BertConfig(vocab_size=len(words), **shape)).save_pretrained("bert")
model = Transformer("bert")
assert model.tokenizer("  go\n")["input_ids"] == [2, 2, 4, 3]
stripped = model.tokenize(["  go\n"])["input_ids"].tolist() == [[4]]
print(f'sentence-transformers {sentence_transformers.__version__}: ids of "  go\\n" are those of "go": {stripped}')
sys.exit(not stripped)
PYTHON

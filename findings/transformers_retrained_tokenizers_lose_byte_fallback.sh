#!/usr/bin/env bash
# transformers 5.23.0 (tokenizers 0.23.3), 2026-12-01: train_new_from_iterator on a tokenizer with byte fallback (Gemma,
# Llama, mmBERT) gives one whose byte_fallback is still on and whose vocabulary has no byte: unseen signs become <unk>.
#
# The new vocabulary holds special tokens and what is learnt; the 256 byte words of the old one were plain entries.
# Byte-level tokenizers (GPT-2's, ModernBERT's) get their alphabet back, which the method adds by itself for that kind.
#
# Why a good guess goes wrong: "train a new tokenizer with the same settings" is what the method promises; the settings
# are kept, byte_fallback=True included, and on text like the training text nothing differs.
# Whom it hurts: who fits a vocabulary to one language: a name in another script or a rare Han character, exact before,
# turns into <unk>, several in a row into a single one, and decoding loses them.
#
# Seen:  before: byte_fallback True, byte words 256: ['▁', 'c', 'a', 't', '▁', '<0xEA>', '<0xAF>', '<0x80>']
#        after:  byte_fallback True, byte words 0: ['▁cat', '▁', '<unk>']
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet transformers==5.23.0 tokenizers==0.23.3 numpy==2.4.6
HF_HUB_OFFLINE=1 env/bin/python - 2>/dev/null <<'PYTHON'
import sys

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

text = " cat \uabc0"  # the last one is Meetei Mayek (Manipuri)
words = ["<pad>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdefghijklmnopqrstuvwxyz"]
vocabulary = {word: number for number, word in enumerate(words)}
old = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
old.normalizer = normalizers.Replace(" ", "▁")
old.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
old = PreTrainedTokenizerFast(tokenizer_object=old, pad_token="<pad>", unk_token="<unk>")
new = old.train_new_from_iterator([" the cat sat on the mat"] * 50, vocab_size=500)
seen = []
for name, tokenizer in (("before:", old), ("after: ", new)):
    fallback = tokenizer.backend_tokenizer.model.byte_fallback
    count = sum(word.startswith("<0x") for word in tokenizer.get_vocab())
    print(f"{name} byte_fallback {fallback}, byte words {count}: {tokenizer.tokenize(text)}")
    seen.append((fallback, count, "<unk>" in tokenizer.tokenize(text)))
sys.exit(seen != [(True, 256, False), (True, 0, True)])
PYTHON

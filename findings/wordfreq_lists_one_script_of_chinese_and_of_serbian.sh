#!/usr/bin/env bash
# wordfreq 3.1.1, 2026-11-30: the Chinese list holds Simplified characters only and the Serbian one Latin letters only.
#
# The lists were built from text that had been unified first: Traditional characters became Simplified, Serbian Cyrillic
# became Latin. A look-up of one word hides this, since it converts the word as well: "године" has a frequency. The
# list itself has no word with a Cyrillic letter, and none with 學, 們 or 國.
#
# Why a good guess goes wrong: "zh" and "sr" name languages, most users of which write the other script too (Taiwan,
# Hong Kong; Serbia's official script), and zipf_frequency("године", "sr") answers as if the word were listed.
# Whom it hurts: who takes top_n_list or get_frequency_dict as the vocabulary of a language: trimming a tokenizer,
# building a test set or a keyboard dictionary for Traditional Chinese or Serbian Cyrillic gets none of its words.
#
# Seen:  zh: 30000 words, with Traditional-only characters: 0, Simplified forms: 929
#        sr: 20000 words, with a Cyrillic letter: 0; zipf_frequency('године') = 6.65
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet wordfreq==3.1.1
env/bin/python - 2>/dev/null <<'PYTHON'
import sys

from wordfreq import top_n_list, zipf_frequency

chinese, serbian = top_n_list("zh", 30_000), top_n_list("sr", 20_000)
traditional = sum(any(sign in word for sign in "學們國這個說時對") for word in chinese)
simplified = sum(any(sign in word for sign in "学们国这个说时对") for word in chinese)
cyrillic = sum(any("\u0400" <= sign <= "\u04ff" for sign in word) for word in serbian)
found = zipf_frequency("године", "sr")
print(f"zh: {len(chinese)} words, with Traditional-only characters: {traditional}, Simplified forms: {simplified}")
print(f"sr: {len(serbian)} words, with a Cyrillic letter: {cyrillic}; zipf_frequency('године') = {found}")
sys.exit(not (traditional == 0 and simplified > 100 and cyrillic == 0 and found > 5))
PYTHON

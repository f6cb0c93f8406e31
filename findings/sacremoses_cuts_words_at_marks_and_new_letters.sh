#!/usr/bin/env bash
# sacremoses 0.2.0, 2026-12-01: the Moses tokenizer cuts words at accents that have no composed letter and at letters of
# younger scripts, and its own detokenizer does not put them together again.
#
# Whatever is not in a fixed list of "alphanumeric" characters gets a blank on either side. Missing are most combining
# accents, the Burmese asat, the Khmer coeng, and every letter of Adlam, Chakma and the small letters of Cherokee. So
# Yoruba and Igbo, whose letters with dot and tone can only be written with such an accent, fall apart in normal (NFC)
# text, and a word of Fulani in Adlam is as many tokens as it has letters.
#
# Why a good guess goes wrong: Moses' rules are about punctuation, viramas of Indic scripts ARE in the list (Hindi and
# Thai come out whole), the language code is accepted without a word, and no character is lost.
# Whom it hurts: BLEU with this tokenizer, word counts, length filters and alignments of parallel corpora.
#
# Seen:  yo Ẹ̀kọ́ -> 4 tokens, back: False      my မြန်မာ -> 3, False      ff 𞤆𞤵𞤤𞤢𞤪 -> 5, False
#        ig Ọ́gụ́ -> 4, False      km ខ្មែរ -> 3, False      chr ꮳꮃꭹ -> 3, False      hi हिन्दी -> 1, True
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet sacremoses==0.2.0
env/bin/python - 2>/dev/null <<'PYTHON'
import sys
import unicodedata

from sacremoses import MosesDetokenizer, MosesTokenizer

cut = {"yo": "Ẹ̀kọ́", "ig": "Ọ́gụ́", "my": "မြန်မာ", "km": "ខ្មែរ", "ff": "𞤆𞤵𞤤𞤢𞤪", "chr": "ꮳꮃꭹ"}
whole = {"hi": "हिन्दी", "th": "ภาษา"}
seen = {}
for code, word in (cut | whole).items():
    word = unicodedata.normalize("NFC", word)
    tokens = MosesTokenizer(code).tokenize(word, escape=False)
    back = MosesDetokenizer(code).detokenize(tokens) == word
    seen[code] = (len(tokens), back)
    print(f"{code} {word} -> {len(tokens)} tokens {tokens}, back: {back}")
counts = {"yo": 4, "ig": 4, "my": 3, "km": 3, "ff": 5, "chr": 3}
sys.exit(seen != {code: (count, False) for code, count in counts.items()} | dict.fromkeys(whole, (1, True)))
PYTHON

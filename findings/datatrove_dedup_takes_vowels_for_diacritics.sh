#!/usr/bin/env bash
# datatrove 0.10.1, 2026-12-01: deduplication by sentences removes sentences that differ only in a vowel or a consonant
# of Thai, Lao, Hindi, Japanese or Russian, since "diacritics" are taken off before the hash.
#
# TextNormConfig's norm_unicode_diacritics (on by default in sentence, MinHash, Bloom filter and decontamination steps)
# drops every nonspacing mark of the decomposed text. Many vowels of Thai, Lao and the Indic scripts are such marks,
# as are the dots that tell か from が, the breve of й and all tones of Vietnamese.
#
# Why a good guess goes wrong: "convert diacritics" sounds like café = cafe; the option has no language, and no stage
# says what it took for equal. Set norm_config=TextNormConfig(norm_unicode_diacritics=False).
# Whom it hurts: who cleans a multilingual corpus: short sentences vanish in those languages, MinHash compares
# texts without those vowels, and a test set can look leaked that is not.
#
# Seen:  kept 6 of 12 sentences; without norm_unicode_diacritics 12
#        removed: 'เขามีหมี' 'ລາວມີໝີ' 'मुझे फल पसंद हैं' 'かぎがある' 'Это мои' 'Tôi thích bơ'
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet datatrove==0.10.1 xxhash==3.6.0 pythainlp==5.4.0 regex==2026.11.19 tokenizers==0.23.3
env/bin/python - 2>/dev/null <<'PYTHON'
import sys

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import SentenceDedupFilter, SentenceDedupSignature, SentenceFindDedups
from datatrove.pipeline.dedup.sentence_dedup import SentDedupConfig
from datatrove.utils.text import TextNormConfig

texts = [
    *("เขามีหมู", "เขามีหมี"),  # Thai: he has a pig, a bear
    *("ລາວມີໝູ", "ລາວມີໝີ"),  # Lao: the same
    *("मुझे फूल पसंद हैं", "मुझे फल पसंद हैं"),  # Hindi: I like flowers, fruit
    *("かきがある", "かぎがある"),  # Japanese: there is a persimmon, a key
    *("Это мой", "Это мои"),  # Russian: this is mine, these are mine
    *("Tôi thích bò", "Tôi thích bơ"),  # Vietnamese: I like beef, avocado
]
kept = {}
for marks_off in (True, False):
    step = SentDedupConfig(
        n_sentences=1, split_sentences=False, min_doc_words=0, min_num_sentences=1,
        norm_config=TextNormConfig(norm_unicode_diacritics=marks_off),
    )  # fmt: skip
    documents, left = [Document(text=text, id=str(row)) for row, text in enumerate(texts)], []
    stages = (
        [documents, SentenceDedupSignature(f"signed{marks_off}", config=step, language="th")],
        [SentenceFindDedups(f"signed{marks_off}", f"found{marks_off}", config=step)],
        [documents, SentenceDedupFilter(f"found{marks_off}", config=step, language="th"),
         lambda data, rank, world_size: (left.append(document.text) or document for document in data)],
    )  # fmt: skip
    for number, stage in enumerate(stages):
        LocalPipelineExecutor(stage, logging_dir=f"log{marks_off}{number}").run()
    kept[marks_off] = left
print(f"kept {len(kept[True])} of {len(texts)} sentences; without norm_unicode_diacritics {len(kept[False])}")
print("removed:", *(repr(text) for text in texts if text not in kept[True]))
sys.exit(not (kept[True] == texts[::2] and kept[False] == texts))
PYTHON

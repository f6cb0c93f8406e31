#!/usr/bin/env bash
# bm25s 0.3.16 and rank_bm25 0.2.2, 2026-12-01: BM25+ gives the same ranking whatever its delta is, 0 included.
#
# BM25+ (Lv and Zhai 2011) adds delta * idf for each word of the question that stands IN the document, so that a long
# document with the word beats one without it by a margin. Both libraries add it for each word of the question to all
# documents: a constant per question, which cannot change an order. What is left is BM25 with another idf.
#
# Why a good guess goes wrong: delta is a parameter with a documented default, the scores do rise with it, and the two
# libraries confirm each other to the last digit.
# Whom it hurts: who tunes delta, or reports BM25+ as a baseline of its own beside dense retrieval; and who takes
# "score > 0" for "has a word of the question": documents without any have a score as well.
#
# Seen (question "rain snow"; a long text with both words, a short one with "rain" twice, one with neither):
#   delta 0: bm25s 1.18 1.34 0.0, rank_bm25 1.18 1.34 0.0
#   delta 1: bm25s 3.26 3.42 2.08, rank_bm25 3.26 3.42 2.08
#   delta 9: bm25s 19.9 20.05 18.71, rank_bm25 19.9 20.05 18.71
#   by the paper, delta 1: 3.26 2.03 0.0 (the long text is first)
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet bm25s==0.3.16 rank_bm25==0.2.2 numpy==2.4.6
env/bin/python - <<'PYTHON'
import math
import sys

import bm25s
import numpy as np
import rank_bm25

texts = [["rain", "snow", *["filler"] * 40], ["rain", "rain", "falls"], ["sun", "shines"]]
question, k1, b = ["rain", "snow"], 1.5, 0.75
mean = sum(map(len, texts)) / len(texts)


def by_the_paper(text, delta):
    total = 0.0
    for word in set(question) & set(text):
        share = text.count(word) / (1 - b + b * len(text) / mean)
        idf = math.log((len(texts) + 1) / sum(word in other for other in texts))
        total += idf * ((k1 + 1) * share / (k1 + share) + delta)
    return total


seen = {}
for delta in (0, 1, 9):
    index = bm25s.BM25(method="bm25+", k1=k1, b=b, delta=delta)
    index.index(texts, show_progress=False)
    other = rank_bm25.BM25Plus(texts, k1=k1, b=b, delta=delta).get_scores(question)
    seen[delta] = index.get_scores(question)
    assert np.allclose(seen[delta], other, atol=1e-4)
    rounded = [" ".join(str(round(float(score), 2)) for score in scores) for scores in (seen[delta], other)]
    print(f"delta {delta}: bm25s {rounded[0]}, rank_bm25 {rounded[1]}")
paper = [round(by_the_paper(text, 1), 2) for text in texts]
print("by the paper, delta 1:", *paper)
same = all(np.ptp(scores - seen[0]) < 1e-4 for scores in seen.values())  # one constant for all documents
sys.exit(not (same and seen[9][1] > seen[9][0] > seen[9][2] > 1 and paper[0] > paper[1] and paper[2] == 0))
PYTHON

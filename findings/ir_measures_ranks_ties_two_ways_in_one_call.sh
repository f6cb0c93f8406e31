#!/usr/bin/env bash
# ir_measures 0.4.3 (pytrec_eval-terrier 0.5.11), 2026-12-01: one call computes RR and RR@10 from different rankings of
# the same run where scores are equal; RR@10 comes out higher than RR and RR@10 = 1 stands beside P@1 = 0.
#
# Each measure goes to the first provider that has it. RR, P, AP and nDCG go to trec_eval, which puts the higher
# document id first among equal scores; RR with a cutoff goes to the MS MARCO script, which puts the lower id first.
#
# Why a good guess goes wrong: RR@10 can only be RR or less by definition, one call with one run looks like one ranking,
# and the order of the run's lines plays no part. Both rules favour ids, which often tell what was stored first.
# Whom it hurts: who scores binary or int8 vectors, BM25 on short texts or saturated cross-encoders, where ties are
# common, and compares a table's MRR@10 with nDCG, or with MRR@10 of another tool. Break ties before the call.
#
# Seen (three documents of equal score):
#   d1 is relevant: {'P@1': 0.0, 'RR': 0.333, 'RR@10': 1.0, 'nDCG@10': 0.5}
#   d3 is relevant: {'P@1': 1.0, 'RR': 1.0, 'RR@10': 0.333, 'nDCG@10': 1.0}
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet ir_measures==0.4.3 pytrec_eval-terrier==0.5.11 numpy==2.4.6
env/bin/python - <<'PYTHON'
import sys

import ir_measures
from ir_measures import P, Qrel, RR, ScoredDoc, nDCG

seen = {}
for relevant in ("d1", "d3"):
    for order in (("d1", "d2", "d3"), ("d3", "d2", "d1")):
        run = [ScoredDoc("q1", document, 0.75) for document in order]
        found = ir_measures.calc_aggregate([P @ 1, RR, RR @ 10, nDCG @ 10], [Qrel("q1", relevant, 1)], run)
        scores = {str(measure): round(value, 3) for measure, value in found.items()}
        assert seen.setdefault(relevant, scores) == scores  # whatever the order of the lines
    print(f"{relevant} is relevant:", dict(sorted(seen[relevant].items())))
sys.exit(
    not (
        seen["d1"] == {"P@1": 0.0, "RR": 0.333, "RR@10": 1.0, "nDCG@10": 0.5}
        and seen["d3"] == {"P@1": 1.0, "RR": 1.0, "RR@10": 0.333, "nDCG@10": 1.0}
    )
)
PYTHON

#!/usr/bin/env bash
# langcodes 3.5.1 with language-data 1.4.0, 2026-11-30: Language.maximize() gives a language that CLDR has no likely
# subtags for the script Latn and the territory US, as if it knew.
#
# maximize() follows CLDR's "und" rule: und is completed to en-Latn-US, and an unknown language inherits script and
# territory from there. South Levantine Arabic (ajp) is written in Arabic letters and comes out as ajp-Latn-US; Sudanese
# Arabic (apd) has an entry and comes out in Arabic letters (with TG, Togo, as its territory: that is CLDR's entry).
#
# Why a good guess goes wrong: the answer has the same form as a right one, and there is no "unknown". Of the 1,833
# languages that mmBERT was trained on, 986 have no likely subtags. Check that the language is in CLDR's table first.
# Whom it hurts: who fills in the script of multilingual data sets (FLORES, GlotLID, FineWeb-2 style tags) by library.
#
# Seen:  ajp -> ajp-Latn-US
#        tok -> tok-Latn-US
#        apd -> apd-Arab-TG
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet langcodes==3.5.1 language-data==1.4.0
env/bin/python - <<'PYTHON'
import sys

import langcodes

seen = {code: langcodes.Language.get(code).maximize().to_tag() for code in ("ajp", "tok", "apd")}
for code, tag in seen.items():
    print(f"{code} -> {tag}")
sys.exit(seen != {"ajp": "ajp-Latn-US", "tok": "tok-Latn-US", "apd": "apd-Arab-TG"})
PYTHON

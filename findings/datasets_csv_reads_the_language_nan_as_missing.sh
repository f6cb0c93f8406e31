#!/usr/bin/env bash
# datasets 5.2.0 (pandas 3.1.1), 2026-11-30: load_dataset("csv") reads the language code "nan" as a missing value.
#
# "nan" is ISO 639-3 for Min Nan Chinese (Taiwanese, some 48 million speakers); UDHR, Tatoeba, FLORES-style exports and
# Common Voice have rows in it. The CSV builder hands files to pandas.read_csv with its defaults, where the text nan
# means "no value", so the code becomes None while every other code stays a string.
#
# Why a good guess goes wrong: the same rows as JSON Lines or Parquet keep "nan", nothing warns, and a filter
# `row["lang"] == "nan"` or a group-by simply comes out without the language. `keep_default_na=False` keeps it.
# Whom it hurts: everybody who keeps multilingual sentences or per-language scores in CSV or TSV.
#
# Seen:  csv:  [None, 'eng', 'yue']
#        json: ['nan', 'eng', 'yue']
#        csv, keep_default_na=False: ['nan', 'eng', 'yue']
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$home/cache"
env/bin/python - <<'PYTHON'
import json
import sys

import datasets

datasets.disable_progress_bars()
rows = [("nan", "Lí hó"), ("eng", "hello"), ("yue", "nei hou")]
with open("rows.csv", "w", encoding="utf-8") as file:
    file.write("lang,text\n" + "".join(f"{lang},{text}\n" for lang, text in rows))
with open("rows.jsonl", "w", encoding="utf-8") as file:
    file.writelines(json.dumps({"lang": lang, "text": text}) + "\n" for lang, text in rows)


def languages(kind, name, **options):
    return list(datasets.load_dataset(kind, data_files=name, split="train", **options)["lang"])


csv, jsonl = languages("csv", "rows.csv"), languages("json", "rows.jsonl")
kept = languages("csv", "rows.csv", keep_default_na=False)
print("csv: ", csv)
print("json:", jsonl)
print("csv, keep_default_na=False:", kept)
sys.exit(not (csv == [None, "eng", "yue"] and jsonl == kept == ["nan", "eng", "yue"]))
PYTHON

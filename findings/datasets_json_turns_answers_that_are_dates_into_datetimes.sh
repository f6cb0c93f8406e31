#!/usr/bin/env bash
# datasets 5.2.0 (pyarrow 26.0.1), 2026-11-30: load_dataset("json") turns a column of strings that all look like ISO
# dates into datetime objects; with one other string in the column, the same strings stay strings.
#
# pyarrow's JSON reader infers timestamps from strings, and the builder keeps that type. So the type of a column depends
# on what happens to be in a file: a small test split of a question-answering set whose answers are dates has datetimes,
# the train split, with one name among the answers, has strings.
#
# Why a good guess goes wrong: JSON has no dates, a quoted value is a string in every other reader. Exact match then
# compares "1953-07-16" with datetime(1953, 7, 16), and asking for strings with `features=` does not bring the text back:
# the timestamp is inferred first and then printed, "1953-07-16 00:00:00". Reading the lines with `json` does.
# Whom it hurts: who fine-tunes or scores question answering and classification from JSON Lines.
#
# Seen:  only dates:       [datetime.datetime(1953, 7, 16, 0, 0), datetime.datetime(2001, 1, 2, 0, 0)]
#        dates and a name: ['1953-07-16', 'Ada']
#        with features:    ['1953-07-16 00:00:00', '2001-01-02 00:00:00']
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$home/cache"
env/bin/python - <<'PYTHON'
import datetime
import json
import sys

import datasets

datasets.disable_progress_bars()


def answers(name, values, **options):
    with open(name, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"question": f"Question {n}?", "answer": v}) + "\n" for n, v in enumerate(values))
    return list(datasets.load_dataset("json", data_files=name, split="train", **options)["answer"])


dates = ["1953-07-16", "2001-01-02"]
inferred, mixed = answers("dates.jsonl", dates), answers("mixed.jsonl", [dates[0], "Ada"])
text = datasets.Features({"question": datasets.Value("string"), "answer": datasets.Value("string")})
told = answers("told.jsonl", dates, features=text)
print("only dates:      ", inferred)
print("dates and a name:", mixed)
print("with features:   ", told)
expected = [datetime.datetime(1953, 7, 16), datetime.datetime(2001, 1, 2)]
sys.exit(not (inferred == expected and mixed == [dates[0], "Ada"] and told == [f"{date} 00:00:00" for date in dates]))
PYTHON

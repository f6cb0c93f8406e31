#!/usr/bin/env bash
# datasets 5.2.0 (pandas 3.1.1, pyarrow 26.0.1), 2026-12-01: class_encode_column on a column of class ids 0..11 gives
# rows of class 2 the id 4 and those of class 10 the id 2: from eleven classes on, ids come out permuted.
#
# The values become strings and their sorted order becomes the order of the classes: "0", "1", "10", "11", "2", ...
#
# Why a good guess goes wrong: ids that already run from 0 to n - 1 look as if they could only stay what they are, and up
# to ten classes they do. train_test_split(stratify_by_column=) refuses plain integers and asks for a ClassLabel, so
# the call is made for the sake of a split alone. cast_column("label", ClassLabel(num_classes=n)) keeps the ids.
# Whom it hurts: who trains on intents, topics or ratings of 1 to 10 (Banking77, MASSIVE): ids of the model are
# no longer those of the test file, of the label list or of a model trained before, and ratings lose their order.
#
# Seen:  before:                    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
#        after class_encode_column: [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]
#        ten classes:               [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
set -euo pipefail
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
cd "$home"
python3 -m venv env
env/bin/pip install --quiet datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1 numpy==2.4.6
export HF_HUB_OFFLINE=1 HF_DATASETS_CACHE="$home/cache"
env/bin/python - <<'PYTHON'
import sys

import datasets

datasets.disable_progress_bars()


def encoded(classes, how):
    rows = datasets.Dataset.from_dict({"label": list(range(classes))})
    return list(how(rows)["label"])


twelve = encoded(12, lambda rows: rows.class_encode_column("label"))
ten = encoded(10, lambda rows: rows.class_encode_column("label"))
cast = encoded(12, lambda rows: rows.cast_column("label", datasets.ClassLabel(num_classes=12)))
print("before:                   ", list(range(12)))
print("after class_encode_column:", twelve)
print("ten classes:              ", ten)
expected = sorted(range(12), key=str)
sys.exit(not (twelve == [expected.index(n) for n in range(12)] and ten == list(range(10)) and cast == list(range(12))))
PYTHON

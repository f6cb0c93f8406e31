"""What is published names no folder of this machine; Hub ids, addresses and ordinary text stay."""

import pytest
from mmbert.common.local_paths import hide_local_paths


@pytest.mark.parametrize(
    "given, hidden",
    [
        ("/home/jane/secret/run/final", "run"),
        ("--corpus=/data/jane/y.jsonl --out /srv/jane/out", "--corpus=y.jsonl --out out"),
        ({"/a/b/model": ["~/runs/news", 3]}, {"model": ["news", 3]}),
        ("C:\\Users\\jane\\model", "model"),
        ("jhu-clsp/mmBERT-base", "jhu-clsp/mmBERT-base"),
        ("see https://huggingface.co/owner/name and/or </s>", "see https://huggingface.co/owner/name and/or </s>"),
    ],
)
def test_paths_become_names(given, hidden):
    assert hide_local_paths(given) == hidden


def test_a_relative_folder_that_exists_and_an_example_that_does_not(tmp_path, monkeypatch):
    (tmp_path / "jane" / "model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hide_local_paths("jane/model") == "model"
    text = f"mmbert merge /path/to/your/model {tmp_path}/jane/model"
    assert hide_local_paths(text, only_existing=True) == "mmbert merge /path/to/your/model model"


def test_a_folder_with_blanks_is_seen_in_a_text_where_it_is_known(tmp_path):
    home = tmp_path / "jane's (own) things"
    text = f"--data={home}/a/rows.csv --out {home}, {home}-other"
    hidden = hide_local_paths({"argv": [text]}, homes=[*home.parents, home])["argv"][0]
    assert hidden.startswith("--data=rows.csv --out ., ") and str(tmp_path) not in hidden

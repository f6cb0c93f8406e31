"""benchmarks/gpu.py in its dry run: everything is measured and written, and what there is no time for is named."""

import json
import runpy
import sys
from pathlib import Path

import mmbert
import pytest

SCRIPT = Path(mmbert.__file__).parent / "benchmarks" / "gpu.py"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Return a function that runs the script and gives back what it wrote."""

    def run(*arguments):
        monkeypatch.syspath_prepend(str(SCRIPT.parent))
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments, "--output", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return ended.value.code, json.loads((tmp_path / "gpu.json").read_text()), (tmp_path / "gpu.md").read_text()

    return run


def test_a_dry_run_measures_every_network(run):
    status, found, table = run("--dry-run", "--only", "encode", "train", "finetune", "--settings", "variable-512")
    rows = found["rows"][1:]
    assert status == 0 and found["dry_run"] and found["bf16_rate"] > 0
    assert not [row for row in rows if "note" in row or row["tokens_per_second"] <= 0 or row["of_the_card"] <= 0]
    assert [(row["work"], row["network"], row["attention"]) for row in rows if "stock" not in row["network"]] == [
        ("encode", "mmbert", "sdpa"),
        ("encode", "mmbert", "blocks"),
        ("encode", "modernbert", "sdpa"),
        ("encode", "xlm-r", "sdpa"),
        ("train", "mmbert", "sdpa"),
        ("train", "mmbert", "blocks"),
        ("train", "mmbert packed", "sdpa"),
        ("train", "modernbert sparse", "sdpa"),
        ("train", "modernbert dense", "sdpa"),
        ("finetune", "mmbert", "sdpa"),
        ("finetune", "mmbert", "blocks"),
        ("finetune", "mmbert, whole table", "sdpa"),
        ("finetune", "modernbert", "sdpa"),
        ("finetune", "xlm-r", "sdpa"),
    ]
    (line,) = [line for line in table.splitlines() if line.startswith("| encode | variable-512 | mmbert | sdpa")]
    ours, stock = (rows[number]["tokens_per_second"] for number in (0, 2))
    assert f"{ours / stock:.2f}x" in line


def test_what_there_is_no_time_for_is_skipped_and_named(run):
    status, found, table = run("--dry-run", "--minutes", "0.01", "--only", "train")
    assert status == 0 and len(found["rows"]) == 21
    assert {row["note"] for row in found["rows"]} <= {f"skipped: {n} s are left of 0.01 minutes" for n in (0, 1)}
    assert table.count("s are left of 0.01 minutes") >= 20


def test_it_wants_a_gpu(run, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    with pytest.raises(SystemExit, match="there is no CUDA device; `--dry-run` shows"):
        runpy.run_path(str(SCRIPT), run_name="__main__")

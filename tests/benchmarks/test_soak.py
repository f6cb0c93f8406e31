"""benchmarks/soak.py: real commands, watched from outside; its summary of marks that are made up."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import mmbert
import pytest

BENCHMARKS = Path(mmbert.__file__).parent / "benchmarks"


def test_what_is_flat_and_what_grows(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    soak = importlib.import_module("soak")
    flat = [soak.Mark(100 * number, 3 + 0.5 * number, 400 + number) for number in range(1, 11)]
    assert soak.summary_of(flat)["flat"] and soak.summary_of(flat)["milliseconds"] == [5] * 9
    leaks = [soak.Mark(mark.done, mark.seconds, 30 * mark.done) for mark in flat]
    slows = [soak.Mark(mark.done, mark.seconds**2, 400) for mark in flat]
    assert not soak.summary_of(leaks)["flat"] and not soak.summary_of(slows)["flat"]


@pytest.mark.slow
def test_a_short_soak(tmp_path):
    # The last part of the texts takes longer than the time between two looks.
    command = [sys.executable, str(BENCHMARKS / "soak.py"), "--texts", "40000", "--steps", "40"]
    subprocess.run([*command, "--output", str(tmp_path)], timeout=280, capture_output=True)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert [mark["done"] for mark in found["texts"]["marks"]][:4] == [8192, 16384, 24576, 32768]
    assert [mark["done"] for mark in found["steps"]["marks"]] == list(range(4, 41, 4))
    assert all(mark["megabytes"] > 50 and mark["seconds"] > 0 for one in found.values() for mark in one["marks"])

"""benchmarks/targets.py: ratios of equal rounds, the roofline, and what a compiled network adds."""

import importlib
from dataclasses import replace
from pathlib import Path

import mmbert
import pytest
from mmbert.evaluation.efficiency.models import COMPILED, OURS, STOCK, XLM_R
from mmbert.evaluation.efficiency.report import Row

ROW = Row(
    setting="variable-512", compared_with="variable-512", network=OURS, size="base", dtype="float32", threads=1,
    rows=32, tokens=8000, padded_tokens=12000, rounds=5, cpu_seconds=20.0, wall_seconds=21.0, tokens_per_second=400.0,
    flops=10**12, gemm_rate=1e11, roofline=0.5,
)  # fmt: skip
SLOWER = replace(ROW, network=STOCK, tokens_per_second=200.0, roofline=0.25)


@pytest.fixture
def targets(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(mmbert.__file__).parent / "benchmarks"))
    return importlib.import_module("targets")


@pytest.fixture
def by_us(targets):
    return targets.Runner(OURS, "base", "float32", "variable-512")


@pytest.mark.parametrize(
    ("limit", "compiled_speed", "verdict"),
    [(2.0, None, "reached"), (2.1, None, "missed"), (2.1, 430.0, "reached compiled"), (2.1, 410.0, "missed")],
)
def test_targets_are_evaluated_by_ratios(targets, by_us, limit, compiled_speed, verdict):
    rows = [ROW, SLOWER]
    if compiled_speed:
        rows.append(replace(ROW, network=COMPILED, tokens_per_second=compiled_speed))
    target = targets.Target(limit, by_us, replace(by_us, network=STOCK))
    assert target.verdict(rows) == verdict
    line = targets.targets_table([target], rows).splitlines()[-1]
    assert "2.00x" in line and f"{limit:.2f}x" in line and line.endswith(f"| {verdict} |")


def test_targets_of_the_roofline_and_across_settings(targets, by_us):
    long = replace(ROW, setting="fixed-8192", compared_with="fixed-8192", tokens_per_second=300.0, roofline=0.7)
    peer = replace(ROW, network=XLM_R, compared_with="fixed-8192", tokens_per_second=290.0)
    ours, other = replace(by_us, setting="fixed-8192"), replace(by_us, network=XLM_R)
    assert (
        targets.Target(0.6, ours).verdict([long]) == "reached" and targets.Target(0.8, ours).verdict([long]) == "missed"
    )
    assert targets.Target(1.0, ours, other).verdict([long, peer]) == "reached"
    # XLM-R beside its own setting ran in other rounds: not comparable
    assert (
        targets.Target(1.0, ours, other).verdict([long, replace(peer, compared_with="variable-512")]) == "not measured"
    )
    assert targets.Target(1.0, ours, other).verdict([replace(long, threads=2), peer]) == "not measured"

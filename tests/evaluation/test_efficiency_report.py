"""Results of the efficiency benchmark: files that add up, ratios of equal conditions, the picture."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mmbert.evaluation.efficiency.models import OURS, STOCK
from mmbert.evaluation.efficiency.report import Report, Row, conditions, markdown_table, ratio

ROW = Row(
    setting="variable-512", compared_with="variable-512", network=OURS, size="base", dtype="float32", threads=1,
    rows=32, tokens=8000, padded_tokens=12000, rounds=5, cpu_seconds=20.0, wall_seconds=21.0, tokens_per_second=400.0,
    flops=10**12, gemm_rate=1e11, roofline=0.5, peak_total=10**9, peak_over_weights=2 * 10**8, date="2026-01-01",
)  # fmt: skip
SLOWER = replace(ROW, network=STOCK, tokens_per_second=200.0, roofline=0.25)


def test_a_report_survives_its_file(tmp_path):
    report = Report(conditions(seed=3))
    report.add([ROW, replace(SLOWER, peak_total=None, peak_over_weights=None)])
    report.write(tmp_path / "made" / "r.json")
    assert Report.read(tmp_path / "made" / "r.json") == report
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["r.json"]


def test_runs_add_up_and_a_row_measured_again_is_replaced(tmp_path):
    path, now = tmp_path / "r.json", conditions()
    Report(now, [ROW, SLOWER]).write(path)
    report = Report.open(path, now)
    again, other = replace(ROW, tokens_per_second=500.0), replace(ROW, threads=2)
    report.add([again, other])
    assert report.rows == [again, SLOWER, other]


def test_rows_of_other_conditions_are_not_mixed(tmp_path):
    Report(conditions(quick=True), [ROW]).write(tmp_path / "r.json")
    with pytest.raises(ValueError, match="with quick True, this run has False; write to another folder"):
        Report.open(tmp_path / "r.json", conditions(quick=False))
    (tmp_path / "old.json").write_text((tmp_path / "r.json").read_text().replace("compared_with", "beside"))
    with pytest.warns(FutureWarning, match="the key beside is now compared_with"):
        assert Report.read(tmp_path / "old.json").rows == [ROW]
    (tmp_path / "r.json").write_text('{"rows": 3}')
    with pytest.raises(ValueError, match="is no report of this benchmark"):
        Report.open(tmp_path / "r.json", conditions())


def test_conditions_name_no_machine():
    import platform

    text = json.dumps(conditions())
    assert platform.node() not in text and str(Path.home()) not in text


def test_ratios_compare_equal_conditions_only():
    assert ratio([ROW, SLOWER], ROW, STOCK, "base") == 2.0
    for other in ({"threads": 2}, {"dtype": "bfloat16"}, {"compared_with": "fixed-8192"}, {"size": "small"}):
        assert ratio([ROW, replace(SLOWER, **other)], ROW, STOCK, "base") is None


def test_the_table_shows_what_was_measured():
    beside = replace(ROW, setting="fixed-512", compared_with="fixed-8192", tokens_per_second=123.0)
    head, _, ours, stock = markdown_table([ROW, SLOWER, beside]).splitlines()
    assert "against stock" in head and "against XLM-R" not in head
    assert "| 400 | 2.00x | 0.50 | 200 MB | 5 |" in ours and "| 200 |  | 0.25 |" in stock


def test_the_picture_shows_every_setting(tmp_path):
    from dataclasses import asdict

    from mmbert.model_cards import draw_efficiency as draw

    rows = [asdict(row) for row in (ROW, SLOWER, replace(ROW, setting="fixed-8192", compared_with="fixed-8192"))]
    first = draw(rows, tmp_path / "made" / "a.png", "speed", "here").read_bytes()
    assert first.startswith(b"\x89PNG") and len(first) > 10_000
    assert draw(rows, tmp_path / "b.png", "speed", "here").read_bytes() == first
    with pytest.raises(ValueError, match="0 rows"):
        draw([], tmp_path / "c.png", "speed", "here")

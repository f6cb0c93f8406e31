"""The pictures: real PNGs with room for 110 languages, from the record alone; labels do not overlap."""

import struct
import sys
import zlib
from itertools import pairwise

import numpy as np
import pytest
from mmbert.model_cards import draw_all, draw_losses, draw_retrieval, draw_schedule
from mmbert.model_cards.plots import pretraining as language_pictures
from mmbert.model_cards.plots import pretraining as pictures
from mmbert.model_cards.plots.style import phase_spans, short_count, spread

NAMES = ["schedule.png", "shares.png", "loss.png", "retrieval.png"]


@pytest.fixture(scope="module")
def retrieval(make_retrieval):
    return {"before": make_retrieval(0.15), "after": make_retrieval(0.9)}


@pytest.fixture(scope="module")
def drawn(run_record, retrieval, tmp_path_factory):
    return draw_all(run_record, tmp_path_factory.mktemp("pictures"), retrieval)


def png_size_and_inks(path):
    """Decode the file by the PNG standard alone: its size, and how many different bytes its lines hold."""
    raw = path.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    place, data, size = 8, b"", None
    while place < len(raw):
        length, kind = struct.unpack(">I4s", raw[place : place + 8])
        body = raw[place + 8 : place + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", raw[place + 8 + length : place + 12 + length])[0]
        if kind == b"IHDR":
            size = struct.unpack(">II", body[:8])
        if kind == b"IDAT":
            data += body
        place += 12 + length
    assert kind == b"IEND"
    return size, len(set(zlib.decompress(data)))


def test_every_picture_is_a_valid_png_of_printable_size(drawn):
    assert [path.name for path in drawn] == NAMES
    for path in drawn:
        (width, height), inks = png_size_and_inks(path)
        assert 1000 <= width <= 2400 and 700 <= height <= 1200
        assert inks > 50 and 15_000 < path.stat().st_size < 500_000


def test_equal_records_give_equal_files(drawn, run_record, retrieval, tmp_path):
    again = draw_all(run_record, tmp_path, retrieval)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in drawn]


def test_small_and_partial_records_are_drawn_too(small_record, tmp_path):
    last = {name: shares for name, shares in small_record["shares"].items() if name == "decay"}
    steps = [row for row in small_record["steps"] if row["phase"] == "decay"]
    variant = small_record | {"shares": last, "steps": steps, "evaluations": []}
    assert [path.name for path in draw_all(variant, tmp_path / "variant")] == NAMES[:2]
    only_code = {"decay": {"code": last["decay"]["code"] | {"seen": 0.0}}}
    assert draw_all(small_record | {"shares": only_code}, tmp_path / "code")


@pytest.fixture
def figures(monkeypatch):
    """Catch the figures before they become files."""
    caught = []
    for room in (pictures, language_pictures):
        monkeypatch.setattr(room, "save", lambda figure, path: caught.append(figure) or path)
    return caught


def test_pictures_show_the_record(run_record, figures, tmp_path):
    """The lines on the schedule are the recorded numbers."""
    draw_schedule(run_record, tmp_path / "x.png")
    upper, lower = figures[0].axes
    ratios, rates = upper.lines[0].get_ydata(), lower.lines[0].get_ydata()
    np.testing.assert_allclose(ratios[1:], [100 * row["masking_ratio"] for row in run_record["steps"]])
    np.testing.assert_allclose(rates, [row["learning_rate"] for row in run_record["steps"]])


def test_no_label_lies_on_another(run_record, small_record, retrieval, figures, tmp_path):
    for record in (run_record, small_record):
        draw_all(record, tmp_path, retrieval)
    for figure in figures:
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        for axes in figure.axes:
            ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
            visible = [text for text in [*axes.texts, *ticks] if text.get_visible() and text.get_text()]
            boxes = [text.get_window_extent(renderer).padded(-1).get_points() for text in visible]
            low, high = np.sort(np.reshape(boxes, (-1, 2, 2)), axis=1).transpose(1, 0, 2)
            overlaps = ((low[:, None] <= high[None]) & (low[None] <= high[:, None])).all(-1)
            assert np.argwhere(np.triu(overlaps, 1)).size == 0, [text.get_text() for text in visible]


def test_phases_follow_each_other(run_record):
    spans = phase_spans(run_record)
    assert [name for name, _, _ in spans] == ["pretrain", "midtrain", "decay"]
    assert spans[0][1] == 0 and spans[-1][2] == run_record["steps"][-1]["tokens"]
    assert all(left[2] == right[1] for left, right in pairwise(spans))


@pytest.mark.parametrize("positions", [[1.0, 1.0, 1.0], [0.0, 5.0], [3.0, 0.1, 0.0, 2.95], [2.0]])
def test_spread_labels_keep_order_and_distance(positions):
    places = spread(positions, 0.5)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(np.array(places)[order]) >= 0.5 - 1e-9).all()
    assert np.mean(places) == pytest.approx(np.mean(positions))


def test_counts_are_short():
    assert [short_count(n) for n in (950, 12_300, 1_500_000, 2e9, 3e12)] == ["950", "12.3k", "1.5M", "2B", "3T"]


def test_bad_input_is_refused_in_one_line(run_record, retrieval, tmp_path):
    with pytest.raises(ValueError, match="0 steps"):
        draw_schedule(run_record | {"steps": []}, tmp_path / "x.png")
    with pytest.raises(ValueError, match="0 evaluations"):
        draw_losses(run_record | {"evaluations": []}, tmp_path / "x.png")
    nothing = {"before": retrieval["before"], "after": {"languages": {}}}
    with pytest.raises(ValueError, match="no language was evaluated both"):
        draw_retrieval(run_record, nothing, tmp_path / "x.png")


def test_without_matplotlib_the_error_names_the_extra(run_record, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "mmbert\[plots\]"') as caught:
        draw_all(run_record, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_report_of_few_languages_names_them(tmp_path, monkeypatch):
    from matplotlib.text import Text
    from mmbert.model_cards import draw_language_report
    from mmbert.model_cards.plots import languages

    monkeypatch.setattr(languages, "save", lambda figure, path: figure)
    tags = ["eng_Latn", "deu_Latn", "fao_Latn"]
    entry = {"group": "high", "shares": {"all": {"target": 0.3, "seen": 0.3}}, "epochs": 0.5, "tokens": 100}
    entries = {tag: {**entry, "loss": None if tag == "fao_Latn" else 3.0} for tag in tags}
    report = {"languages": entries, "phase": "all", "masking_ratio": 0.3, "step": 7}
    figure = draw_language_report(report, tmp_path / "report.png")
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert all(texts.count(tag) >= 3 for tag in tags) and texts.count("no held-out text") == 1

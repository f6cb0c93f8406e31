"""The picture of a plan: every phase is in it, no label lies on another or outside, equal plans give equal files."""

from itertools import combinations

import pytest
from mmbert import Recipe
from mmbert.model_cards.plots import plan as plan_picture
from mmbert.recipes.outline import outline


@pytest.fixture
def draw(monkeypatch, tmp_path):
    """Return a function that draws a plan and gives back the figure beside the file."""
    kept = []
    save = plan_picture.save
    monkeypatch.setattr(plan_picture, "save", lambda figure, path: (kept.append(figure), save(figure, path))[1])

    def one(name, all_languages=None, file="plan.png"):
        path = plan_picture.draw_plan(outline(Recipe.load(name)), tmp_path / file, all_languages)
        return kept[-1], path

    return one


def labels(axes):
    return [text for text in axes.texts if text.get_text()]


@pytest.mark.parametrize(("name", "all_languages"), [("mmbert-base", 1833), ("mmbert-small", 1833), ("demo", None)])
def test_no_label_covers_another_or_leaves_the_picture(draw, name, all_languages):
    figure, _ = draw(name, all_languages)
    renderer = figure.canvas.get_renderer()
    whole = figure.bbox
    for axes in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in labels(axes)]
        assert boxes
        assert all(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 for box in boxes)
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2)), axes.get_ylabel()


def test_it_shows_what_the_recipe_says(draw):
    figure, _ = draw("mmbert-small", 1833)
    words = [[text.get_text() for text in labels(axes)] for axes in figure.axes]
    assert words[0][:3] == ["0.0008", "0.0004", "0.0004"]
    assert [word for word in words[0] if "·" in word] == ["1 · pretrain", "2 · pretrain-late", "3 · midtrain"]
    assert words[2] == ["30 %", "20 %", "15 %"] and words[3] == ["5 %"]
    assert words[6] == ["60", "60", "109"]
    assert words[7] == ["decay-all\ndecay-all-1-sqrt\n1,833", "decay-eng\ndecay-cont\n109"]
    rates = figure.axes[1].lines[0].get_ydata()
    assert (rates[0], rates[-1]) == (pytest.approx(4e-4), pytest.approx(1.6e-5, rel=0.01))


def test_languages_that_nobody_counted_are_left_out(draw):
    figure, _ = draw("mmbert-base")
    assert [text.get_text() for text in labels(figure.axes[7])] == ["decay-eng\ndecay-cont\n109"]


def test_equal_plans_give_equal_files(draw):
    one, two = draw("mmbert-base", 1833, "one.png")[1], draw("mmbert-base", 1833, "two.png")[1]
    assert one.read_bytes() == two.read_bytes()
    assert 20_000 < one.stat().st_size < 500_000

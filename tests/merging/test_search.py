import json

import mmbert
import pytest
import torch
from mmbert.merging import search_ties

GRID = {"densities": (0.2, 1.0), "scales": (0.5, 1.0, 1.5)}


@pytest.fixture
def family(make_models, save_checkpoint):
    base, variants = make_models()
    return save_checkpoint("base", base), [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]


def distance(load_tensors, goal):
    """A score that is known in closed form: how far a merge is from the merge that we want to be found."""
    wanted = load_tensors(goal)

    def score(folder):
        assert (folder / "config.json").is_file()
        return sum(float((value - wanted[name]).abs().sum()) for name, value in load_tensors(folder).items())

    return score


@pytest.mark.parametrize(("density", "scale"), [(0.2, 1.5), (1.0, 0.5), (0.2, 0.5)])
def test_finds_the_best_and_keeps_it_whole(family, load_tensors, tmp_path, density, scale):
    goal = mmbert.merge_ties(*family, tmp_path / "goal", density=density, scale=scale)
    trials = search_ties(*family, tmp_path / "out", distance(load_tensors, goal), **GRID, higher_is_better=False)
    assert [(t.density, t.scale) for t in trials] == [(d, s) for d in GRID["densities"] for s in GRID["scales"]]
    best = min(trials, key=lambda trial: trial.score)
    assert (best.density, best.scale, best.score) == (density, scale, 0)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in goal.iterdir())
    kept = load_tensors(tmp_path / "out")
    assert all(torch.equal(kept[name], value) for name, value in load_tensors(goal).items())
    record = json.loads((tmp_path / "out" / "merge.json").read_text())
    assert record["parameters"]["density"] == density and record["parameters"]["scale"] == scale
    assert [trial["score"] for trial in record["search"]["trials"]] == [trial.score for trial in trials]


def test_higher_is_better_and_the_first_of_equals(family, tmp_path):
    scores = iter([1.0, 3.0, float("nan"), 3.0, 2.0, float("inf")])
    trials = search_ties(*family, tmp_path / "out", lambda folder: next(scores), **GRID)
    assert [trial.score for trial in trials] == [1, 3, None, 3, 2, None]
    parameters = json.loads((tmp_path / "out" / "merge.json").read_text())["parameters"]
    assert (parameters["density"], parameters["scale"]) == (0.2, 1.0)


def test_no_finite_score_and_a_failing_score_leave_nothing(family, tmp_path):
    with pytest.raises(ValueError, match="none of 6 trials has a finite score"):
        search_ties(*family, tmp_path / "out", lambda folder: float("nan"), **GRID)

    def broken(folder):
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        search_ties(*family, tmp_path / "out", broken, **GRID)
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"densities": ()}, "nothing to search"),
        ({"densities": (0.2, 2.0)}, "density must lie in"),
        ({"scales": (float("inf"),)}, "scale must be a finite"),
    ],
)
def test_refusals(family, tmp_path, options, match):
    with pytest.raises(ValueError, match=match):
        search_ties(*family, tmp_path / "out", lambda folder: 0.0, **options)

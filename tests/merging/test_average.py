import json

import pytest
import torch
from mmbert.merging import exponential_weights, merge_weighted_average


@pytest.mark.parametrize("weights", [None, [1, 2, 5], [0, 0, 3]])
def test_equals_the_dense_average(make_models, save_checkpoint, load_tensors, tmp_path, weights):
    _, models = make_models()
    paths = [save_checkpoint(f"step{i}", m, shards=1 + i) for i, m in enumerate(models)]
    result = load_tensors(merge_weighted_average(paths, tmp_path / "out", weights=weights))
    share = torch.tensor(weights or [1, 1, 1], dtype=torch.float64)
    share /= share.sum()
    for name in models[0]:
        expected = torch.einsum("m,m...->...", share, torch.stack([m[name].double() for m in models]))
        torch.testing.assert_close(result[name].double(), expected, rtol=1e-6, atol=1e-7)


def test_equal_checkpoints_stay_what_they_are(make_models, save_checkpoint, load_tensors, tmp_path):
    model, _ = make_models()
    paths = [save_checkpoint(f"step{i}", model) for i in range(3)]
    out = merge_weighted_average(paths, tmp_path / "out", weights=exponential_weights(3, 0.7))
    assert all(torch.equal(tensor, model[name]) for name, tensor in load_tensors(out).items())
    record = json.loads((out / "merge.json").read_text())
    assert record["method"] == "weighted_average"
    assert sum(record["parameters"]["weights"]) == pytest.approx(1)


def test_exponential_weights_grow_by_a_constant_factor():
    weights = exponential_weights(4, 0.5)
    assert weights == pytest.approx([1 / 15, 2 / 15, 4 / 15, 8 / 15])
    assert exponential_weights(3, 1.0) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("count, decay", [(0, 0.5), (3, 0.0), (3, 1.5), (3, float("nan"))])
def test_exponential_weights_refuse(count, decay):
    with pytest.raises(ValueError, match=r"got (0|0\.0|1\.5|nan)"):
        exponential_weights(count, decay)


def test_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="no checkpoints given"):
        merge_weighted_average([], tmp_path / "out")

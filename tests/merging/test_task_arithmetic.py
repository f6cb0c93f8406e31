import pytest
import torch
from mmbert.merging import merge_task_arithmetic


@pytest.mark.parametrize(("scale", "weights"), [(0.4, None), (1.0, [0.5, -1.0, 2.0]), (0.0, None)])
def test_equals_the_dense_sum(make_models, save_checkpoint, load_tensors, tmp_path, scale, weights):
    base, variants = make_models()
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    merged = merge_task_arithmetic(save_checkpoint("base", base), paths, tmp_path / "out", scale=scale, weights=weights)
    for name, value in load_tensors(merged).items():
        changes = torch.stack([v[name].double() - base[name].double() for v in variants])
        dense = base[name] + scale * torch.einsum("v,v...->...", torch.tensor(weights or [1.0] * 3).double(), changes)
        torch.testing.assert_close(value.double(), dense, rtol=0, atol=1e-6)


def test_equals_peft(make_models, save_checkpoint, load_tensors, tmp_path):
    merge_utils = pytest.importorskip("peft.utils.merge_utils", reason="peft is in the extra finetune")
    base, variants = make_models()
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    merged = load_tensors(
        merge_task_arithmetic(
            save_checkpoint("base", base), paths, tmp_path / "out", scale=1.0, weights=[0.2, 0.3, 0.4]
        )
    )
    for name in base:
        theirs = merge_utils.task_arithmetic([v[name] - base[name] for v in variants], torch.tensor([0.2, 0.3, 0.4]))
        torch.testing.assert_close(merged[name] - base[name], theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"weights": [1.0]}, "1 weights for 2 variants"), ({"scale": float("nan")}, "must be finite numbers")],
)
def test_refusals(make_models, save_checkpoint, tmp_path, options, match):
    base, variants = make_models(count=2)
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    with pytest.raises(ValueError, match=match):
        merge_task_arithmetic(save_checkpoint("base", base), paths, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()

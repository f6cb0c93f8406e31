"""The numbers in self_test.json against stock transformers, and against damage that files and shapes do not show."""

import json
import math

import mmbert
import pytest
import torch
import transformers
from mmbert.export import make_self_test, read_self_test
from mmbert.export.modernbert.self_test import TOLERANCES
from safetensors.torch import load_file, save_file

from .conftest import tiny


@pytest.fixture
def published(saved, tmp_path):
    return mmbert.export_modernbert(saved, tmp_path / "published", code=False)


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def change_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_expected_vectors_are_stock_transformers(published):
    fields = json.loads((published / "self_test.json").read_text())
    stock = transformers.ModernBertModel.from_pretrained(published, attn_implementation="eager").eval()
    assert len(fields["input_ids"]) == 160 and max(fields["input_ids"]) < 300 and len(set(fields["input_ids"])) > 100
    with torch.no_grad():
        hidden = stock(torch.tensor([fields["input_ids"]])).last_hidden_state[0]
    torch.testing.assert_close(torch.tensor(fields["mean"]), hidden.mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.tensor(fields["last"]), hidden[-1], rtol=1e-4, atol=1e-5)
    assert fields["tolerance"] == TOLERANCES


def test_ids_depend_on_the_vocabulary_alone(saved, tmp_path):
    tiny(seed=7, hidden_size=64).save_pretrained(tmp_path / "other")
    tiny(vocab_size=500).save_pretrained(tmp_path / "larger")
    first, second, third = (make_self_test(folder) for folder in (saved, tmp_path / "other", tmp_path / "larger"))
    assert first.input_ids == second.input_ids != third.input_ids
    assert first.mean != second.mean


@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_dtype_agrees_within_its_tolerance(published, stock, dtype):
    comparison = read_self_test(published).compare(published, stock=stock, dtype=dtype)
    assert comparison.agrees, comparison
    assert comparison.dtype == str(dtype).removeprefix("torch.")
    if dtype != torch.float32:
        assert comparison.error > 1e-4  # rounding shows, so the tolerance is not slack for fp32


def swap_layers(tensors):
    one, other = (f"model.layers.{n}.mlp.Wo.weight" for n in (1, 2))
    tensors[one], tensors[other] = tensors[other].clone(), tensors[one].clone()


def zero_a_row(tensors):
    tensors["model.layers.4.attn.Wo.weight"][3] = 0


def truncate_a_norm(tensors):
    tensors["model.final_norm.weight"][-1] = 0


@pytest.mark.parametrize("change", [swap_layers, zero_a_row, truncate_a_norm])
def test_changed_weights_are_found(published, change):
    change_weights(published, change)
    comparison = read_self_test(published).compare(published)
    assert not comparison.agrees, comparison


@pytest.mark.parametrize(
    "fields",
    [
        {"global_rope_theta": 160_000.0, "rope_parameters": None, "local_rope_theta": 70.0},
        {"local_rope_theta": 10_000.0, "rope_parameters": None, "global_rope_theta": 5e4},
        {"local_attention": 16},
        {"global_attn_every_n_layers": 2, "layer_types": None},
        {"norm_eps": 1e-5},
        {"hidden_activation": "relu"},
    ],
)
def test_changed_configurations_are_found(published, fields):
    edit(published / "config.json", **fields)
    config = json.loads((published / "config.json").read_text())
    (published / "config.json").write_text(
        json.dumps({key: value for key, value in config.items() if value is not None})
    )
    comparison = read_self_test(published).compare(published)
    assert not comparison.agrees, comparison


def test_no_file_no_test_and_damaged_files(saved, published):
    assert read_self_test(saved) is None
    for fields, match in (
        ({"mean": "x"}, "not a self-test"),
        ({"last": [math.nan]}, "vectors of finite numbers"),
        ({"input_ids": []}, "needs token ids"),
        ({"input_ids": [-1]}, "needs token ids"),
    ):
        original = (published / "self_test.json").read_text()
        edit(published / "self_test.json", **fields)
        with pytest.raises(ValueError, match=match):
            read_self_test(published)
        (published / "self_test.json").write_text(original)
    (published / "self_test.json").write_text("{")
    with pytest.raises(ValueError, match=r"self_test\.json: not valid JSON"):
        read_self_test(published)


def test_other_size_and_non_finite_vectors_do_not_agree(published):
    test = read_self_test(published)
    assert test.compare_hidden(torch.zeros(160, 7)).error == math.inf
    assert not test.compare_hidden(torch.full((160, 32), math.nan)).agrees


def test_weights_that_are_not_finite_are_not_exported(saved, tmp_path):
    change_weights(saved, lambda tensors: tensors["model.final_norm.weight"].fill_(math.nan))
    with pytest.raises(ValueError, match="holds NaN or infinity; its training diverged or the file is damaged"):
        mmbert.export_modernbert(saved, tmp_path / "out")
    assert not (tmp_path / "out").exists()

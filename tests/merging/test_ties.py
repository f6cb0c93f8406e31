"""merge_ties against a dense computation of the paper's steps on whole flattened vectors, and against peft."""

import json

import mmbert
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmbert.merging import parents as parents_module
from mmbert.merging.ties import elect_and_average
from mmbert.merging.trimming import Trimmer, find_cuts, kept_count

EMBEDDINGS = "model.embeddings.tok_embeddings.weight"


def flatten(tensors):
    return np.concatenate([tensors[name].float().numpy().ravel() for name in sorted(tensors)])


def unflatten(vector, like):
    out, start = {}, 0
    for name in sorted(like):
        size = like[name].numel()
        out[name] = torch.from_numpy(vector[start : start + size]).view(like[name].shape)
        start += size
    return out


def top_k(vector, density):
    """Keep the k largest magnitudes, the first of equals, by sorting."""
    kept = np.argsort(-np.abs(vector), kind="stable")[: int(density * len(vector) + 1e-9)]
    out = np.zeros_like(vector)
    out[kept] = vector[kept]
    return out


def dense_ties(base, variants, density, scale=1.0, weights=None, blocks=None):
    """Trim, elect, disjoint mean as in arXiv 2306.01708, with everything in memory; `blocks` trims tensor by tensor."""
    theta = flatten(base)
    task = [flatten(variant) - theta for variant in variants]
    borders = np.cumsum(blocks)[:-1] if blocks else []
    trimmed = [np.concatenate([top_k(part, density) for part in np.split(tau, borders)]) for tau in task]
    weight = np.asarray(weights or [1.0] * len(variants), dtype=np.float64)[:, None]
    stack = np.stack(trimmed).astype(np.float64)
    elected = np.sign((stack * weight).sum(0))
    majority = np.sign(elected.sum()) or 1.0
    elected[elected == 0] = majority
    chosen = (np.sign(stack) == elected) & (stack != 0)
    total = (stack * weight * chosen).sum(0)
    divisor = (weight * chosen).sum(0)
    merged = np.divide(total, divisor, out=np.zeros_like(total), where=divisor > 0)
    return unflatten((theta + scale * merged), base)


def assert_equals(result, expected, tolerance=1e-6):
    assert result.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(result[name].double(), tensor.double(), rtol=tolerance, atol=tolerance, msg=name)


@pytest.fixture(params=[5, 1 << 18], ids=["tiny pieces", "whole tensors"])
def piece(request, monkeypatch):
    monkeypatch.setattr(parents_module, "PIECE", request.param)


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("grid", [None, 0.25], ids=["all different", "many equal magnitudes and zero sums"])
@pytest.mark.parametrize("trim", ["global", "tensor"])
@pytest.mark.usefixtures("piece")
def test_equals_the_dense_computation(make_models, save_checkpoint, load_tensors, tmp_path, density, grid, trim):
    base, variants = make_models(grid=grid)
    paths = [save_checkpoint(f"v{i}", v, shards=1 + i) for i, v in enumerate(variants)]
    out = mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out", density=density, trim=trim)
    blocks = [base[name].numel() for name in sorted(base)] if trim == "tensor" else None
    assert_equals(load_tensors(out), dense_ties(base, variants, density, blocks=blocks))


@pytest.mark.parametrize("weights", [[1, 1, 1], [2, 0.5, 1], [1, 0, 3]])
@pytest.mark.parametrize("scale", [1.0, -0.5, 1.7])
def test_weights_count_in_election_and_mean(make_models, save_checkpoint, load_tensors, tmp_path, weights, scale):
    base, variants = make_models(grid=0.25, seed=4)
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    out = mmbert.merge_ties(
        save_checkpoint("base", base), paths, tmp_path / "out", density=0.6, scale=scale, weights=weights
    )
    assert_equals(load_tensors(out), dense_ties(base, variants, 0.6, scale, weights))


@pytest.mark.parametrize("remembered", [1 << 20, 0], ids=["put right", "walked again"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.usefixtures("piece")
def test_negative_majority_on_random_models_with_a_tied_decoder(
    make_models, save_checkpoint, load_tensors, tmp_path, monkeypatch, dtype, remembered
):
    monkeypatch.setattr("mmbert.merging.ties._REMEMBERED", remembered)
    base, variants = make_models(grid=0.25, dtype=dtype)
    for variant in variants:  # mostly negative changes, many of them cancelling out
        variant.update({n: (base[n] - 0.25 + (t - base[n])).to(dtype) for n, t in variant.items()})
    everything = [{**tensors, "decoder.weight": tensors[EMBEDDINGS].clone()} for tensors in (base, *variants)]
    root, *paths = [save_checkpoint(f"m{i}", t, shards=1 + i, vocab_size=40) for i, t in enumerate(everything)]
    out = mmbert.merge_ties(root, paths, tmp_path / "out", density=0.7)
    record = json.loads((out / "merge.json").read_text())
    assert record["majority_sign"] == -1 and record["zero_sums"] > 20
    result = load_tensors(out)
    assert torch.equal(result.pop("decoder.weight"), result[EMBEDDINGS])
    expected = {name: tensor.to(dtype) for name, tensor in dense_ties(base, variants, 0.7).items()}
    assert_equals(result, expected, tolerance=1e-6 if dtype == torch.float32 else 0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once_at_the_end(make_models, save_checkpoint, load_tensors, tmp_path, dtype):
    base, variants = make_models(dtype=dtype, seed=2)
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    out = mmbert.merge_ties(save_checkpoint("base", base, shards=2), paths, tmp_path / "out", density=0.3)
    result = load_tensors(out)
    assert all(tensor.dtype == dtype for tensor in result.values())
    expected = {name: tensor.to(dtype) for name, tensor in dense_ties(base, variants, 0.3).items()}
    assert_equals(result, expected, tolerance=0)


@pytest.mark.parametrize("remembered", [1 << 20, 1, 0], ids=["put right", "walked again", "walked again at once"])
@pytest.mark.usefixtures("piece")
def test_zero_sums_take_a_negative_majority(save_checkpoint, load_tensors, tmp_path, monkeypatch, remembered):
    monkeypatch.setattr("mmbert.merging.ties._REMEMBERED", remembered)
    base = {"a": torch.zeros(6)}
    one, two = torch.tensor([1.0, 2, -3, -4, -5, 6]), torch.tensor([-1.0, -2, -3, -4, -5, 0])
    paths = [save_checkpoint("one", {"a": one}), save_checkpoint("two", {"a": two})]
    out = mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out", density=1.0)
    # two coordinates cancel out; of the others three are negative and one positive, so negative wins both
    assert load_tensors(out)["a"].tolist() == [-1, -2, -3, -4, -5, 6]
    record = json.loads((out / "merge.json").read_text())
    assert (record["majority_sign"], record["zero_sums"]) == (-1, 2)


def test_equals_peft_where_the_definitions_coincide(save_checkpoint, load_tensors, tmp_path):
    """peft trims a single tensor, too; equal weights of 1 and no zero sums leave no other difference."""
    merge_utils = pytest.importorskip("peft.utils.merge_utils", reason="peft is in the extra finetune")
    generator = torch.Generator().manual_seed(11)
    names = {"layers.0.w": (31, 8), "layers.1.w": (200,)}
    base = {n: torch.randn(s, generator=generator) for n, s in names.items()}
    variants = [{n: t + torch.randn(t.shape, generator=generator) for n, t in base.items()} for _ in range(3)]
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    out = mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out", density=0.3, trim="tensor")
    expected = {
        name: tensor + merge_utils.ties([v[name] - tensor for v in variants], torch.ones(3), 0.3)
        for name, tensor in base.items()
    }
    assert_equals(load_tensors(out), expected)


def test_one_variant_untrimmed_is_that_variant(make_models, save_checkpoint, load_tensors, tmp_path):
    base, (variant,) = make_models(count=1)
    paths = save_checkpoint("base", base), [save_checkpoint("v", variant)]
    assert_equals(load_tensors(mmbert.merge_ties(*paths, tmp_path / "out", density=1.0)), variant)


def test_identical_variants_are_that_variant_trimmed(make_models, save_checkpoint, load_tensors, tmp_path):
    base, (variant,) = make_models(count=1)
    paths = [save_checkpoint(f"v{i}", variant) for i in range(3)]
    out = mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "out", density=0.2)
    trimmed = flatten(base) + top_k(flatten(variant) - flatten(base), 0.2)
    assert_equals(load_tensors(out), unflatten(trimmed, base))


def test_order_of_variants_does_not_matter(make_models, save_checkpoint, load_tensors, tmp_path):
    base, variants = make_models(grid=0.25, seed=7)
    root = save_checkpoint("base", base)
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    straight = load_tensors(mmbert.merge_ties(root, paths, tmp_path / "a", weights=[1, 2, 3]))
    turned = load_tensors(mmbert.merge_ties(root, paths[::-1], tmp_path / "b", weights=[3, 2, 1]))
    assert all(torch.equal(straight[name], turned[name]) for name in straight)


def test_shards_do_not_change_the_result_and_the_base_gives_the_layout(
    make_models, save_checkpoint, load_tensors, tmp_path
):
    base, variants = make_models(grid=0.25)
    paths = [save_checkpoint(f"v{i}", v) for i, v in enumerate(variants)]
    one = mmbert.merge_ties(save_checkpoint("base", base), paths, tmp_path / "one")
    three = mmbert.merge_ties(save_checkpoint("base3", base, shards=3), paths, tmp_path / "three")
    assert len(list(three.glob("*.safetensors"))) == 3
    assert (three / "model.safetensors.index.json").is_file()
    left, right = load_tensors(one), load_tensors(three)
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("storing", [(True, True), (False, True), (True, False)], ids=["both", "variant", "base"])
def test_tied_decoder_is_counted_once(make_models, save_checkpoint, load_tensors, tmp_path, storing):
    base, variants = make_models()

    def tie(tensors, stored):
        return {**tensors, "decoder.weight": tensors[EMBEDDINGS].clone()} if stored else tensors

    root = save_checkpoint("base", tie(base, storing[0]), vocab_size=40)
    paths = [save_checkpoint(f"v{i}", tie(v, storing[1]), vocab_size=40) for i, v in enumerate(variants)]
    result = load_tensors(mmbert.merge_ties(root, paths, tmp_path / "out"))
    assert ("decoder.weight" in result) == storing[0]
    if storing[0]:
        assert torch.equal(result.pop("decoder.weight"), result[EMBEDDINGS])
    assert_equals(result, dense_ties(base, variants, 0.2))


def test_untied_decoder_is_a_parameter_of_its_own(make_models, save_checkpoint, load_tensors, tmp_path):
    base, variants = make_models()
    base["decoder.weight"] = base[EMBEDDINGS].clone()
    for seed, variant in enumerate(variants):
        variant["decoder.weight"] = torch.randn(40, 6, generator=torch.Generator().manual_seed(seed))
    root = save_checkpoint("base", base, vocab_size=40)
    paths = [save_checkpoint(f"v{i}", v, vocab_size=40) for i, v in enumerate(variants)]
    assert_equals(load_tensors(mmbert.merge_ties(root, paths, tmp_path / "out")), dense_ties(base, variants, 0.2))


def test_integer_tensors_are_carried_over(make_models, save_checkpoint, load_tensors, tmp_path):
    base, (variant,) = make_models(count=1)
    ids = {"embeddings.position_ids": torch.arange(9)}
    paths = save_checkpoint("base", base | ids), [save_checkpoint("v", variant | ids)]
    assert load_tensors(mmbert.merge_ties(*paths, tmp_path / "out"))["embeddings.position_ids"].tolist() == list(
        range(9)
    )


def test_merge_json_names_parents_without_paths_and_two_runs_are_equal(make_models, save_checkpoint, tmp_path):
    base, variants = make_models()
    root = save_checkpoint("ext", base)
    paths = [save_checkpoint(f"run{i}", v) for i, v in enumerate(variants)]
    outs = [mmbert.merge_ties(root, paths, tmp_path / name, density=0.4) for name in "ab"]
    text = (outs[0] / "merge.json").read_text()
    record = json.loads(text)
    assert [p["name"] for p in record["parents"]] == ["ext", "run0", "run1", "run2"]
    assert str(tmp_path) not in text
    assert record["parameters"] == {"density": 0.4, "scale": 1.0, "weights": [1, 1, 1], "trim": "global"}
    files = sorted(file.name for file in outs[0].iterdir())
    assert files == ["SHA256SUMS", "config.json", "merge.json", "model.safetensors"]
    assert all((outs[0] / name).read_bytes() == (outs[1] / name).read_bytes() for name in files)


@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=60),
    repeated=st.integers(1, 3),
    density=st.floats(0.01, 1.0),
)
def test_exact_trim_of_any_floats(values, repeated, density):
    """Subnormals, signed zeros, huge values and repeats: the survivors are those of a stable sort."""

    class OneVector:
        checkpoints = (None, None)
        vector = torch.tensor(values * repeated, dtype=torch.float32)

        def numel(self, name):
            return len(self.vector)

        def pieces(self, names):
            for start in range(0, len(self.vector), 7):
                part = self.vector[start : start + 7]
                yield "v", start, [torch.zeros_like(part), part]

    vector = OneVector.vector
    (cut,) = find_cuts(OneVector(), ["v"], density)
    trimmer = Trimmer(cut)
    result = torch.cat([trimmer.trim(vector[s : s + 7]) for s in range(0, len(vector), 7)])
    order = np.argsort(-np.abs(vector.numpy()), kind="stable")[: kept_count(density, len(vector))]
    expected = torch.zeros_like(vector)
    expected[order.copy()] = vector[order.copy()]
    assert torch.equal(result, expected)


@pytest.mark.parametrize("density, size, kept", [(0.29, 100, 29), (0.2, 5, 1), (0.2, 4, 0), (1.0, 7, 7), (0.1, 30, 3)])
def test_density_is_read_as_a_decimal(density, size, kept):
    assert kept_count(density, size) == kept  # 0.29 * 100 is 28.999... in binary


def test_a_density_that_keeps_nothing_gives_the_base(save_checkpoint, load_tensors, tmp_path):
    paths = save_checkpoint("base", {"a": torch.zeros(4)}), [save_checkpoint("v", {"a": torch.ones(4)})]
    assert load_tensors(mmbert.merge_ties(*paths, tmp_path / "out", density=0.2))["a"].tolist() == [0, 0, 0, 0]


def test_a_variant_of_weight_zero_neither_votes_nor_counts():
    trimmed = torch.tensor([[1.0, -4.0, 0.0], [-9.0, -2.0, 5.0]])
    merged, votes, undecided = elect_and_average(trimmed, [1.0, 0.0], 1)
    assert (merged.tolist(), votes, undecided.tolist()) == ([1, -4, 0], 0, [])

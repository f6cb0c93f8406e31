"""benchmarks/scaling.py: its arithmetic against numbers computed by hand, real networks, and what they really keep."""

import importlib
import json
import sys
from pathlib import Path

import mmbert
import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, Recipe
from mmbert.modeling.hardware import has_fast_bf16

BENCHMARKS = Path(mmbert.__file__).parent / "benchmarks"
BASE, SMALL = MmBertConfig(), MmBertConfig.small()


@pytest.fixture(scope="module", autouse=True)
def beside_the_scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def costs(beside_the_scripts):
    return importlib.import_module("training_costs")


@pytest.mark.parametrize(("config", "encoder"), [(BASE, 306_939_648), (SMALL, 140_493_696)], ids=["base", "small"])
def test_parameters_are_those_of_the_network(costs, config, encoder):
    head = config.hidden_size**2 + config.hidden_size + config.vocab_size
    assert costs.parameters(config) == encoder + head
    with torch.device("meta"):
        assert costs.parameters(config) == sum(p.numel() for p in MmBertForMaskedLM(config).parameters())


@pytest.mark.parametrize(("config", "matrices"), [(BASE, 110_297_088), (SMALL, 42_172_416)], ids=["base", "small"])
def test_short_text_costs_six_operations_a_weight(costs, config, matrices):
    assert costs.flops_a_token(config, 32, 0.0) == pytest.approx(6 * matrices, rel=0.015)
    # With every token masked, every weight of table and head counts too.
    table = config.hidden_size * (config.hidden_size + config.vocab_size)
    assert costs.flops_a_token(config, 32, 1.0) == pytest.approx(6 * (matrices + table), rel=0.015)


def test_long_text_costs_what_a_pencil_says(costs):
    # small at 8,192 tokens, 5 % masked, forward: matrices; 8 layers that see all keys; 14 that see 129 less the two
    # ends, (8,192 x 129 - 64 x 65) / 8,192 = 128.492 keys a token; dense and decoder of the head. Backward is twice it.
    forward = 84_344_832 + 8 * 4 * 384 * 8192 + 14 * 4 * 384 * 128.4921875 + 0.05 * 2 * 384 * 256_384
    assert forward == pytest.approx(197.6164e6, rel=1e-5)
    assert costs.flops_a_token(SMALL, 8192, 0.05) == pytest.approx(3 * forward, rel=1e-9)


def test_the_published_days_imply_a_share_of_the_peak_and_come_back_from_it(costs):
    # 2.3e12 x 1.108e9 + 6e11 x 1.460e9 + 3e11 x 1.342e9 operations in 40 days on 8 x 989.4 TFLOP/s
    by_hand = (2.3e12 * 1.108e9 + 6e11 * 1.460e9 + 3e11 * 1.342e9) / (40 * 86_400 * 8 * 989.4e12)
    mfu = costs.implied_mfu(BASE, costs.PUBLISHED, costs.H100, 8, 40.0)
    assert mfu == pytest.approx(by_hand, rel=1e-3)
    assert costs.days(BASE, costs.PUBLISHED, costs.H100, 8, mfu) == pytest.approx(40, rel=0.005)


def test_a_step_on_many_gpus_waits_for_gradients_and_moves_all_weights(costs):
    # A ring of 8 over NVLink: 7/8 of 1.231 GB twice, at 70 % of 450 GB/s; between nodes 8 ports of 50 GB/s.
    assert costs.all_reduce_seconds(BASE, costs.H100, 8) == pytest.approx(2 * 7 / 8 * 1.2311e9 / 315e9, rel=1e-3)
    assert costs.all_reduce_seconds(BASE, costs.H100, 256) == pytest.approx(2 * 1.2263e9 / 280e9, rel=1e-3)
    assert costs.all_reduce_seconds(BASE, costs.H100, 1) == 0
    few, many = (costs.step_time(BASE, costs.PUBLISHED[0], costs.H100, n, 0.35) for n in (8, 256))
    assert few.compute == pytest.approx(32 * many.compute)
    assert few.optimizer == many.optimizer
    # 64 % of base's parameters are its table, whose gradient is the last.
    assert many.exposed / costs.all_reduce_seconds(BASE, costs.H100, 256) == pytest.approx(0.639, abs=0.001)


def test_states_are_sixteen_bytes_a_parameter_and_shared_out_by_fsdp(costs):
    held = costs.memory_a_device(BASE, costs.PUBLISHED[0], 1, 8, sharded=False, checkpointing=False)
    states = sum(held[name] for name in costs.STATE_BYTES)
    assert states == 16 * 307_786_240
    shared = costs.memory_a_device(BASE, costs.PUBLISHED[0], 1, 8, sharded=True, checkpointing=False)
    assert sum(shared[name] for name in costs.STATE_BYTES) == states / 8
    assert held["all"] == sum(size for name, size in held.items() if name != "all")


def kept_a_token(layers, **sizes):
    """Bytes a token that the real network keeps for backward under autocast, weights and their bf16 copies apart."""
    model = MmBertForMaskedLM(MmBertConfig(vocab_size=300, num_hidden_layers=layers, **sizes)).train()
    weights = {tuple(sorted(parameter.shape)) for parameter in model.parameters()}  # products keep them turned
    kept = {}

    def pack(tensor):
        if tuple(sorted(tensor.shape)) not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no address is given out twice
        return tensor

    torch.manual_seed(0)  # as many masked positions for every number of layers
    ids = torch.randint(5, 300, (1, 320))
    labels = ids.masked_fill(torch.rand(ids.shape) > 0.3, -100)
    ends = torch.tensor([0, 160, 320], dtype=torch.int32)
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with torch.autocast("cpu", torch.bfloat16), hooks:
        model(ids, labels=labels, cu_seq_lens_q=ends)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()) / ids.numel()


@pytest.mark.parametrize("inner", [192, 384], ids=["base's proportions", "small's"])
def test_a_layer_keeps_the_bytes_that_are_counted(costs, inner):
    sizes = {"hidden_size": 128, "num_attention_heads": 2, "intermediate_size": inner}
    measured = (kept_a_token(5, **sizes) - kept_a_token(2, **sizes)) / 3
    counted = costs.activation_bytes(MmBertConfig(vocab_size=300, **sizes), 0.3)["layer"]
    # Without bf16 instructions another kernel computes the attention, and keeps its scores' normalisers in fp32.
    assert counted == pytest.approx(measured, rel=0.02 if has_fast_bf16(torch.device("cpu")) else 0.07)


def test_a_recipe_brings_its_own_phases(costs, recipe: Recipe):
    stages = costs.stages_of(recipe)
    assert [(s.name, s.tokens, s.context, s.masked, s.rows) for s in stages] == [
        ("pretrain", 4096, 32, 0.3, 16),
        ("midtrain", 4096, 64, 0.15, 8),
        ("decay-eng", 4096, 64, 0.05, 8),
        ("decay-all", 4096, 64, 0.05, 8),
    ]
    assert stages[0].steps == 8


def run_script(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["scaling.py", *map(str, options)])
    importlib.import_module("scaling").main()


def test_the_script_prints_tables_and_writes_json(tmp_path, monkeypatch, capsys):
    run_script(monkeypatch, "--price", 2, "--output", tmp_path)
    printed = capsys.readouterr().out
    assert (tmp_path / "scaling.md").read_text(encoding="utf-8") == printed
    content = json.loads((tmp_path / "scaling.json").read_text(encoding="utf-8"))
    rows = {(row["size"], row["GPUs"], row["speed"]): row for row in content["time"]}
    assert len(rows) == 8
    assert rows["base", 8, "as published"]["days"] == pytest.approx(40, abs=0.2)
    assert rows["small", 8, "as published"]["days"] == pytest.approx(10, abs=0.1)
    row = rows["base", 256, "assumed"]
    hours = row["days"] * 24 * 256
    assert float(row["cost"].replace(",", "")) == pytest.approx(2 * hours, rel=0.01)


@pytest.mark.parametrize("options", [("--mfu", 35), ("--devices", 0), ("--disk-rate", 0)])
def test_bad_options_are_refused_in_words(options, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_script(monkeypatch, *options)
    assert options[0] in capsys.readouterr().err.splitlines()[-1]

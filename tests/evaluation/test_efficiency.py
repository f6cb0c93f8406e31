"""The efficiency benchmark: settings as published, operations counted, fair turns, equal models, peak memory."""

import sys
import time
from dataclasses import replace

import pytest
import torch
from mmbert import MmBertConfig, MmBertModel
from mmbert.evaluation.efficiency import timing as efficiency_timing
from mmbert.evaluation.efficiency.flops import EncoderShape, keys_seen
from mmbert.evaluation.efficiency.measurement import (
    SETTINGS,
    Case,
    Entry,
    Plan,
    Setting,
    fits,
    gemm_rate,
    measure,
    useful_flops,
)
from mmbert.evaluation.efficiency.memory import encoding_peak, measure_peak, peak_in_child
from mmbert.evaluation.efficiency.models import (
    MINILM,
    OURS,
    STOCK,
    XLM_R,
    Builder,
    batch_for,
    computed_in,
    configuration,
    forward,
)
from mmbert.evaluation.efficiency.settings import make_batch
from mmbert.evaluation.efficiency.timing import interleave, with_threads
from torch.utils.flop_counter import FlopCounterMode
from transformers import ModernBertModel

TINY = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 96, "vocab_size": 50}
TINY_BERT = {**TINY, "num_hidden_layers": 2}


# Settings


def test_the_settings_are_the_papers():
    assert {name: setting.longest for name, setting in SETTINGS.items()} == {
        "fixed-512": 512,
        "variable-512": 512,
        "fixed-8192": 8192,
        "variable-8192": 8192,
    }
    assert set(SETTINGS["fixed-512"].lengths()) == {512}
    for name, mean, deviation in (("variable-512", 256, 64), ("variable-8192", 4096, 1024)):
        drawn = torch.tensor(replace(SETTINGS[name], rows=20_000).lengths(), dtype=torch.float64)
        assert abs(drawn.mean() - mean) < 0.02 * mean
        assert abs(drawn.std() - deviation) < 0.05 * deviation
        assert 16 <= drawn.min() and drawn.max() <= SETTINGS[name].longest


def test_lengths_are_clipped_and_depend_on_the_seed_only():
    wild = Setting("wild", 40, rows=500, mean=30, deviation=100)
    assert min(wild.lengths()) == 16 and max(wild.lengths()) == 40
    assert wild.lengths(1) == wild.lengths(1) != wild.lengths(2)


def test_a_batch_is_as_wide_as_its_longest_row():
    batch = make_batch([3, 7, 5], vocab_size=50, pad_id=1)
    assert batch.input_ids.shape == (3, 7)
    assert batch.attention_mask.sum(1).tolist() == [3, 7, 5]
    assert (batch.input_ids[batch.attention_mask == 0] == 1).all()
    assert (batch.input_ids[batch.attention_mask == 1] >= 5).all()
    with pytest.raises(ValueError, match="at least one token"):
        make_batch([3, 0], vocab_size=50)


# The roofline


@pytest.mark.parametrize("half_window", [None, 1, 2, 64])
@pytest.mark.parametrize("length", [1, 2, 3, 63, 64, 65, 66, 129, 130, 200])
def test_keys_seen_by_counting_pairs(length, half_window):
    pairs = [(i, j) for i in range(length) for j in range(length) if half_window is None or abs(i - j) <= half_window]
    assert keys_seen(length, half_window) == len(pairs)


@pytest.mark.parametrize("overrides", [{}, {"local_attention": 8}])
def test_useful_flops_are_those_that_torch_counts_in_the_dense_network(overrides):
    """Where every layer sees everything and nothing is padded, the useful work is all the work."""
    shape_only = {"num_hidden_layers": 3, "global_attn_every_n_layers": 1, **TINY, **overrides}
    stock = configuration(Entry(STOCK, overrides=shape_only))
    stock._attn_implementation = "eager"
    batch = make_batch([40, 40], stock.vocab_size)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        ModernBertModel(stock).eval()(batch.input_ids, batch.attention_mask)
    assert useful_flops(EncoderShape.of(stock), [40, 40]) == counter.get_total_flops()


def test_useful_flops_of_a_bert_network():
    from transformers import XLMRobertaModel

    config = configuration(Entry(XLM_R, overrides=TINY_BERT))
    config._attn_implementation = "eager"
    batch = make_batch([30, 30, 30], config.vocab_size)
    model = XLMRobertaModel(config, add_pooling_layer=False).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(batch.input_ids, batch.attention_mask)
    assert useful_flops(EncoderShape.of(config), [30, 30, 30]) == counter.get_total_flops()


def test_layers_with_a_window_count_its_keys():
    """The difference between windows and whole sequences, by hand for one pattern of layers."""
    config = MmBertConfig(num_hidden_layers=4, **TINY)  # global, local, local, global
    everything = MmBertConfig(num_hidden_layers=4, global_attn_every_n_layers=1, **TINY)
    lengths = [500, 20]
    saved = (
        2 * 4 * TINY["hidden_size"] * sum(max(0, abs(i - j) > 64) for n in lengths for i in range(n) for j in range(n))
    )
    difference = useful_flops(EncoderShape.of(everything), lengths) - useful_flops(EncoderShape.of(config), lengths)
    assert difference == saved


def test_work_of_the_released_base_shape():
    """110,297,088 weights in the matrices of the layers (the released checkpoint), two operations each."""
    one = useful_flops(EncoderShape.of(MmBertConfig()), [1])
    assert one == 2 * 110_297_088 + 22 * 4 * 768


def test_the_gemm_rate_is_that_of_this_processor():
    shape = EncoderShape(64, ((64, 192), (64, 64)), (None,))
    rate = gemm_rate(shape, torch.float32, threads=1, rounds=3)
    left, right = torch.randn(2048, 64), torch.randn(192, 64)
    took = interleave({0: lambda: [torch.nn.functional.linear(left, right) for _ in range(20)]}, rounds=3)[0].median(
        "cpu"
    )
    assert 0.2 < rate / (20 * 2 * 2048 * 64 * 192 / took) < 5


# Time


def test_contestants_run_in_turns_and_the_first_round_is_discarded():
    seen = []
    timings = interleave({name: lambda name=name: seen.append(name) for name in "abc"}, rounds=3)
    assert "".join(seen) == "abc" * 4
    assert {len(timing.cpu) for timing in timings.values()} == {len(timing.wall) for timing in timings.values()} == {3}


def test_a_slow_contestant_has_two_rounds_and_a_quick_one_all():
    calls = {"slow": lambda: time.sleep(0.02), "quick": lambda: None}
    timings = interleave(calls, rounds=5, seconds=0.01)
    assert len(timings["slow"].wall) == 2 and len(timings["quick"].wall) == 5


def test_sleeping_costs_wall_time_and_no_cpu_time():
    timing = interleave({0: lambda: time.sleep(0.05)}, rounds=2)[0]
    assert timing.median("wall") >= 0.05 > 10 * timing.median("cpu")


def test_progress_ends_with_nothing_left():
    told = []
    interleave({0: lambda: time.sleep(0.01)}, rounds=3, tell=lambda spent, left: told.append((spent, left)))
    assert told[0][1] is None and told[-1][1] == 0
    assert 0.01 < told[1][1] < 0.1 and [spent for spent, _ in told] == sorted(spent for spent, _ in told)


def test_threads_are_set_and_put_back(monkeypatch):
    before = torch.get_num_threads()
    monkeypatch.setattr(efficiency_timing.os, "sched_getaffinity", lambda _: set(range(3)))
    with with_threads(3):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="between 1 and the 3 cores"), with_threads(4):
        pass


def test_too_few_rounds_are_refused():
    with pytest.raises(ValueError, match="at least 2 rounds"):
        interleave({0: lambda: None}, rounds=1)


# Models


def test_stock_has_our_weights_and_shares_them():
    builder = Builder()
    ours = builder.build(Entry(OURS, overrides={"num_hidden_layers": 4, **TINY}))
    stock = builder.build(Entry(STOCK, overrides={"num_hidden_layers": 4, **TINY}))
    assert isinstance(ours, MmBertModel) and isinstance(stock, ModernBertModel)
    for name, tensor in ours.state_dict().items():
        assert stock.state_dict()[name].data_ptr() == tensor.data_ptr(), name
    assert not ours.training and not stock.training


def test_networks_that_compute_different_things_are_not_raced(monkeypatch):
    builder, overrides = Builder(), {"num_hidden_layers": 4, **TINY}
    builder.build(Entry(OURS, overrides=overrides))
    forward = ModernBertModel.forward

    def wrong(self, *arguments, **options):
        output = forward(self, *arguments, **options)
        output.last_hidden_state *= 1.01
        return output

    monkeypatch.setattr(ModernBertModel, "forward", wrong)
    with pytest.raises(ValueError, match="their speeds cannot be compared"):
        builder.build(Entry(STOCK, overrides=overrides))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_contestant_is_built_in_its_dtype(dtype):
    for network, size in ((OURS, "small"), (STOCK, "small"), (XLM_R, "base"), (MINILM, "small")):
        model = Builder().build(Entry(network, size, dtype, overrides=TINY_BERT))
        assert {parameter.dtype for parameter in model.parameters()} == {getattr(torch, dtype)}, network


def test_our_int8_has_the_weights_of_the_others():
    builder = Builder()
    between = str(computed_in("int8")).removeprefix("torch.")
    whole, rounded = (builder.build(Entry(OURS, "small", dtype, overrides=TINY_BERT)) for dtype in (between, "int8"))
    batch = batch_for(whole.config, [40])
    found = [forward(model, batch)().float().flatten(0, 1) for model in (whole, rounded)]
    assert torch.nn.functional.cosine_similarity(*found, dim=-1).min() > 0.99
    assert any(type(module).__name__ == "Int8Linear" for module in rounded.modules())


def test_the_peers_have_their_published_shapes():
    shapes = {name: configuration(Entry(*name)) for name in ((XLM_R, "base"), (MINILM, "small"))}
    # Weights of the layers' matrices: 12 x (4 h^2 + 2 h 4h), 84.9 and 21.2 million
    weights = {name: 12 * sum(a * b for a, b in EncoderShape.of(config).products) for name, config in shapes.items()}
    assert weights == {(XLM_R, "base"): 84_934_656, (MINILM, "small"): 21_233_664}
    assert not fits(Case(Entry(XLM_R), SETTINGS["fixed-8192"])) and fits(Case(Entry(XLM_R), SETTINGS["fixed-512"]))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry("bert"), "no network 'bert'"),
        (Entry(XLM_R, "small"), "XLM-R is a base"),
        (Entry(OURS, "large"), "size='large' is none of base, small"),
        (Entry(STOCK, dtype="int8"), "dtype='int8' is none of"),
    ],
)
def test_unknown_contestants_are_refused(entry, message):
    with pytest.raises(ValueError, match=message):
        configuration(entry)


# Measuring


def test_measuring_gives_a_row_for_each_case():
    entries = [Entry(OURS, overrides=TINY_BERT), Entry(STOCK, overrides=TINY_BERT), Entry(XLM_R, overrides=TINY_BERT)]
    ragged = Setting("ragged", 64, rows=3, mean=40, deviation=15)
    rows = measure([Case(entry, ragged) for entry in entries], "ragged", Plan(rounds=2, seconds=1, memory=False))
    assert [row.network for row in rows] == [OURS, STOCK, XLM_R]
    for row in rows:
        assert row.tokens == sum(ragged.lengths()) and row.padded_tokens == 3 * max(ragged.lengths())
        assert row.tokens_per_second == pytest.approx(row.tokens / row.cpu_seconds)
        assert row.roofline == pytest.approx(row.flops / row.cpu_seconds / row.gemm_rate)
        assert row.rounds == 2 and row.peak_total is None
    assert rows[0].flops == rows[1].flops and rows[0].gemm_rate == rows[1].gemm_rate


def test_a_contestant_that_cannot_read_so_far_is_named():
    with pytest.raises(ValueError, match="xlm-r reads at most 512 tokens, fixed-8192 has rows of 8192"):
        measure([Case(Entry(XLM_R), SETTINGS["fixed-8192"])], "fixed-8192", Plan())
    with pytest.raises(ValueError, match="nothing to measure"):
        measure([], "fixed-8192", Plan())


def test_peak_memory_is_what_the_work_takes_for_a_moment():
    """300 MB that are freed again count; 400 MB that were there for a moment before do not."""
    spike = torch.ones(100_000_000)
    del spike
    peak = measure_peak(lambda: torch.ones(75_000_000).sum())
    assert peak.over_weights == pytest.approx(300e6, rel=0.1)
    assert peak.total == peak.before + peak.over_weights


@pytest.mark.slow
def test_a_child_does_not_inherit_the_size_of_its_parent():
    fat = torch.ones(500_000_000)
    code = "from mmbert.evaluation.efficiency.memory import *; print_peak(measure_peak(lambda: bytearray(200_000_000)))"
    peak = peak_in_child([sys.executable, "-c", code])
    assert peak.over_weights == pytest.approx(200e6, rel=0.1) and peak.total < 4 * len(fat)


def test_a_child_that_fails_gives_one_line():
    with pytest.raises(OSError, match=r"^the measurement of memory failed with status 1: ZeroDivisionError"):
        peak_in_child([sys.executable, "-c", "1 / 0"])
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(OSError, match="take fewer rows"):
        peak_in_child([sys.executable, "-c", killed])


@pytest.mark.slow
def test_encoding_more_tokens_takes_more_memory():
    entry = Entry(OURS, overrides={**TINY_BERT, "hidden_size": 256, "num_attention_heads": 4})
    few, many = (encoding_peak(entry, [512] * rows, 1).over_weights for rows in (4, 64))
    assert many > 4 * few > 0

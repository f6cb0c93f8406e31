import json

import pytest
from mmbert import MmBertConfig
from transformers import AutoConfig, ModernBertConfig


def test_defaults_are_those_of_the_released_mmbert_base():
    config = MmBertConfig()
    released = {
        "vocab_size": 256_000,
        "hidden_size": 768,
        "intermediate_size": 1152,
        "num_hidden_layers": 22,
        "num_attention_heads": 12,
        "max_position_embeddings": 8192,
        "local_attention": 128,
        "norm_eps": 1e-5,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 1,
        "mask_token_id": 4,
        "classifier_pooling": "mean",
        "global_rope_theta": 160_000,
        "local_rope_theta": 160_000,
        "model_type": "mmbert",
    }
    assert {name: getattr(config, name) for name in released} == released
    assert [i for i, kind in enumerate(config.layer_types) if kind == "full_attention"] == [0, 3, 6, 9, 12, 15, 18, 21]


def test_small_is_half_as_wide():
    config = MmBertConfig.small(vocab_size=100)
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (384, 6, 1152)
    assert (config.num_hidden_layers, config.vocab_size) == (22, 100)


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 22, 30])
def test_layer_types_follow_the_number_of_layers(layers, tmp_path):
    changed = MmBertConfig()
    changed.num_hidden_layers = layers
    MmBertConfig().save_pretrained(tmp_path)
    loaded = MmBertConfig.from_pretrained(tmp_path, num_hidden_layers=layers)
    expected = ModernBertConfig(num_hidden_layers=layers).layer_types
    assert MmBertConfig(num_hidden_layers=layers).layer_types == changed.layer_types == loaded.layer_types == expected


def test_layer_types_follow_their_period():
    config = MmBertConfig(num_hidden_layers=4, global_attn_every_n_layers=2)
    assert [kind[0] for kind in config.layer_types] == ["f", "s", "f", "s"]
    config.global_attn_every_n_layers = 1
    assert set(config.layer_types) == {"full_attention"}


def test_explicit_layer_types_win_and_no_period_is_claimed_for_them():
    kinds = ["sliding_attention", "full_attention", "full_attention"]
    config = MmBertConfig(num_hidden_layers=3, layer_types=kinds)
    assert config.layer_types == kinds
    assert "global_attn_every_n_layers" not in config.to_dict()
    assert MmBertConfig(**config.to_dict()).layer_types == kinds


def test_saved_file_reads_the_same_in_both_generations_of_transformers(tmp_path):
    MmBertConfig.small(global_rope_theta=20_000.0, local_rope_theta=30_000.0).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    # transformers 4 reads these three, transformers 5 the nested form.
    assert (saved["global_rope_theta"], saved["local_rope_theta"], saved["global_attn_every_n_layers"]) == (2e4, 3e4, 3)
    assert saved["rope_parameters"]["full_attention"]["rope_theta"] == 2e4
    assert saved["rope_parameters"]["sliding_attention"]["rope_theta"] == 3e4
    assert len(saved["layer_types"]) == 22
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is MmBertConfig
    assert (again.global_rope_theta, again.local_rope_theta) == (2e4, 3e4)


def test_theta_can_change_between_phases_and_is_saved(tmp_path):
    config = MmBertConfig(rope_parameters=None)
    config.global_rope_theta = config.local_rope_theta = 10_000
    config.save_pretrained(tmp_path)
    again = MmBertConfig.from_pretrained(tmp_path)
    assert again.rope_parameters["full_attention"]["rope_theta"] == again.local_rope_theta == 10_000
    with pytest.raises(ValueError, match="theta must be positive, got 0"):
        config.global_rope_theta = 0


def test_two_configurations_do_not_share_their_rope_parameters():
    shared = {"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "default"}}
    first, second = MmBertConfig(rope_parameters=shared), MmBertConfig(rope_parameters=shared)
    first.global_rope_theta = 5.0
    assert second.global_rope_theta == 160_000
    assert shared["full_attention"] == {"rope_type": "default"}


@pytest.mark.parametrize(
    "written",
    [
        {},  # nothing said: ModernBERT's defaults, not ours
        {"global_rope_theta": 160_000.0, "local_rope_theta": 160_000.0, "global_attn_every_n_layers": 3},  # released
        {"local_rope_theta": 7.0, "num_hidden_layers": 6, "global_attn_every_n_layers": 2},  # flat, in part
        {"rope_parameters": {"sliding_attention": {"rope_theta": 9.0, "rope_type": "default"}}},  # nested, in part
    ],
)
def test_a_modernbert_file_gives_the_numbers_that_stock_reads_from_it(written, tmp_path, caplog):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "modernbert", **written}))
    ours, stock = MmBertConfig.from_pretrained(tmp_path), ModernBertConfig.from_pretrained(tmp_path)
    for name in ("rope_parameters", "layer_types", "vocab_size", "pad_token_id", "classifier_pooling", "norm_eps"):
        assert getattr(ours, name) == getattr(stock, name), name
    assert ours.model_type == "mmbert"
    assert not caplog.records


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hidden_size": 100}, "hidden_size 100 must be an even multiple of num_attention_heads 12"),
        ({"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be at least 1, got -1"),
        ({"local_attention": 127}, "local_attention must be even and at least 2, got 127"),
        ({"global_attn_every_n_layers": 0}, "global_attn_every_n_layers must be at least 1, got 0"),
    ],
)
def test_impossible_sizes_are_refused_in_one_line(fields, message):
    with pytest.raises(ValueError, match=message) as refused:
        MmBertConfig(**fields)
    assert "\n" not in str(refused.value)

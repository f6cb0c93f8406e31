"""MmBertModel.from_modernbert: stock's numbers from stock's very weights, and what is refused."""

import copy

import pytest
import torch
from mmbert import MmBertModel
from torch import nn
from transformers import AutoModel, ModernBertForMaskedLM, ModernBertModel


@pytest.fixture
def stock(tiny, stock_config):
    """Make a stock model, the encoder or one with a head, in evaluation mode."""

    def make(kind=ModernBertModel, **overrides):
        torch.manual_seed(0)
        model = kind(stock_config(tiny(**overrides))).eval()
        with torch.no_grad():  # biases start at zero, where leaving them out would not show
            for name, parameter in model.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.1)
        return model

    return make


def assert_same_numbers(ours, stock, ids, mask):
    with torch.no_grad():
        found = ours(ids, attention_mask=mask).last_hidden_state
        expected = stock(ids, attention_mask=mask).last_hidden_state
    real = torch.ones_like(ids).bool() if mask is None else mask.bool()
    torch.testing.assert_close(found[real], expected[real], atol=1e-5, rtol=0)
    assert not found[~real].any()


@pytest.mark.parametrize("padding", ["none", "right", "left", "holes"])
def test_numbers_equal_stock(stock, make_batch, padding):
    theirs = stock()
    assert_same_numbers(MmBertModel.from_modernbert(theirs), theirs, *make_batch(150, padding))


@pytest.mark.parametrize(
    "overrides",
    [
        {"norm_bias": True, "attention_bias": True, "mlp_bias": True},
        {"local_rope_theta": 160_000.0, "global_rope_theta": 10_000.0},
        {"layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"]},
        {"local_attention": 16, "num_attention_heads": 4, "norm_eps": 1e-3, "hidden_activation": "silu"},
        {"attn_implementation": "eager"},
    ],
    ids=["biases", "thetas", "layer types", "sizes", "eager"],
)
def test_what_the_configuration_says_comes_along(stock, make_batch, overrides):
    theirs = stock(**overrides)
    ours = MmBertModel.from_modernbert(theirs)
    assert_same_numbers(ours, theirs, *make_batch(150, "right"))
    for name in ("layer_types", "rope_parameters", "local_attention", "pad_token_id", "max_position_embeddings"):
        assert getattr(ours.config, name) == getattr(theirs.config, name)
    assert ours.config._attn_implementation == theirs.config._attn_implementation


def test_no_weight_is_copied(stock):
    theirs = stock()
    ours = MmBertModel.from_modernbert(theirs)
    named = dict(theirs.named_parameters())
    assert [name for name, _ in ours.named_parameters()] == list(named)
    assert all(parameter is named[name] for name, parameter in ours.named_parameters())
    assert not any(buffer.is_meta for buffer in ours.buffers())


def test_an_optimizer_step_through_ours_changes_stock(stock, make_batch):
    theirs = stock()
    ours = MmBertModel.from_modernbert(theirs)
    ids, mask = make_batch(30, "right")
    before = copy.deepcopy(theirs)
    ours(ids, mask).last_hidden_state.square().mean().backward()
    torch.optim.Adam(ours.parameters(), lr=0.01).step()
    for old, new in zip(before.parameters(), theirs.parameters(), strict=True):
        assert not torch.equal(old, new)
    assert_same_numbers(ours, theirs, ids, mask)


def test_a_cast_of_one_is_seen_by_the_other(stock, make_batch):
    theirs = stock().to(torch.bfloat16)
    ours = MmBertModel.from_modernbert(theirs)
    assert ours.dtype == torch.bfloat16
    ours.float()
    assert theirs.embeddings.tok_embeddings.weight.dtype == torch.float32


def test_mode_frozen_weights_and_dropout_come_along(stock):
    theirs = stock(attention_dropout=0.2, mlp_dropout=0.3, embedding_dropout=0.1).train()
    theirs.embeddings.requires_grad_(False)
    ours = MmBertModel.from_modernbert(theirs)
    assert ours.training and ours.layers[0].mlp.drop.training and ours.layers[0].attn.dropout == 0.2
    assert (ours.layers[1].mlp.drop.p, ours.embeddings.drop.p) == (0.3, 0.1)
    assert not ours.embeddings.tok_embeddings.weight.requires_grad and ours.final_norm.weight.requires_grad
    ours.eval()
    assert theirs.training and theirs.layers[0].mlp.drop.training
    assert not MmBertModel.from_modernbert(theirs.eval()).training


def test_checkpointing_comes_along(stock, make_batch):
    theirs = stock().train()
    getattr(theirs, "activation_checkpointing_enable", theirs.gradient_checkpointing_enable)()
    ours = MmBertModel.from_modernbert(theirs)
    assert all(layer.gradient_checkpointing for layer in ours.layers) and ours.gradient_checkpointing
    ours(make_batch(20, "right")[0]).last_hidden_state.sum().backward()
    assert ours.layers[0].mlp.Wi.weight.grad is not None


@pytest.mark.parametrize(
    "theirs, taken", [("sdpa", "sdpa"), ("eager", "eager"), ("flash_attention_2", "flash_attention_2")]
)
def test_known_attention_stays(stock, caplog, theirs, taken):
    model = stock()
    model.config._attn_implementation = theirs
    assert MmBertModel.from_modernbert(model).config._attn_implementation == taken and not caplog.records


def test_unknown_attention_becomes_sdpa_with_a_warning(stock, caplog):
    model = stock()
    model.config._attn_implementation = "flex_attention"
    assert MmBertModel.from_modernbert(model).config._attn_implementation == "sdpa"
    assert "flex_attention" in caplog.text


def test_saved_and_loaded_it_is_the_same_model(stock, make_batch, tmp_path):
    theirs = stock(norm_bias=True)
    MmBertModel.from_modernbert(theirs).save_pretrained(tmp_path)
    again = AutoModel.from_pretrained(tmp_path).eval()
    assert type(again) is MmBertModel and again.config.model_type == "mmbert"
    assert_same_numbers(again, theirs, *make_batch(150, "right"))


def test_layers_cut_off_the_end_and_added_tokens_come_along(stock, make_batch):
    theirs = stock()
    theirs.layers = theirs.layers[:3]
    theirs.resize_token_embeddings(128)
    ours = MmBertModel.from_modernbert(theirs)
    assert (ours.config.num_hidden_layers, ours.config.vocab_size, len(ours.config.layer_types)) == (3, 128, 3)
    assert_same_numbers(ours, theirs, *make_batch(100, "right"))
    ours(torch.tensor([[127]]))


def test_ours_is_returned_as_it_is(stock):
    model = stock(ModernBertForMaskedLM)
    model.model = MmBertModel.from_modernbert(model)
    assert MmBertModel.from_modernbert(model) is model.model
    assert MmBertModel.from_modernbert(model.model) is model.model


def test_a_subclass_gets_its_own_kind(stock):
    class Special(MmBertModel):
        pass

    assert type(Special.from_modernbert(stock())) is Special


def test_weights_elsewhere_are_refused(stock, stock_config, tiny):
    with torch.device("meta"):
        empty = ModernBertModel(stock_config(tiny()))
    with pytest.raises(ValueError, match="on meta; load the model on one device"):
        MmBertModel.from_modernbert(empty)
    spread = stock()
    spread.layers[2].to("meta")
    with pytest.raises(ValueError, match="on cpu, meta"):
        MmBertModel.from_modernbert(spread)


def test_a_replaced_forward_is_refused(stock):
    class Other(ModernBertModel):
        def forward(self, *args, **kwargs):
            return super().forward(*args, **kwargs)

    patched = stock()
    patched.forward = patched.forward
    for model in (stock(Other), patched):
        with pytest.raises(ValueError, match="forward"):
            MmBertModel.from_modernbert(model)


def test_weights_that_the_network_has_no_place_for_are_refused(stock):
    with_extra, headless = stock(), stock()
    with_extra.layers[1].adapter = nn.Linear(128, 128)
    headless.layers = headless.layers[1:]  # its first layer now normalises, which ours cannot
    for model, name in ((with_extra, "layers.1.adapter.weight"), (headless, "layers.0.attn_norm.weight")):
        with pytest.raises(ValueError, match=name):
            MmBertModel.from_modernbert(model)


def test_a_configuration_that_stock_no_longer_reads_is_refused(stock):
    theta, window = stock(), stock()
    theta.config.rope_parameters["full_attention"]["rope_theta"] = 10_000.0
    window.config.local_attention = 64
    for model, said in ((theta, "rope_parameters of full_attention"), (window, "local_attention was changed to 64")):
        with pytest.raises(ValueError, match=said):
            MmBertModel.from_modernbert(model)

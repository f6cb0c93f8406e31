"""Parameter counts to the unit, and the starting values of full-megatron initialisation."""

import math

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM, MmBertForSequenceClassification, MmBertModel
from torch import nn


@pytest.mark.parametrize(
    ("config", "encoder", "masked_lm"),
    [
        (MmBertConfig, 306_939_648, 307_786_240),
        (MmBertConfig.small, 140_493_696, 140_897_536),
    ],
)
def test_parameters_are_those_of_the_released_checkpoints(config, encoder, masked_lm):
    with torch.device("meta"):
        for model, expected in ((MmBertModel, encoder), (MmBertForMaskedLM, masked_lm)):
            assert sum(parameter.numel() for parameter in model(config()).parameters()) == expected


# Standard deviation of a standard normal that is cut at two standard deviations.
CUT = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


@pytest.fixture(scope="module")
def fresh():
    torch.manual_seed(0)
    return MmBertForMaskedLM(MmBertConfig.small(vocab_size=5000, num_hidden_layers=8))


@pytest.mark.parametrize(
    ("ending", "std"),
    [
        ("tok_embeddings.weight", 0.02),
        ("attn.Wqkv.weight", 0.02),
        ("mlp.Wi.weight", 0.02),
        ("head.dense.weight", 0.02),
        ("attn.Wo.weight", 0.02 / math.sqrt(2 * 8)),
        ("mlp.Wo.weight", 0.02 / math.sqrt(2 * 8)),
    ],
)
def test_weights_are_cut_normal(fresh, ending, std):
    weights = [parameter for name, parameter in fresh.named_parameters() if name.endswith(ending)]
    assert weights
    for weight in weights:
        assert weight.std().item() == pytest.approx(std * CUT, rel=0.01)
        assert abs(weight.mean().item()) < std / 100
        assert 1.95 * std < weight.abs().max().item() <= 2 * std
    # A standardised fourth moment of 2.36 tells a normal cut at two from a plain one (3) and from a uniform one (1.8).
    flat = torch.cat([weight.flatten() for weight in weights])
    assert (flat**4).mean().item() / flat.var().item() ** 2 == pytest.approx(2.36, rel=0.02)


def test_norms_start_at_one_and_biases_at_zero(fresh):
    for module in fresh.modules():
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all() and module.bias is None
    assert not fresh.decoder.bias.any()


def test_classifier_and_untied_decoder_start_at_one_over_root_of_the_width():
    config = MmBertConfig.small(vocab_size=2000, num_hidden_layers=1, num_labels=300, tie_word_embeddings=False)
    for layer in (MmBertForSequenceClassification(config).classifier, MmBertForMaskedLM(config).decoder):
        assert layer.weight.std().item() == pytest.approx(384**-0.5 * CUT, rel=0.02)
        assert not layer.bias.any()


def test_decoder_is_the_embedding_table(fresh):
    assert fresh.decoder.weight is fresh.model.embeddings.tok_embeddings.weight
    fresh.resize_token_embeddings(5100)
    assert fresh.decoder.weight is fresh.model.embeddings.tok_embeddings.weight
    assert fresh.decoder.bias.shape == (5100,)


def test_the_same_seed_gives_the_same_weights(tiny):
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(MmBertForMaskedLM(tiny()).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

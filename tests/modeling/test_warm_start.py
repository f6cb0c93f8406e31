"""Networks made from others of another size: place by place, in size of numbers, and in what they compute."""

import pytest
import torch
from mmbert import MmBertConfig, MmBertForMaskedLM
from mmbert.modeling import initialise_from
from mmbert.modeling.resize import source_layers

HEAD = 4  # channels of a head
# The proportions of base; layers 0 and 3 are global.
BASE = {
    "vocab_size": 60,
    "hidden_size": 12 * HEAD,
    "num_attention_heads": 12,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "initializer_range": 0.05,
}
SMALL = {**BASE, "hidden_size": 6 * HEAD, "num_attention_heads": 6}


@pytest.fixture(scope="module")
def make():
    """Make a network whose every tensor is told from every other, norms and biases included."""

    def build(sizes, **overrides):
        torch.manual_seed(3)
        model = MmBertForMaskedLM(MmBertConfig(**{**sizes, **overrides})).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 1:
                    parameter.add_(0.1 * torch.randn_like(parameter))
                if "Wo" in name:
                    parameter.mul_(3.0)
        return model

    return build


def sampled_by_hand(base, every):
    """Copy weights number by number, as the scheme says: channels, heads and inner places 0, every, 2 * every, ..."""
    width, heads, inner = base.hidden_size // every, base.num_attention_heads // every, base.intermediate_size
    root = every**0.5

    def qkv_row(row):
        part, rest = divmod(row, heads * HEAD)
        head, channel = divmod(rest, HEAD)
        return part * base.hidden_size + head * every * HEAD + channel

    def head_column(column):
        head, channel = divmod(column, HEAD)
        return head * every * HEAD + channel

    def strided(place):
        return place * every

    def same(place):
        return place

    rules = {
        "attn.Wqkv.weight": (qkv_row, strided, (3 * width, width), root),
        "attn.Wo.weight": (strided, head_column, (width, width), root),
        "mlp.Wi.weight": (same, strided, (2 * inner, width), root),
        "mlp.Wo.weight": (strided, same, (width, inner), 1.0),
        "head.dense.weight": (strided, strided, (width, width), root),
        "tok_embeddings.weight": (same, strided, (base.vocab_size, width), 1.0),
        "decoder.weight": (same, strided, (base.vocab_size, width), 1.0),
        "decoder.bias": (same, None, (base.vocab_size,), 1.0),
        "head.norm.weight": (strided, None, (width,), root),
        "norm.weight": (strided, None, (width,), 1.0),
    }

    def copy(name, weights):
        row_of, column_of, shape, factor = next(rule for end, rule in rules.items() if name.endswith(end))
        values = weights.tolist()
        if column_of is None:
            return torch.tensor([values[row_of(i)] * factor for i in range(shape[0])])
        return torch.tensor(
            [[values[row_of(i)][column_of(j)] * factor for j in range(shape[1])] for i in range(shape[0])]
        )

    return copy


@pytest.mark.parametrize("every", [2, 3])
def test_every_number_comes_from_its_place(make, every):
    source = make(BASE)
    config = MmBertConfig(**{**BASE, "hidden_size": 12 * HEAD // every, "num_attention_heads": 12 // every})
    target = initialise_from(source, config)
    copy = sampled_by_hand(source.config, every)
    weights, found = source.state_dict(), target.state_dict()
    assert set(found) == set(weights)
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, copy(name, weights[name]), rtol=1e-6, atol=0, msg=name)
    assert target.decoder.weight is target.model.embeddings.tok_embeddings.weight


def test_a_fused_gate_keeps_its_halves_apart(make):
    source = make(BASE)
    target = initialise_from(source, MmBertConfig(**{**BASE, "intermediate_size": 24}), exponent=0)
    value, gate = source.model.layers[1].mlp.Wi.weight.chunk(2)
    assert torch.equal(target.model.layers[1].mlp.Wi.weight, torch.cat([value[::2], gate[::2]]))
    assert torch.equal(target.model.layers[1].mlp.Wo.weight, source.model.layers[1].mlp.Wo.weight[:, ::2])


def test_the_released_sizes_fit():
    with torch.device("meta"):
        source = MmBertForMaskedLM(MmBertConfig(vocab_size=100, num_hidden_layers=4))
    small = MmBertConfig.small(vocab_size=100, num_hidden_layers=4)
    assert source_layers(MmBertConfig(), MmBertConfig.small()) == list(range(22))
    source = source.to_empty(device="cpu")
    target = initialise_from(source, small)
    expected = MmBertForMaskedLM(small).state_dict()
    assert {name: tensor.shape for name, tensor in target.state_dict().items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }


def stream_spreads(model, ids):
    """Standard deviation of the stream before each layer and at the end."""
    with torch.no_grad():
        states = model(ids, output_hidden_states=True).hidden_states
    return torch.stack([state.std() for state in states])


def test_numbers_keep_their_size_from_layer_to_layer(make):
    # Weights so large that what the layers write, not the embeddings, makes up the stream: it grows twelvefold.
    sizes = {**BASE, "hidden_size": 192, "intermediate_size": 192, "num_hidden_layers": 7, "initializer_range": 0.15}
    source = make(sizes)
    ids = torch.randint(5, 60, (4, 40), generator=torch.Generator().manual_seed(0))
    config = MmBertConfig(**{**sizes, "hidden_size": 96, "num_attention_heads": 6})
    target = initialise_from(source, config).eval()
    ratios = stream_spreads(target, ids) / stream_spreads(source, ids)
    assert ((ratios > 0.93) & (ratios < 1.07)).all(), ratios
    for exponent, expected in ((0.0, 0.5), (1.0, 2.0)):  # each layer then writes half as much, or twice
        other = initialise_from(source, config, exponent=exponent).eval()
        torch.testing.assert_close(
            (stream_spreads(other, ids) / stream_spreads(source, ids))[1:-1],
            torch.full((6,), expected),
            rtol=0.15,
            atol=0,
        )
    # Weights that read the width are larger by the root of two, all others as they were.
    for layer, other in zip(source.model.layers, target.model.layers, strict=True):
        for name, factor in {"attn.Wqkv": 2**0.5, "attn.Wo": 2**0.5, "mlp.Wi": 2**0.5, "mlp.Wo": 1.0}.items():
            ratio = other.get_submodule(name).weight.std() / layer.get_submodule(name).weight.std()
            assert ratio.item() == pytest.approx(factor, rel=0.05), name


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_a_larger_network_begins_as_the_smaller_one(make, times, tied):
    source = make(SMALL, tie_word_embeddings=tied)
    width, heads, inner = (times * SMALL[name] for name in ("hidden_size", "num_attention_heads", "intermediate_size"))
    sizes = {"hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner}
    target = initialise_from(source, MmBertConfig(**{**SMALL, **sizes, "tie_word_embeddings": tied})).eval()
    ids = torch.randint(5, 60, (3, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(target(ids).logits, source(ids).logits, rtol=1e-4, atol=1e-4)


def test_what_was_tiled_is_sampled_back(make):
    source = make(SMALL)
    config = MmBertConfig(**{**BASE, "intermediate_size": 2 * SMALL["intermediate_size"]})
    large = initialise_from(source, config, unevenness=0)
    back = initialise_from(large, source.config, exponent=1)
    for name, tensor in back.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name]), name


def differing_copies(model):
    """Mean difference between the two copies of the embeddings' channels."""
    table = model.model.embeddings.tok_embeddings.weight
    return (table[:, ::2] - table[:, 1::2]).abs().mean().item()


@pytest.mark.parametrize(("unevenness", "part"), [(0.0, False), (0.1, True)])
def test_copies_part_in_training_only_if_they_are_uneven(make, unevenness, part):
    model = initialise_from(make(SMALL), MmBertConfig(**BASE), unevenness=unevenness)
    assert differing_copies(model) == 0
    ids = torch.randint(5, 60, (4, 20), generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(5):
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert (differing_copies(model) > 1e-4) == part


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (4, 4, [0, 1, 2, 3]),
        (4, 7, [0, 1, 1, 3, 2, 2, 3]),
        (7, 4, [0, 2, 4, 6]),
        (
            22,
            28,
            [0, 1, 2, 3, 4, 4, 6, 5, 6 + 1, 6, 8, 8, 9, 10, 11, 12, 13, 13, 15, 14, 16, 15, 17, 17, 18, 19, 20, 21],
        ),
    ],
)
def test_layers_come_from_the_nearest_of_their_kind(source, target, expected):
    kinds = [MmBertConfig(num_hidden_layers=number).layer_types for number in (source, target)]
    found = source_layers(*(MmBertConfig(num_hidden_layers=number) for number in (source, target)))
    assert found[0] == 0 and 0 not in found[1:]
    assert [kinds[0][layer] for layer in found] == kinds[1]
    for index, layer in enumerate(found[1:], start=1):
        ideal = index * (source - 1) / (target - 1)
        nearest = min(abs(other - ideal) for other in range(1, source) if kinds[0][other] == kinds[1][index])
        assert abs(layer - ideal) == nearest
    if source < 10:
        assert found == expected


def test_depth_changes_what_layers_write(make):
    source = make(BASE)
    deeper = initialise_from(source, MmBertConfig(**{**BASE, "num_hidden_layers": 16}))
    for index, origin in enumerate(source_layers(source.config, deeper.config)):
        one, other = source.model.layers[origin], deeper.model.layers[index]
        torch.testing.assert_close(other.mlp.Wo.weight, one.mlp.Wo.weight / 2)
        assert torch.equal(other.attn.Wqkv.weight, one.attn.Wqkv.weight)
    # Only one global layer in the source: its copy deeper down needs the norm that the first layer lacks.
    shallow = initialise_from(make(BASE, num_hidden_layers=2), MmBertConfig(**BASE))
    assert (shallow.model.layers[3].attn_norm.weight == 1).all()


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"hidden_size": 32, "num_attention_heads": 8}, {}, "hidden_size 32 neither divides the source's 48 nor"),
        ({"intermediate_size": 30}, {}, "intermediate_size 30 neither divides"),
        ({"num_attention_heads": 6}, {}, "channels of a head is 8, the source has 4"),
        ({"vocab_size": 61}, {}, "vocab_size is 61, the source has 60"),
        ({"attention_bias": True}, {}, "attention_bias is True"),
        ({"tie_word_embeddings": False}, {}, "tie_word_embeddings is False"),
        ({"global_attn_every_n_layers": 1}, {}, ""),
        ({}, {"exponent": 2}, r"exponent 2 must lie in \[0, 1\]"),
        ({}, {"unevenness": 1}, "unevenness 1 in"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(make, changes, options, message):
    source = make(BASE)
    config = MmBertConfig(**{**BASE, **changes})
    if not message:  # all layers may come from global ones, but not from layers that are not there
        initialise_from(source, config)
        source, config, message = make(BASE, num_hidden_layers=1), source.config, "is sliding_attention, and the source"
    with pytest.raises(ValueError, match=message) as refused:
        initialise_from(source, config, **options)
    assert "\n" not in str(refused.value)

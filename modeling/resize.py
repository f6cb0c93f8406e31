"""Weights for a network of another size out of a trained one: smaller by strided sampling, larger by tiling.

mmBERT-small did not start at random: its weights were sampled from mmBERT-base (arXiv 2509.06888 section 3.1; by which
scheme was not published). ModernBERT-large was tiled from ModernBERT-base.

Which place goes where: along every axis target place i takes source place floor(i * source / target). Going down by k
that is every k-th place, 0, k, 2k, ... (strided sampling); going up by k each place stands k times side by side
(tiling), so that sampling undoes it. Only whole ratios are taken: with others some channels would count more than
others. ModernBERT-large centres its copies instead; as long as the whole network agrees, the order of channels means
nothing.

    hidden_size          place by place: 768 -> 384 keeps channels 0, 2, 4, ..., 766
    num_attention_heads  whole heads with all their channels, RoPE rotates pairs of them: 12 -> 6 keeps 0, 2, ..., 10;
                         Wqkv's rows are (3, heads, channels of a head), Wo's columns (heads, channels of a head)
    intermediate_size    place by place, the same in both halves of Wi; the 1,152 of both released sizes are kept whole
    num_hidden_layers    layer i takes the layer nearest to i * (source - 1) / (target - 1) among those of its kind,
                         global or local (as Gopher's warm start does where all layers are of one kind)

How numbers change: what reads an axis that became shorter by k (Wqkv, Wi, head and decoder along the width, Wo along
the heads) sums over 1/k of the terms, so its weights are multiplied by k ** `exponent`. With 0.5 the stream of a random
network keeps its spread in every layer within 3 %, where 0 halves it. A network of four layers and 128 channels,
trained on 130,000 tokens of four languages and halved (tests/modeling/test_warm_start_learns.py), has a held-out loss

                     at once    after 30 steps
    exponent 0.5      6.50       6.43
    exponent 0        6.69       6.44
    fresh weights     7.63       6.86

Scaling each matrix by what it needs to have the source's norm on text gave no more.

Going up by k, what reads k equal copies takes 1/k from each: with as many layers the larger network computes what the
smaller one did, to rounding. Equal copies with equal readers would get equal gradients and stay equal for ever, so the
copies' parts are made uneven, at random, with the same sum.

A tied decoder cannot be scaled without its embeddings: the norm before it is scaled instead. Where depth changes, what
writes to the stream is multiplied by sqrt(source layers / target layers), as full-megatron's starting values are, so
that the stream ends with the variance it had.
"""

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from .configuration_mmbert import MmBertConfig
from .modeling_mmbert import MmBertForMaskedLM

_EQUAL_FIELDS = (
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "norm_bias",
    "classifier_bias",
    "decoder_bias",
    "hidden_activation",
    "classifier_activation",
)
_READERS = ("attn.Wqkv.weight", "attn.Wo.weight", "mlp.Wi.weight", "mlp.Wo.weight", "head.dense.weight")
_WRITERS = ("attn.Wo.weight", "attn.Wo.bias", "mlp.Wo.weight", "mlp.Wo.bias")
_LAYER = re.compile(r"(?<=layers\.)\d+")


@torch.no_grad()
def initialise_from(
    source_model: MmBertForMaskedLM,
    config: MmBertConfig,
    *,
    exponent: float = 0.5,
    unevenness: float = 0.1,
    seed: int = 21,
) -> MmBertForMaskedLM:
    """Make a network of another size out of the weights of a trained one.

    Args:
        source_model: The trained network; it is not changed.
        config: The new network. Width, heads and inner width are equal to, whole fractions of or whole multiples of
            the source's; vocabulary, channels of a head, biases and activations are the source's. Depth is free.
        exponent: Going down by k, reading weights are multiplied by k ** exponent: 0.5 if the channels are about
            independent, 1 if they are copies of each other, as after tiling.
        unevenness: Going up by k, the standard deviation of a copy's part, relative to 1/k; with 0 the copies never
            part in training.
        seed: Decides the uneven parts.

    Returns:
        The network, fp32, in training mode.

    Raises:
        ValueError: If the two do not fit, or an option is out of range; the message names the field.
    """
    if not 0 <= exponent <= 1 or not 0 <= unevenness < 1:
        raise ValueError(f"exponent {exponent} must lie in [0, 1] and unevenness {unevenness} in [0, 1)")
    maps = axis_maps(source_model.config, config)
    layers = source_layers(source_model.config, config)
    weights = source_model.state_dict()
    target = MmBertForMaskedLM(config)
    draw = torch.Generator().manual_seed(seed)
    depth = math.sqrt(source_model.config.num_hidden_layers / config.num_hidden_layers)
    filled: dict[str, Tensor] = {}
    for name, start in target.state_dict().items():
        kind = next(ending for ending in maps if name.endswith(ending))
        place = _LAYER.search(name)
        origin = name if place is None else _LAYER.sub(str(layers[int(place[0])]), name)
        if origin not in weights:  # the norm that the first layer lacks, where it had to serve a later one
            filled[name] = start
            continue
        tensor = _taken(weights[origin].detach().float().cpu(), maps[kind])
        if kind in _READERS or (kind == "decoder.weight" and not config.tie_word_embeddings):
            tensor = _rescaled(tensor, maps[kind][1], exponent, unevenness, draw)
        if name.startswith("head.norm.") and config.tie_word_embeddings:
            tensor = _rescaled(tensor, maps[kind][0], exponent, 0.0, draw)
        filled[name] = tensor * depth if kind in _WRITERS else tensor
    target.load_state_dict(filled)
    return target


@dataclass(frozen=True, slots=True)
class AxisMap:
    """One axis of a tensor."""

    places: Tensor  # (target,) source place of each target place
    shrink: int = 1  # source places for each target place, if the axis becomes shorter; else 1
    copies: int = 1  # target places for each source place, if it becomes longer; else 1
    apart: int = 1  # how far the copies of a place lie apart

    @classmethod
    def between(cls, name: str, source: int, target: int) -> "AxisMap":
        """Map places of an axis of length `source` to one of length `target`, one by one."""
        if source % target and target % source:
            raise ValueError(
                f"{name} {target} neither divides the source's {source} nor is a multiple of it; "
                f"take {max(1, source // 2)}, {source} or {2 * source}"
            )
        places = torch.arange(target) * source // target
        return cls(places, max(1, source // target), max(1, target // source))

    def of_blocks(self, size: int) -> "AxisMap":
        """Map blocks of `size` places as a whole, as this map maps single ones."""
        places = self.places[:, None] * size + torch.arange(size)
        return AxisMap(places.flatten(), self.shrink, self.copies, apart=size)

    def stacked(self, times: int, source: int) -> "AxisMap":
        """Map an axis that holds `times` such axes of `source` places one after the other."""
        places = torch.arange(times)[:, None] * source + self.places
        return AxisMap(places.flatten(), self.shrink, self.copies, self.apart)


def axis_maps(source: MmBertConfig, target: MmBertConfig) -> dict[str, tuple[AxisMap, ...]]:
    """Axes of every kind of tensor, output first, by the ending of its name."""
    channels = source.hidden_size // source.num_attention_heads
    for name, one, other in (
        ("vocab_size", source.vocab_size, target.vocab_size),
        ("channels of a head", channels, target.hidden_size // target.num_attention_heads),
        *((field, getattr(source, field), getattr(target, field)) for field in _EQUAL_FIELDS),
    ):
        if one != other:
            raise ValueError(f"{name} is {other}, the source has {one}; a warm start cannot change it")
    width = AxisMap.between("hidden_size", source.hidden_size, target.hidden_size)
    heads = AxisMap.between("num_attention_heads", source.num_attention_heads, target.num_attention_heads)
    inner = AxisMap.between("intermediate_size", source.intermediate_size, target.intermediate_size)
    mixed = heads.of_blocks(channels)
    asked, gated = mixed.stacked(3, source.hidden_size), inner.stacked(2, source.intermediate_size)
    words = AxisMap(torch.arange(source.vocab_size))
    return {
        "tok_embeddings.weight": (words, width),
        "attn.Wqkv.weight": (asked, width),
        "attn.Wqkv.bias": (asked,),
        "attn.Wo.weight": (width, mixed),
        "attn.Wo.bias": (width,),
        "mlp.Wi.weight": (gated, width),
        "mlp.Wi.bias": (gated,),
        "mlp.Wo.weight": (width, inner),
        "mlp.Wo.bias": (width,),
        "head.dense.weight": (width, width),
        "head.dense.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "decoder.weight": (words, width),
        "decoder.bias": (words,),
    }


def source_layers(source: MmBertConfig, target: MmBertConfig) -> list[int]:
    """Say from which layer of the source each layer of the target comes.

    The first layer goes to the first only, as it alone has no norm before attention, unless it is the only one of its
    kind.
    """
    kinds = source.layer_types or []
    stride = (source.num_hidden_layers - 1) / max(1, target.num_hidden_layers - 1)
    found = [0]
    for index, kind in enumerate((target.layer_types or [])[1:], start=1):
        alike = [layer for layer, other in enumerate(kinds) if other == kind]
        if not alike:
            raise ValueError(f"layer {index} is {kind}, and the source has no such layer; change layer_types")
        # Of two that are equally near the later one.
        found.append(
            min([layer for layer in alike if layer] or alike, key=lambda layer: (abs(layer - index * stride), -layer))
        )
    return found


def _taken(tensor: Tensor, axes: tuple[AxisMap, ...]) -> Tensor:
    for number, axis in enumerate(axes):
        tensor = tensor.index_select(number, axis.places)
    return tensor


def _rescaled(tensor: Tensor, axis: AxisMap, exponent: float, unevenness: float, draw: torch.Generator) -> Tensor:
    """Make up for the terms that the last axis lost, or share each among its copies."""
    if axis.copies == 1:
        return tensor * math.pow(axis.shrink, exponent)
    parts = torch.randn(
        *tensor.shape[:-1], len(axis.places) // (axis.copies * axis.apart), axis.copies, axis.apart, generator=draw
    )
    parts = 1 + unevenness * (parts - parts.mean(-2, keepdim=True))
    return tensor * parts.flatten(-3) / axis.copies


__all__ = ["initialise_from"]

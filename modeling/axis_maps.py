"""Which channel, head and layer of one network stand where in another of other sizes: the index scheme of warm starts.

Along every axis target place i takes source place floor(i * source / target). Going down by k that is every k-th place,
0, k, 2k, ... (strided sampling); going up by k each place stands k times side by side (tiling), so that sampling undoes
it. Only whole ratios are taken: with others some channels would count more than others. ModernBERT-large centres its
copies instead; as long as the whole network agrees, the order of channels means nothing, and here it is the one that
can be undone.

    hidden_size          place by place: 768 -> 384 keeps channels 0, 2, 4, ..., 766
    num_attention_heads  whole heads with all their channels, RoPE turns pairs of them: 12 -> 6 keeps 0, 2, ..., 10;
                         Wqkv's rows are (3, heads, channels of a head), Wo's columns (heads, channels of a head)
    intermediate_size    place by place, the same in both halves of Wi; the 1,152 of both released sizes are kept whole
    num_hidden_layers    layer i takes the layer nearest to i * (source - 1) / (target - 1) among those of its kind,
                         global or local (as Gopher's warm start does where all layers are of one kind)

Head dimension and vocabulary must be equal.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .configuration_mmbert import MmBertConfig


@dataclass(frozen=True, slots=True)
class AxisMap:
    """One axis of a tensor.

    Attributes:
        places: (target,) the source place of each target place.
        shrink: Source places for each target place, if the axis becomes shorter; else 1.
        copies: Target places for each source place, if it becomes longer; else 1.
        apart: How far the copies of a place lie apart.
    """

    places: Tensor
    shrink: int = 1
    copies: int = 1
    apart: int = 1

    @classmethod
    def between(cls, name: str, source: int, target: int) -> "AxisMap":
        """Map places one by one.

        Args:
            name: What is counted, for the message.
            source: Length in the source.
            target: Length in the target.

        Returns:
            The map.

        Raises:
            ValueError: If neither length divides the other.
        """
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
    """Map the axes of every kind of tensor.

    Args:
        source: Configuration of the network that has weights.
        target: Of the network that shall get them.

    Returns:
        By the ending of a tensor's name: its axes, output first.

    Raises:
        ValueError: If the two do not fit; the message names the field.
    """
    channels = source.hidden_size // source.num_attention_heads
    for name, one, other in (
        ("vocab_size", source.vocab_size, target.vocab_size),
        ("channels of a head", channels, target.hidden_size // target.num_attention_heads),
        *((field, getattr(source, field), getattr(target, field)) for field in _EQUAL),
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


_EQUAL = (
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
    "norm_bias",
    "classifier_bias",
    "decoder_bias",
    "hidden_activation",
    "classifier_activation",
)


def source_layers(source: MmBertConfig, target: MmBertConfig) -> list[int]:
    """Say from which layer of the source each layer of the target comes.

    The first layer goes to the first only, as it alone has no norm before attention, unless it is the only one of its
    kind.

    Args:
        source: Configuration of the network that has weights.
        target: Of the network that shall get them.

    Returns:
        One source layer for each target layer.

    Raises:
        ValueError: If the source has no layer of a kind that the target has.
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

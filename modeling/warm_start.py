"""Weights for a network of another size out of a trained one: smaller by strided sampling, larger by tiling.

mmBERT-small did not start at random: its weights were sampled from mmBERT-base (arXiv 2509.06888 section 3.1; by which
scheme was not published). ModernBERT-large was tiled from ModernBERT-base. Which place goes where is told in
`axis_maps.py`; here is by how much numbers change.

Whatever reads an axis that became shorter by k (Wqkv, Wi, head and decoder along the width, Wo along the heads) sums
over 1/k of the terms. Of independent terms the sum shrinks by the root of k, of equal ones by k; its weights are
multiplied by k ** `exponent`, 0.5 unless said otherwise: the stream of a random network then keeps its spread in every
layer within 3 %, where 0 halves it. A network of four layers and 128 channels, trained on 130,000 tokens of four
languages and halved (tests/modeling/test_warm_start_learns.py), has a held-out loss

                     at once    after 30 steps
    exponent 0.5      6.50       6.43
    exponent 0        6.69       6.44
    fresh weights     7.63       6.86

Scaling each matrix by what it needs to have the source's norm on text was tried too, on another network: factors of 1.0
to 3.4, and after 10 and 40 steps 7.32 and 6.94, where the root gave 7.21 and 6.82.

Going up by k, every source place stands k times side by side, and what reads it takes 1/k from each copy: with as many
layers the larger network computes what the smaller one did, to rounding. But equal copies with equal readers get equal
gradients and would stay equal for ever; so the copies' parts are made uneven, at random, with the same sum.

A tied decoder cannot be scaled without its embeddings: the norm before it is scaled instead. Where depth changes, what
writes to the stream is multiplied by sqrt(source layers / target layers), as full-megatron's starting values are, so
that the stream ends with the variance it had.
"""

import math
import re

import torch
from torch import Tensor

from .axis_maps import AxisMap, axis_maps, source_layers
from .configuration_mmbert import MmBertConfig
from .masked_lm import MmBertForMaskedLM

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

"""Useful work of an encoder in floating-point operations, from its shape and the lengths of its sequences.

Counted are the matrices: two operations for every weight of a layer and real token, and in attention four for every
channel and every key that a token sees (query times key, weight times value). A layer with a window of 128 sees at most
129 keys, fewer at the ends of its sequence. Norms, activations, rotations, softmax and the embedding look-up count
nothing, so a network at 1.0 of a processor's rate would do them for free; nor do padding and masked keys, so computing
them costs. A backward pass multiplies every matrix twice, once for its input and once for its weights; what is computed
again to save memory is no useful work.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

FORWARD_AND_BACKWARD = 3


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """What the arithmetic of an encoder depends on.

    Attributes:
        hidden_size: Channels of a token, over all heads.
        products: (inputs, outputs) of each matrix of a layer.
        half_windows: One entry per layer: how many neighbours a token sees on either side, None for all.
    """

    hidden_size: int
    products: tuple[tuple[int, int], ...]
    half_windows: tuple[int | None, ...]

    @classmethod
    def of(cls, config: Any) -> "EncoderShape":
        """Read the shape from a configuration of ModernBERT's (ours too) or BERT's family (XLM-R)."""
        width, middle = config.hidden_size, config.intermediate_size
        if getattr(config, "layer_types", None) is None:  # BERT: queries, keys, values, output, two of the MLP
            products = (*[(width, width)] * 4, (width, middle), (middle, width))
            return cls(width, products, (None,) * config.num_hidden_layers)
        products = ((width, 3 * width), (width, width), (width, 2 * middle), (middle, width))
        local = config.local_attention // 2
        return cls(width, products, tuple(None if kind == "full_attention" else local for kind in config.layer_types))


def keys_seen(lengths: ArrayLike, half_window: int | None) -> int:
    """Count the keys that the tokens of some sequences see, all tokens together."""
    sizes = np.asarray(lengths, dtype=np.int64)
    near = sizes - 1 if half_window is None else np.minimum(half_window, sizes - 1)
    return int((sizes * (2 * near + 1) - near * (near + 1)).sum())


def useful_flops(shape: EncoderShape, lengths: Iterable[int]) -> int:
    """Count the floating-point operations that a forward pass over these sequences needs."""
    sizes = np.fromiter(lengths, dtype=np.int64)
    weights = sum(inputs * outputs for inputs, outputs in shape.products)
    keys = sum(layers * keys_seen(sizes, half_window) for half_window, layers in Counter(shape.half_windows).items())
    return 2 * weights * len(shape.half_windows) * int(sizes.sum()) + 4 * shape.hidden_size * keys


def training_flops(shape: EncoderShape, lengths: Iterable[int], scored: int, vocab_size: int) -> int:
    """Operations of a masked-LM step, forward and backward; the head reads `scored` tokens only; no optimizer."""
    head = 2 * scored * shape.hidden_size * (shape.hidden_size + vocab_size)
    return FORWARD_AND_BACKWARD * (useful_flops(shape, lengths) + head)

"""The roofline of an encoder: the work that its result needs, and the rate at which this processor multiplies matrices.

Useful work counts real tokens only: two operations for every weight of a layer's matrices, and in attention four for
every channel and every key that a token sees (query times key, weight times value). A layer with a window of 128 sees
at most 129 keys, fewer at the ends of its sequence. Norms, activations, rotations, softmax and the embedding look-up
count nothing, so a network at 1.0 would do them for free; nor do padding and masked keys, so computing them costs.

The rate is that of the layer's own products at the number of rows that suits them best, with the same weights every
time. A network reads each layer's weights from memory; with 2,048 rows that made no difference where it was tried.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import linear

from .efficiency_timing import Timing, clock_for, interleave, with_threads

GEMM_ROWS = (256, 512, 1024, 2048)  # rows of the product's left side; the fastest counts
_ROWS_A_CALL = max(GEMM_ROWS)  # every call multiplies so many rows in all, so that all calls are equally long


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """What the arithmetic of an encoder depends on.

    Attributes:
        hidden_size: Channels of a token, over all heads.
        products: (inputs, outputs) of each matrix of a layer.
        reaches: One entry a layer: how many neighbours a token sees on either side, None for all.
    """

    hidden_size: int
    products: tuple[tuple[int, int], ...]
    reaches: tuple[int | None, ...]

    @classmethod
    def of(cls, config: Any) -> "EncoderShape":
        """Read the shape from a configuration.

        Args:
            config: Of ModernBERT's family (also ours), or of BERT's (XLM-R).

        Returns:
            Its shape.
        """
        width, middle = config.hidden_size, config.intermediate_size
        if getattr(config, "layer_types", None) is None:  # BERT: queries, keys, values, output, two of the MLP
            products = (*[(width, width)] * 4, (width, middle), (middle, width))
            return cls(width, products, (None,) * config.num_hidden_layers)
        products = ((width, 3 * width), (width, width), (width, 2 * middle), (middle, width))
        local = config.local_attention // 2
        return cls(width, products, tuple(None if kind == "full_attention" else local for kind in config.layer_types))


def keys_seen(length: int, reach: int | None) -> int:
    """Count the keys that the tokens of one sequence see, all tokens together.

    Args:
        length: Tokens of the sequence.
        reach: Neighbours seen on either side; None: all.

    Returns:
        length squared, or at most 2 * reach + 1 for each token, less what lies beyond the ends.
    """
    near = length - 1 if reach is None else min(reach, length - 1)
    return length * (2 * near + 1) - near * (near + 1)


def useful_flops(shape: EncoderShape, lengths: Iterable[int]) -> int:
    """Count the floating-point operations that a forward pass over these sequences needs.

    Args:
        shape: Of the encoder.
        lengths: Real tokens of each sequence.

    Returns:
        Operations; a multiply and an add are two.
    """
    lengths = list(lengths)
    weights = sum(inputs * outputs for inputs, outputs in shape.products)
    keys = sum(keys_seen(length, reach) for reach in shape.reaches for length in lengths)
    return 2 * weights * len(shape.reaches) * sum(lengths) + 4 * shape.hidden_size * keys


def gemm_calls(shape: EncoderShape, dtype: torch.dtype) -> dict[int, Callable[[], object]]:
    """Prepare the products of one layer for several numbers of rows.

    Args:
        shape: Whose matrices to multiply.
        dtype: Of both sides.

    Returns:
        {rows: a call that sends 2,048 rows through every matrix of the layer, so many at a time}.
    """
    weights = [torch.randn(outputs, inputs, dtype=dtype) / inputs**0.5 for inputs, outputs in shape.products]
    inputs = {
        rows: [torch.randn(rows, weight.shape[1], dtype=dtype) for weight in weights] for rows in sorted(set(GEMM_ROWS))
    }

    def call_with(rows: int) -> Callable[[], object]:
        @torch.inference_mode()
        def call() -> None:
            for _ in range(_ROWS_A_CALL // rows):
                for left, weight in zip(inputs[rows], weights, strict=True):
                    linear(left, weight)

        return call

    return {rows: call_with(rows) for rows in inputs}


def rate_of(shape: EncoderShape, timings: Mapping[int, Timing], threads: int) -> float:
    """Turn the times of `gemm_calls` into a rate.

    Args:
        shape: Whose matrices were multiplied.
        timings: {rows: time of its call}.
        threads: Decides by which clock.

    Returns:
        Operations a second at the best number of rows, by the median of its rounds.
    """
    flops = 2 * _ROWS_A_CALL * sum(inputs * outputs for inputs, outputs in shape.products)
    return flops / min(timing.median(clock_for(threads)) for timing in timings.values())


def gemm_rate(shape: EncoderShape, dtype: torch.dtype, threads: int = 1, rounds: int = 5) -> float:
    """Measure how fast this processor multiplies the matrices of a layer.

    Args:
        shape: Whose matrices.
        dtype: Of both sides.
        threads: Threads to compute with.
        rounds: Timed rounds.

    Returns:
        Operations a second.
    """
    with with_threads(threads):
        return rate_of(shape, interleave(gemm_calls(shape, dtype), rounds=rounds), threads)

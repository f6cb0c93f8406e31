"""The roofline of an encoder: the rate at which this processor multiplies the matrices of a layer.

The work that a result needs is counted in `modeling/flops.py`; work over time and rate is the share that the rest of
a program leaves to its products. The rate is that of the layer's own products at the number of rows that suits them
best, with the same weights every time. A network reads each layer's weights from memory; with 2,048 rows that made no
difference where it was tried.
"""

from collections.abc import Callable, Mapping

import torch
from torch.nn.functional import linear

from ...modeling.flops import EncoderShape, keys_seen, useful_flops
from .timing import Timing, clock_for, interleave, with_threads

GEMM_ROWS = (256, 512, 1024, 2048)  # rows of the product's left side; the fastest counts
_ROWS_A_CALL = max(GEMM_ROWS)  # every call multiplies so many rows in all, so that all calls are equally long

__all__ = ["GEMM_ROWS", "EncoderShape", "gemm_calls", "gemm_rate", "keys_seen", "rate_of", "useful_flops"]


def gemm_calls(shape: EncoderShape, dtype: torch.dtype) -> dict[int, Callable[[], object]]:
    """Prepare the products of one layer for several numbers of rows."""
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
    """Turn the times of `gemm_calls` into a rate."""
    flops = 2 * _ROWS_A_CALL * sum(inputs * outputs for inputs, outputs in shape.products)
    return flops / min(timing.median(clock_for(threads)) for timing in timings.values())


def gemm_rate(shape: EncoderShape, dtype: torch.dtype, threads: int = 1, rounds: int = 5) -> float:
    """Measure how fast this processor multiplies the matrices of a layer."""
    with with_threads(threads):
        return rate_of(shape, interleave(gemm_calls(shape, dtype), rounds=rounds), threads)

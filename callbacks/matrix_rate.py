"""How fast a device multiplies matrices: what a run's useful work is measured against.

A GPU is judged by its maker's dense bf16 peak, as everyone does (MFU); a device whose peak is not listed here, and any
CPU, by what it reaches itself in one square product. The two are not the same yardstick, so they go by two names:
`mfu` and `gemm_fraction`.
"""

import time
from collections.abc import Callable
from functools import cache

import torch

# Dense bf16 operations a second, without sparsity: NVIDIA's and AMD's data sheets. The first name that fits counts.
PEAKS = (
    ("GB200", 2500e12),
    ("B200", 2250e12),
    ("GH200", 989e12),
    ("H200", 989e12),
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H800", 989e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("A40", 150e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("RTX 4090", 165e12),
    ("RTX 3090", 71e12),
    ("MI300X", 1307e12),
    ("MI250X", 383e12),
)
_SECONDS = 0.15  # of measuring, on one core about five products
_ROWS = {"cpu": 1024, "cuda": 8192}


@cache
def matrix_rate(device: torch.device, dtype: torch.dtype) -> tuple[str, float]:
    """Return a device's rate, from the list or measured once a process.

    Args:
        device: Where the network computes.
        dtype: What it multiplies in.

    Returns:
        `mfu` and the listed peak, or `gemm_fraction` and the measured rate; operations a second.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, peak in PEAKS:
            if part in name:
                return "mfu", peak
    rows = _ROWS.get(device.type, 2048)
    left, right = (torch.ones(rows, rows, device=device, dtype=dtype) for _ in range(2))
    return "gemm_fraction", 2 * rows**3 / _best_seconds(lambda: left @ right, device)


def _best_seconds(product: Callable[[], torch.Tensor], device: torch.device) -> float:
    best, began = float("inf"), time.perf_counter()
    with torch.inference_mode():
        while best == float("inf") or time.perf_counter() - began < _SECONDS:
            start = time.perf_counter()
            product()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - start)
    return best

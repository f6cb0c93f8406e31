"""What the processor does well. (Seed by the lead, so that the network imports; HELPER DTYPE owns and rewrites it.)"""

import torch


def has_fast_bf16(device: torch.device) -> bool:
    """Return True if the device multiplies bf16 by itself."""
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())

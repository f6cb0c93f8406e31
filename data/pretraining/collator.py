"""From packed rows to the tensors that the model reads. There is no padding anywhere on this way."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from .dataset import PackedRows


class PackedCollator:
    """Lays packed rows end to end into one batch for a varlen forward."""

    def __call__(self, items: Sequence[PackedRows]) -> dict[str, torch.Tensor | int]:
        """Packed rows as `input_ids`, `labels` (1, T), `cu_seq_lens_q/k` (n + 1,) int32 and `max_length_q/k`."""
        if not items:
            raise ValueError("a batch needs at least one item, got none.")
        lengths = np.concatenate([item.lengths for item in items])
        boundaries = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        batch: dict[str, torch.Tensor | int] = {
            "input_ids": _joined([item.input_ids for item in items])[None],
            "labels": _joined([item.labels for item in items])[None],
            "cu_seq_lens_q": boundaries,
            "cu_seq_lens_k": boundaries,
            "max_length_q": int(lengths.max()),
            "max_length_k": int(lengths.max()),
        }
        return batch


def _joined(arrays: Sequence[NDArray[np.int64]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(arrays) if len(arrays) > 1 else arrays[0])

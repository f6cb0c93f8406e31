"""An order of rows for each epoch that depends on seed and epoch alone, so that a resumed epoch reads on where it was.

Of a random order accelerate sees to that on one process; where several share batches it forgets which epoch is resumed,
and batches of similar lengths are drawn from the global generator, whose state at the epoch's beginning is gone.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import RandomSampler, Sampler
from transformers import Trainer


class EpochOrder(Sampler[int]):
    """A sampler that is drawn anew each epoch; the same as accelerate's for random orders.

    Args:
        sampler: Draws from its `generator`: random, or grouped by length.
        trainer: Knows its epoch when it begins to read.
        seed: Of epoch 0; that of epoch n is n more.
    """

    def __init__(self, sampler: Any, trainer: Trainer, seed: int) -> None:
        self.sampler: RandomSampler = sampler
        self.trainer, self.seed = trainer, seed

    def __iter__(self) -> Iterator[int]:
        epoch = int(self.trainer.state.epoch or 0)  # in the middle of epoch 3 it is 3.5
        self.sampler.generator = torch.Generator().manual_seed(self.seed + epoch)
        return iter(self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)

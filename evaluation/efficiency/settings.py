"""The paper's four settings: what a batch of its efficiency figure looks like (arXiv 2509.06888, figure 3).

Lengths are those of AnswerDotAI/ModernBERT, efficiency/multiprocess_bench.py: 512 and 8,192 for every row, or drawn
from N(256, 64) clipped to 16..512 and N(4096, 1024) clipped to 16..8,192. A batch is as wide as its longest row, as any
tokenizer pads it. Tokens are random: no layer's cost depends on them.

Trade-off: the paper searches the largest batch that fits its GPU; here a batch has about 8,000 real tokens (16,000 for
variable lengths up to 8,192), because a CPU gains nothing from more. Fewer rows of mixed length also carry less
padding, so networks that compute it look better here than in larger batches.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

_SHORTEST = 16  # the paper's clip, in both variable settings
_FIRST_WORD = 5  # ids below are pad, eos, bos, unk and mask in the released tokenizer


@dataclass(frozen=True, slots=True)
class Setting:
    """How long the rows of a batch are.

    Attributes:
        name: Key on the command line and in tables.
        longest: No row has more tokens.
        rows: Rows of a batch.
        mean: Mean length of the normal distribution that lengths are drawn from; None: every row is `longest`.
        deviation: Its standard deviation.
    """

    name: str
    longest: int
    rows: int
    mean: float | None = None
    deviation: float = 0.0

    def lengths(self, seed: int = 0) -> list[int]:
        """Draw the tokens of each row; equal seeds give equal lengths, on every machine."""
        if self.mean is None:
            return [self.longest] * self.rows
        draw = torch.randn(self.rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        drawn: list[int] = (self.mean + self.deviation * draw).round().clamp(_SHORTEST, self.longest).int().tolist()
        return drawn


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("fixed-512", 512, rows=16),
        Setting("variable-512", 512, rows=32, mean=256, deviation=64),
        Setting("fixed-8192", 8192, rows=1),
        Setting("variable-8192", 8192, rows=4, mean=4096, deviation=1024),
    )
}


@dataclass(frozen=True, slots=True)
class Batch:
    """A padded batch of random tokens."""

    input_ids: Tensor  # (B, L), padded on the right
    attention_mask: Tensor  # (B, L), zero at padding; every network gets it, as tokenizers give it
    lengths: tuple[int, ...]  # real tokens of each row


def make_batch(lengths: list[int], vocab_size: int, pad_id: int = 0, seed: int = 0) -> Batch:
    """Fill rows of the given lengths with random words below `vocab_size`, special tokens left out where they fit."""
    if not lengths or min(lengths) < 1:
        raise ValueError(f"a batch needs rows of at least one token, got lengths {lengths}")
    generator = torch.Generator().manual_seed(seed)
    low = min(_FIRST_WORD, vocab_size - 1)
    words = torch.randint(low, vocab_size, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]
    return Batch(words.masked_fill(~mask, pad_id), mask.long(), tuple(lengths))

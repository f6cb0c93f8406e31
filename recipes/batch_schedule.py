"""Rows of every optimizer step of a phase: constant, or growing at its beginning.

The warm-up of ModernBERT's `BatchSizeWarmupScheduler` (src/sequence_packer.py): the batch grows by equal amounts and
stays equally many steps at each size, until the warm-up's tokens are read. Here it grows by what it begins with (48,
96, ... 4,560, then 4,608 in the released YAMLs), so that it does not depend on how many devices there are, and what was
read before a step is a closed form.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatchSchedule:
    """How many rows each step of a phase reads.

    Attributes:
        rows: Rows of a step after the warm-up.
        first_rows: Rows of the first step, and by how much a step grows; `rows` if nothing grows.
        steps_per_size: Steps at each size below `rows`.
    """

    rows: int
    first_rows: int
    steps_per_size: int

    @classmethod
    def planned(cls, rows: int, first_rows: int, warmup_rows: float) -> "BatchSchedule":
        """Plan the warm-up that reads about a given number of rows.

        Args:
            rows: Rows of a step after the warm-up.
            first_rows: Rows of the first step; 0 for no warm-up.
            warmup_rows: Rows to read while the batch grows.

        Returns:
            The schedule; a warm-up too short for a single step at each size is none.
        """
        first = first_rows or rows
        sizes = (rows - 1) // first
        once = first * sizes * (sizes + 1) // 2
        return cls(rows, first, round(warmup_rows / once) if once else 0)

    @property
    def warmup_steps(self) -> int:
        """Steps before the batch has its full size."""
        return self.steps_per_size * ((self.rows - 1) // self.first_rows)

    def rows_before(self, step: int) -> int:
        """Return the rows of the first `step` steps of the phase."""
        growing = min(step, self.warmup_steps)
        sizes, rest = divmod(growing, self.steps_per_size) if self.steps_per_size else (0, 0)
        grown = self.first_rows * (self.steps_per_size * sizes * (sizes + 1) // 2 + rest * (sizes + 1))
        return grown + (step - growing) * self.rows

    def rows_at(self, step: int) -> int:
        """Return the rows of one step, counted from 0 in its phase."""
        return self.rows_before(step + 1) - self.rows_before(step)

    def steps_for(self, rows: float) -> int:
        """Return the steps, at least one, whose rows come nearest to `rows`, after the whole warm-up."""
        grown = self.rows_before(self.warmup_steps)
        return max(1, self.warmup_steps + round((rows - grown) / self.rows))

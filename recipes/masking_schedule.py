"""The masking ratio as a function of the step: a plain list of (first step, ratio), fit to travel to a worker."""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from ..common.deprecation import warn_renamed
from .training_schedule import TrainingSchedule


@dataclass(frozen=True)
class MaskingSchedule:
    """Masking ratio by step: `ratios[i]` holds from step `first_steps[i]` until the next one begins.

    Attributes:
        first_steps: Ascending, beginning with 0.
        ratios: Each strictly between 0 and 1.
    """

    first_steps: tuple[int, ...]
    ratios: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.first_steps or self.first_steps[0] != 0 or list(self.first_steps) != sorted(set(self.first_steps)):
            raise ValueError(f"a masking schedule begins at step 0 and goes up, got steps {list(self.first_steps)}.")
        for step, ratio in zip(self.first_steps, self.ratios, strict=True):
            if not 0 < ratio < 1:
                raise ValueError(f"masking ratio at step {step} must lie between 0 and 1, got {ratio}; write 0.15.")

    @classmethod
    def from_schedule(cls, schedule: TrainingSchedule, changed: Mapping[str, float] | None = None) -> "MaskingSchedule":
        """Return the recipe's schedule, with the ratio of some phases, by name, changed."""
        changed = dict(changed or {})
        unknown = sorted(set(changed) - {phase.name for phase in schedule.phases})
        if unknown:
            names = ", ".join(phase.name for phase in schedule.phases)
            raise ValueError(f"no phase {', '.join(unknown)} to set a masking ratio for; the run has {names}.")
        return cls(
            tuple(scheduled.first_step for scheduled in schedule.scheduled_phases),
            tuple(changed.get(phase.name, phase.masking_ratio) for phase in schedule.phases),
        )

    @classmethod
    def of_road(cls, road: TrainingSchedule, changed: Mapping[str, float] | None = None) -> "MaskingSchedule":
        """The old name of `from_schedule`."""
        warn_renamed("MaskingSchedule.of_road", "MaskingSchedule.from_schedule")
        return cls.from_schedule(road, changed)

    def ratio(self, step: int) -> float:
        """Return the masking ratio of a step, from 0."""
        return self.ratios[bisect.bisect_right(self.first_steps, step) - 1]

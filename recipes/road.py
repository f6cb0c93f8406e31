"""The road of a run: phases laid end to end, and every schedule as a pure function of the optimizer step.

Workers, restarts and ranks ask the same road and get the same answer; nobody sends messages. A step is counted from
zero over the whole run; step s trains on batch s.
"""

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .phase import Phase


@dataclass(frozen=True, slots=True)
class Stretch:
    """One phase in its place on the road: it covers the steps first_step <= s < end_step."""

    index: int
    phase: Phase
    first_step: int
    end_step: int
    tokens_before: int

    def rows_into(self, step: int) -> int:
        """Return the rows of this phase that the first `step` steps of the road have read."""
        return self.phase.batches.rows_before(step - self.first_step)

    def tokens_into(self, step: int) -> int:
        """Return the planned tokens of this phase that the first `step` steps of the road have read."""
        return self.rows_into(step) * self.phase.context_length


class Road:
    """Phases in the order in which one run goes through them.

    Args:
        phases: The phases; at least one.

    Raises:
        ValueError: If there is no phase.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        if not phases:
            raise ValueError("a road needs at least one phase, got none; add one under `phases:`.")
        self.stretches: list[Stretch] = []
        step = tokens = 0
        for index, phase in enumerate(phases):
            self.stretches.append(Stretch(index, phase, step, step + phase.steps, tokens))
            step += phase.steps
            tokens += phase.batches.rows_before(phase.steps) * phase.context_length
        self._ends = [stretch.end_step for stretch in self.stretches]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order."""
        return tuple(stretch.phase for stretch in self.stretches)

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self._ends[-1]

    @property
    def peak_learning_rate(self) -> float:
        """The highest peak of all phases."""
        return max(phase.learning_rate for phase in self.phases)

    def at(self, step: int) -> Stretch:
        """Return the stretch that trains step `step`; past the end, the last one.

        Args:
            step: Step from 0.

        Returns:
            The stretch.

        Raises:
            ValueError: If the step is negative.
        """
        if step < 0:
            raise ValueError(f"a step is counted from 0, got {step}.")
        return self.stretches[min(bisect.bisect_right(self._ends, step), len(self.stretches) - 1)]

    def is_border(self, step: int) -> bool:
        """Tell whether a phase ends once `step` steps are done.

        Args:
            step: Steps done.

        Returns:
            True at the end of every phase, the last included.
        """
        return step in self._ends

    def masking_ratio(self, step: int) -> float:
        """Return the masking ratio of step `step`.

        Args:
            step: Step from 0.

        Returns:
            The ratio, between 0 and 1.
        """
        return self.at(step).phase.masking_ratio

    def tokens(self, step: int) -> int:
        """Return the planned tokens of the first `step` steps.

        Args:
            step: Steps done, 0 to `steps`.

        Returns:
            Rows times context length, summed over the steps.
        """
        stretch = self.at(max(step - 1, 0))
        return stretch.tokens_before + stretch.tokens_into(step)

    def learning_rate(self, step: int) -> float:
        """Return the learning rate of step `step`: linear warm-up, then stable, then the phase's decay if it has one.

        The stable part is flat; `1-sqrt` falls as 1 - sqrt(progress) and `linear` as 1 - progress, from the peak to
        `final_learning_rate_ratio` times it (ModernBERT src/scheduler.py; mmBERT-base-decay.yaml). Progress is counted
        in tokens, so that a batch that grows does not bend the curve: a step of the warm-up has the rate of where it
        ends, one of the decay that of where it begins.

        Args:
            step: Step from 0. Past the end the rate stays where it was.

        Returns:
            The rate.
        """
        stretch = self.at(step)
        phase, done = stretch.phase, stretch.tokens_into(step)
        if done < phase.warmup_tokens:
            return phase.learning_rate * min(1.0, stretch.tokens_into(step + 1) / phase.warmup_tokens)
        if phase.decay == "none":
            return phase.learning_rate
        whole = stretch.tokens_into(stretch.end_step)
        progress = min(1.0, (done - phase.warmup_tokens) / max(1, whole - phase.warmup_tokens))
        left = 1 - (math.sqrt(progress) if phase.decay == "1-sqrt" else progress)
        floor = phase.final_learning_rate_ratio
        return phase.learning_rate * (floor + (1 - floor) * left)

    def up_to(self, step: int) -> list[dict[str, Any]]:
        """Return the plain values of every phase that had begun before `step` steps were done.

        Two roads with equal answers have trained on the same batches so far, which is what a resume must know.

        Args:
            step: Steps done.

        Returns:
            One dict a phase.
        """
        return [stretch.phase.to_dict() for stretch in self.stretches if stretch.first_step < step]

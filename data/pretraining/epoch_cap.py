"""The cap on epochs: no sampled language is read more often than the phase allows; what that frees goes to the others.

A flat temperature reads small languages many times over; the authors avoid more than about five passes (arXiv
2509.06888 section 3). The freed mass is poured over the other sampled languages in proportion to their shares until it
is used up, and no further one passes the cap on the way (water-filling): after it every sampled share is
min(level x weight, cap), with one level for all. Fixed shares are the user's word and stay, however often they repeat.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any


@dataclass(frozen=True, slots=True)
class LanguageEpochs:
    """One language under the cap."""

    language: str  # its tag
    share_before: float  # share of the phase's tokens by temperature alone
    share: float  # share after the cap
    epochs_before: float  # how often the phase would have read the language's text
    epochs: float  # how often it reads it
    fixed: bool  # whether the share is the recipe's own, out of reach of temperature and cap
    capped: bool  # whether the cap holds it down


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What the cap did in one phase."""

    phase: str  # name of the phase
    tokens: int  # tokens that the phase reads
    asked: float  # the cap of the recipe; 0 is none
    used: float  # the cap that holds: `asked`, or the lowest that gives the phase its tokens
    languages: tuple[LanguageEpochs, ...]  # every language of the phase

    @property
    def lifted(self) -> bool:
        """Whether the text is too little for the cap of the recipe."""
        return self.used > self.asked

    @property
    def capped(self) -> tuple[LanguageEpochs, ...]:
        """The languages that the cap holds down, those that lose most first."""
        held = [entry for entry in self.languages if entry.capped]
        return tuple(sorted(held, key=lambda entry: entry.share - entry.share_before))

    @property
    def freed(self) -> float:
        """Share of the phase's tokens that capped languages gave to others."""
        return math.fsum(max(0.0, entry.share_before - entry.share) for entry in self.languages)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the phase's tokens of each language."""
        return {entry.language: entry.share for entry in self.languages}

    def summary(self) -> str:
        """Return one line for the log."""
        most = max(self.languages, key=lambda entry: entry.epochs)
        most_read = f"the most read is {most.language}, {most.epochs:.3g} times"
        if not self.asked:
            return f"phase {self.phase!r}: no cap on epochs; {most_read}."
        if self.lifted:
            return (
                f"phase {self.phase!r}: its sampled languages have too little text for max_epochs {self.asked:g}; the "
                f"cap is lifted to {self.used:.4g}, and all of them are read so often. Shorten the phase or add text."
            )
        return (
            f"phase {self.phase!r}: max_epochs {self.asked:g} holds down {len(self.capped)} of {len(self.languages)} "
            f"languages and gives {self.freed:.2%} of the tokens to the others; {most_read}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON-able values."""
        return {**asdict(self), "lifted": self.lifted, "freed": self.freed}

    def markdown(self, rows: int = 20) -> str:
        """The summary and a table of the `rows` languages that are read most often."""
        head = (
            "| language | share by temperature | share | epochs by temperature | epochs | |\n|---|---|---|---|---|---|"
        )
        most_read = sorted(self.languages, key=lambda entry: (-entry.epochs_before, entry.language))[:rows]
        body = [
            f"| {entry.language} | {entry.share_before:.4%} | {entry.share:.4%} | {entry.epochs_before:.3g} | "
            f"{entry.epochs:.3g} | {'fixed' if entry.fixed else 'capped' if entry.capped else ''} |"
            for entry in most_read
        ]
        return "\n".join([self.summary(), "", head, *body])


def cap_epochs(
    shares: Mapping[str, float],
    token_counts: Mapping[str, float],
    *,
    tokens: int,
    max_epochs: float,
    fixed: Mapping[str, float] | None = None,
    phase: str = "",
) -> EpochReport:
    """Cap how often a phase reads its sampled languages; 0 is no cap, `fixed` languages keep their share."""
    fixed = fixed or {}
    epochs_per_share = {language: tokens / token_counts[language] for language in shares}
    sampled = {language: share for language, share in shares.items() if language not in fixed}
    mass = math.fsum(sampled.values())
    needed = tokens * mass / math.fsum(token_counts[language] for language in sampled) if sampled else 0.0
    used = max(max_epochs, needed) if max_epochs else 0.0
    limits = {language: used / epochs_per_share[language] if used else math.inf for language in sampled}
    level = _water_level(sampled, limits, mass)
    entries = []
    for language, share in shares.items():
        each, after, capped = epochs_per_share[language], share, False
        if language in sampled and share > 0:
            after = min(level * share, limits[language])
            capped = after >= limits[language] * (1 - 1e-9)
        entries.append(LanguageEpochs(language, share, after, share * each, after * each, language in fixed, capped))
    return EpochReport(phase, tokens, max_epochs, used, tuple(entries))


def _water_level(weights: Mapping[str, float], limits: Mapping[str, float], mass: float) -> float:
    """Return the level at which min(level x weight, limit) sums to the mass; infinite where only the limits do."""
    # A temperature of 5 can leave a small language no weight at all: it is read never, at any level.
    fullest_first = sorted((tag for tag in weights if weights[tag] > 0), key=lambda tag: limits[tag] / weights[tag])
    # Summed from the emptiest on, since subtracting large weights would leave only the rounding of the small ones.
    open_weights = list(accumulate(weights[tag] for tag in reversed(fullest_first)))
    capped = 0.0
    for tag in fullest_first:
        level = (mass - capped) / open_weights.pop()
        if level * weights[tag] <= limits[tag]:
            return level
        capped += limits[tag]
    return math.inf

"""Tokens that a run has really read, by phase and language, carried through every checkpoint.

The target shares are the recipe's; these are counted from the batches that reached the training step, so that a report
can put the two side by side.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.deprecation import warn_renamed
from ...common.files import read_json, write_json

FILE = "token_counts.json"
_OLD_FILE = "ledger.json"  # the file's name in 0.1; scripts find it for one version more


class TokenCounter:
    """Counts tokens by phase and language; `tokens` has shape (phases, languages)."""

    def __init__(self, phases: Sequence[str], languages: Sequence[str]) -> None:
        self.phases = list(phases)
        self.languages = list(languages)
        self.tokens: NDArray[np.int64] = np.zeros((len(phases), len(languages)), dtype=np.int64)

    def add(self, phase: int, languages: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        """Count the sequences of one batch: number of the phase, language number and tokens of each sequence."""
        np.add.at(self.tokens[phase], languages, lengths)

    def save(self, directory: Path, tokens: NDArray[np.int64]) -> None:
        """Write counts, the sum over all ranks, into a checkpoint."""
        entries = {
            phase: {language: count for language, count in zip(self.languages, row.tolist(), strict=True) if count}
            for phase, row in zip(self.phases, tokens, strict=True)
        }
        for name in (FILE, _OLD_FILE):
            write_json(directory / name, entries, indent=1)

    def load(self, directory: Path) -> None:
        """Read the counts of a checkpoint; phases and languages that this run does not have are left out."""
        path = directory / FILE
        if not path.is_file() and (directory / _OLD_FILE).is_file():
            path = directory / _OLD_FILE
            warn_renamed(str(path), FILE, stacklevel=3)
        entries = read_json(path)
        self.tokens[:] = 0
        try:
            for row, phase in enumerate(self.phases):
                for language, count in entries.get(phase, {}).items():
                    if language in self.languages:
                        self.tokens[row, self.languages.index(language)] = count
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise ValueError(f"{path} is damaged; resume from another checkpoint.") from None

"""The ledger: what a run has really read, by phase and language, carried through every checkpoint.

The target shares are the recipe's; these are counted from the batches that reached the training step, so a report can
put the two beside each other.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "ledger.json"


class Ledger:
    """Tokens and sequences read, by phase and language.

    Args:
        phases: Names of the phases in order.
        languages: The stream's languages in order.
    """

    def __init__(self, phases: Sequence[str], languages: Sequence[str]) -> None:
        self.phases = list(phases)
        self.languages = list(languages)
        self.tokens: NDArray[np.int64] = np.zeros((len(phases), len(languages)), dtype=np.int64)

    def read(self, phase: int, languages: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        """Enter the sequences of one batch.

        Args:
            phase: Number of the phase.
            languages: Language number of each sequence, shape (n,).
            lengths: Tokens of each sequence, shape (n,).
        """
        np.add.at(self.tokens[phase], languages, lengths)

    def shares(self, phase: int) -> dict[str, float]:
        """Return each language's share of the tokens read in a phase.

        Args:
            phase: Number of the phase.

        Returns:
            Shares of the languages read, summing to 1; empty if the phase has not begun.
        """
        total = int(self.tokens[phase].sum())
        counts = zip(self.languages, self.tokens[phase].tolist(), strict=True)
        return {language: tokens / total for language, tokens in counts if tokens}

    def save(self, directory: Path, tokens: NDArray[np.int64]) -> None:
        """Write the ledger into a checkpoint.

        Args:
            directory: The checkpoint.
            tokens: The counts to write: the sum over all ranks.
        """
        entries = {
            phase: {language: count for language, count in zip(self.languages, row.tolist(), strict=True) if count}
            for phase, row in zip(self.phases, tokens, strict=True)
        }
        (directory / FILE).write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")

    def load(self, directory: Path) -> None:
        """Read the counts of a checkpoint; phases that this run does not have are left out.

        Args:
            directory: The checkpoint.
        """
        entries: dict[str, Any] = json.loads((directory / FILE).read_text(encoding="utf-8"))
        self.tokens[:] = 0
        for row, phase in enumerate(self.phases):
            for language, count in entries.get(phase, {}).items():
                if language in self.languages:  # a run on other data may lack it
                    self.tokens[row, self.languages.index(language)] = count

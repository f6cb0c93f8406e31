"""What trimming did: size before and after, coverage of held-out words by language, as table, Markdown and picture.

A word is read as before exactly if all its tokens are kept (`bpe.py`), so it is covered from the place of its last
token in the ranking on. One pass gives the coverage of every vocabulary size.
"""

import bisect
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.files import read_json
from ...model_cards.markdown import markdown_table
from .counts import Word

if TYPE_CHECKING:
    from rich.table import Table

RECORD = "trim.json"
_COLUMNS = ("language", "documents", "running words", "covered", "different words", "covered", "tokens covered")


@dataclass(frozen=True, slots=True)
class LanguageCoverage:
    """Coverage of one language's held-out words."""

    language: str  # its tag, or "texts"
    documents: int  # all documents of the language, held-out ones included
    words: int  # running held-out words
    covered: float  # share of them that is read as before
    distinct: int  # different held-out words
    distinct_covered: float  # share of those
    tokens: float  # share of running held-out tokens that is kept


class CoverageCurve:
    """Coverage of words as a function of the number of kept tokens."""

    def __init__(self, words: Mapping[Word, int], order: Sequence[int]) -> None:
        place = {token: number for number, token in enumerate(order, start=1)}
        never = len(order) + 1
        found = sorted((max(place.get(token, never) for token in word), number) for word, number in words.items())
        self._places = [at for at, _ in found]
        self._running = list(accumulate(number for _, number in found))
        tokens = sorted((place.get(token, never), number) for word, number in words.items() for token in word)
        self._token_places = [at for at, _ in tokens]
        self._token_running = list(accumulate(number for _, number in tokens))

    @property
    def words(self) -> int:
        """Number of running words."""
        return self._running[-1]

    @property
    def distinct(self) -> int:
        """Number of different words."""
        return len(self._places)

    def covered(self, kept: int) -> float:
        """Share of running words that the first `kept` tokens cover."""
        return _share(self._places, self._running, kept)

    def distinct_covered(self, kept: int) -> float:
        """Share of different words that the first `kept` tokens cover."""
        return bisect.bisect_right(self._places, kept) / len(self._places)

    def tokens_covered(self, kept: int) -> float:
        """Share of running tokens that are among the first `kept`."""
        return _share(self._token_places, self._token_running, kept)

    def needed(self, share: float) -> int:
        """Number of tokens that cover a share of running words; past the end of the ranking if none do."""
        return self._places[bisect.bisect_left(self._running, share * self._running[-1])]


def _share(places: list[int], running: list[int], kept: int) -> float:
    at = bisect.bisect_right(places, kept)
    return running[at - 1] / running[-1] if at else 0.0


@dataclass(frozen=True, slots=True)
class TrimReport:
    """Sizes and coverage.

    Attributes:
        languages: What was kept.
        tokens: Rows of the embedding table before and after.
        parameters: Parameters of the whole checkpoint before and after.
        weight_bytes: Bytes of its tensors before and after.
        heldout_fraction: Share of documents that coverage was measured on.
        coverage: One entry a language with held-out text. The tokens were ranked without that text, then once more with
            it, so the checkpoint covers these very documents better than this, and unseen ones about as well.
        curves: Language to (number of tokens, share of held-out running words covered).
        fixed_parameters: Parameters without the vocabulary.
        parameters_per_token: Parameters of one token.
    """

    languages: tuple[str, ...]
    tokens: tuple[int, int]
    parameters: tuple[int, int]
    weight_bytes: tuple[int, int]
    heldout_fraction: float
    coverage: tuple[LanguageCoverage, ...]
    curves: dict[str, tuple[tuple[int, float], ...]]
    fixed_parameters: int
    parameters_per_token: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for JSON.

        Returns:
            What `trim.json` holds, without the parent and the options.
        """
        return asdict(self)

    def to_table(self) -> "Table":
        """Give sizes and coverage as a table for the terminal.

        Returns:
            A rich table, one row a language.
        """
        from rich.table import Table

        table = Table(title=f"Held-out words read as before ({self.heldout_fraction:.0%} of the documents)")
        for column in _COLUMNS:
            table.add_column(column, justify="left" if column == "language" else "right")
        for row in self._rows():
            table.add_row(*row)
        table.caption = self.sizes()
        return table

    def sizes(self) -> str:
        """Say in one line what became smaller.

        Returns:
            The line.
        """
        (tokens, kept), (before, after) = self.tokens, self.parameters
        mib = [size / 2**20 for size in self.weight_bytes]
        return (
            f"{tokens:,} -> {kept:,} tokens, {before / 1e6:,.1f}M -> {after / 1e6:,.1f}M parameters, "
            f"{mib[0]:,.1f} -> {mib[1]:,.1f} MiB of weights"
        )

    def to_markdown(self) -> str:
        """Give the section of a model card.

        Returns:
            Markdown with a heading.
        """
        lines = [
            "## Vocabulary",
            "",
            f"Trimmed to {', '.join(self.languages)} by mmbert: {self.sizes()}. Covered text is read and encoded as by"
            " the parent, bit for bit; the rest falls back to shorter tokens and bytes.",
            "",
        ]
        if self.coverage:
            lines.append(markdown_table(_COLUMNS, self._rows()))
        return "\n".join(lines).rstrip() + "\n"

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """Draw the share of words that is not covered against the number of tokens, a line a language.

        Args:
            path: The PNG to write.

        Returns:
            The PNG.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If there was no held-out text.
        """
        from ...model_cards.plots.trim import draw_trim

        return draw_trim(self.to_dict(), path)

    def _rows(self) -> list[list[str]]:
        return [
            [
                line.language,
                f"{line.documents:,}",
                f"{line.words:,}",
                f"{100 * line.covered:.2f} %",
                f"{line.distinct:,}",
                f"{100 * line.distinct_covered:.2f} %",
                f"{100 * line.tokens:.2f} %",
            ]
            for line in self.coverage
        ]


def read_trim_report(trimmed: str | os.PathLike[str]) -> TrimReport:
    """Read the report of a trimmed checkpoint.

    Args:
        trimmed: Directory that `trim_vocabulary` wrote.

    Returns:
        The report.
    """
    raw = read_json(Path(trimmed) / RECORD)
    fields = {name: raw[name] for name in TrimReport.__dataclass_fields__}
    fields["coverage"] = tuple(LanguageCoverage(**line) for line in raw["coverage"])
    fields["curves"] = {tag: tuple((int(n), share) for n, share in curve) for tag, curve in raw["curves"].items()}
    for name in ("languages", "tokens", "parameters", "weight_bytes"):
        fields[name] = tuple(raw[name])
    return TrimReport(**fields)

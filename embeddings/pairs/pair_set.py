"""Training rows of one kind, clean, with the count of what was left out: pairs, triplets or scored pairs.

Trade-off: all rows are in memory, as tuples of texts, so that they can be drawn, split and compared freely.
"""

import random
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from .overlap import TextFinder

if TYPE_CHECKING:
    from datasets import Dataset


class TranslatedPair(Protocol):
    """A sentence and its English translation, as `mmbert.data` yields them."""

    @property
    def language(self) -> str:
        """Tag of the text, `iso639-3_Script`."""

    @property
    def english(self) -> str:
        """The English side."""

    @property
    def text(self) -> str:
        """The same message in `language`."""


@dataclass(frozen=True, slots=True)
class PairSet:
    """Clean rows of one kind.

    Attributes:
        columns: Names of the texts: `anchor`, `positive`, then `negative_1` and so on.
        rows: The texts of each row, in that order.
        scores: Similarity of each row's two texts, 0 to 1, or as they were if one is below 0; None if they are not
            scored.
        languages: Language of each row's positive; empty where the source says none.
        skipped: Rows left out, by reason.
        teacher_scores: A teacher's scores of each row's positive and negatives (FlagEmbedding's `pos_scores` and
            `neg_scores`, logits of a reranker); None if the source has none.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    scores: list[float] | None
    languages: list[str]
    skipped: dict[str, int]
    teacher_scores: list[tuple[float, ...]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def kind(self) -> str:
        """`pairs`, `triplets` or `scored`."""
        return "scored" if self.scores is not None else "pairs" if len(self.columns) == 2 else "triplets"

    def left_out(self) -> str:
        """Spell what was left out: `3 x empty, 1 x identical`, or `none`."""
        return ", ".join(f"{count:,} x {reason}" for reason, count in self.skipped.items() if count) or "none"

    def dataset(self, teacher_scores: bool = False) -> "Dataset":
        """Return the texts, and the scores (a teacher's as `label`), as sentence-transformers' trainers take them."""
        from datasets import Dataset

        columns: dict[str, Any] = {name: [row[i] for row in self.rows] for i, name in enumerate(self.columns)}
        if teacher_scores:
            columns["label"] = [list(row) for row in self.teacher_scores or ()]
        return Dataset.from_dict(columns if self.scores is None else {**columns, "score": self.scores})

    def subset(self, numbers: Sequence[int]) -> "PairSet":
        """Return the rows of these numbers, in this order."""
        return replace(
            self,
            rows=[self.rows[n] for n in numbers],
            scores=None if self.scores is None else [self.scores[n] for n in numbers],
            languages=[self.languages[n] for n in numbers],
            teacher_scores=None if self.teacher_scores is None else [self.teacher_scores[n] for n in numbers],
        )

    def without(self, texts: Iterable[str], reason: str = "held out") -> "PairSet":
        """Leave out, and count, every row that holds one of these texts.

        Args:
            texts: For example all texts of the evaluation sets; case, accents' encoding and blanks do not matter.
            reason: What to count them under.

        Returns:
            The other rows.
        """
        forbidden = {same_text(text) for text in texts}
        kept = [n for n, row in enumerate(self.rows) if not any(same_text(text) in forbidden for text in row)]
        skipped = {**self.skipped, reason: self.skipped.get(reason, 0) + len(self) - len(kept)}
        return replace(self.subset(kept), skipped=skipped)

    def without_excluded(self, texts: Iterable[str]) -> "PairSet":
        """Leave out, and count, every row that holds an evaluation text, alone or inside a longer one.

        Args:
            texts: All texts of the evaluation sets.

        Returns:
            The other rows; see `overlap` for what counts as found.
        """
        excluded = set(texts)
        kept = self.without(excluded, "excluded") if excluded else self
        finder = TextFinder(excluded)
        found = [n for n, row in enumerate(kept.rows) if not any(map(finder.holds, row))]
        if len(found) == len(kept):
            return kept
        inside = {"excluded text inside a longer one": len(kept) - len(found)}
        return replace(kept.subset(found), skipped={**kept.skipped, **inside})

    def split(self, heldout: int, seed: int = 12) -> tuple["PairSet", "PairSet"]:
        """Cut off a development set whose anchors do not occur in the rest.

        Args:
            heldout: Rows of the development set.
            seed: Of the draw; 12 as in the training scripts of ModernBERT.

        Returns:
            Training and development rows. Training rows that share an anchor with the latter are left out and counted.

        Raises:
            ValueError: If that leaves no row to train on.
        """
        order = list(range(len(self)))
        random.Random(seed).shuffle(order)
        dev, rest = sorted(order[:heldout]), order[heldout:]
        anchors = {self.rows[n][0] for n in dev}
        kept = sorted(n for n in rest if self.rows[n][0] not in anchors)
        if not kept:
            raise ValueError(f"{heldout} rows held out of {len(self)} leave none to train on; hold out fewer")
        skipped = {**self.skipped, "anchor in the development set": len(rest) - len(kept)}
        return replace(self.subset(kept), skipped=skipped), self.subset(dev)


def same_text(text: str) -> str:
    """Return what two spellings of the same text have in common: composed, one case, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())

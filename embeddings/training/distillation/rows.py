"""Which text shall get whose vector: rows (text of the teacher, text of the student).

    texts.parquet?text=sentence&language=lang           every text gets the teacher's vector of itself
    notes.txt                                           the same, a line each
    pairs.jsonl?anchor=en&positive=de                   both get the teacher's vector of the anchor
    ntrex.parquet?key=line&text=text&language=lang      translations get the vector of the pivot's text (eng_Latn)

So a teacher that is weak in a language is asked for the English side only (multilingual distillation, Reimers and
Gurevych, arXiv 2004.09813).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ...pairs.cleaning import read_pairs
from ...pairs.pair_set import PairSet
from ...pairs.sources import PairSource

_NAMES = ("anchor", "positive")


@dataclass(frozen=True, slots=True)
class DistillationRows:
    """Rows to distil.

    Attributes:
        pairs: The rows, `anchor` the teacher's text and `positive` the student's, with the languages of the latter and
            what was left out.
        teacher_languages: Language of every text of the teacher; empty where the source says none.
    """

    pairs: PairSet
    teacher_languages: dict[str, str]

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def teacher_texts(self) -> list[str]:
        """Texts that the teacher is asked for, each once."""
        return list(dict.fromkeys(row[0] for row in self.pairs.rows))

    def languages_of(self, texts: Sequence[str]) -> list[str]:
        """Return the languages of texts of the teacher."""
        return [self.teacher_languages.get(text, "") for text in texts]

    def split(self, heldout: int, seed: int = 12) -> tuple["DistillationRows", "DistillationRows"]:
        """Hold rows out; no text of theirs is in the rest, on either side.

        Args:
            heldout: Rows to hold out.
            seed: Of the draw.

        Returns:
            Training and held-out rows.
        """
        train, dev = self.pairs.split(heldout, seed)
        train = train.without({text for row in dev.rows for text in row}, "in the held-out rows")
        return replace(self, pairs=train), replace(self, pairs=dev)


def read_distillation_rows(*sources: str, exclude: Iterable[str] = ()) -> DistillationRows:
    """Read rows of single texts, pairs and translations, in any mixture.

    Args:
        *sources: See above.
        exclude: Texts of evaluation sets; rows that hold one of them, alone or inside a longer text, are left out.

    Returns:
        The rows, each once.

    Raises:
        FileNotFoundError: If a source is not there.
        ValueError: If a source cannot be read, has not the columns, or fewer than two rows are left.
    """
    rows: dict[tuple[str, ...], str] = {}
    spoken: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    for place in sources:
        source = PairSource.parse(place)
        if source.holds_texts:
            found = source.texts()
            for text, language in found:
                if not text.strip():
                    skipped["empty"] += 1
                    continue
                skipped["repeated"] += (text, text) in rows
                rows.setdefault((text, text), language)
                spoken.setdefault(text, language)
            continue
        pairs = read_pairs(place)
        if pairs.kind == "scored":
            raise ValueError(f"{place} holds scored pairs; distillation takes texts, pairs or translations")
        pivot = source.pivot if "key" in source.columns else ""
        skipped.update(pairs.skipped)
        for row, language in zip(pairs.rows, pairs.languages, strict=True):
            rows.setdefault((row[0], row[0]), pivot)
            spoken.setdefault(row[0], pivot)
            for text in row[1:]:  # negatives of triplets are texts, too: they get vectors of their own
                key = (row[0], text) if text == row[1] else (text, text)
                rows.setdefault(key, language)
                if text != row[1]:
                    spoken.setdefault(text, language)
    left_out = {why: number for why, number in skipped.items() if number}
    found_rows = PairSet(_NAMES, list(rows), None, list(rows.values()), left_out).without_excluded(exclude)
    if len(found_rows) < 2:
        raise ValueError(
            f"distillation needs at least 2 texts, {', '.join(sources) or 'no source'} left {len(found_rows)} "
            f"(left out: {found_rows.skipped or 'none'})"
        )
    return DistillationRows(found_rows, spoken)

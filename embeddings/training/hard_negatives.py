"""Hard negatives: passages that a first model takes for the answer, and that are not.

The search is sentence-transformers' `mine_hard_negatives`. A candidate counts as wrong only if it is clearly less
similar than the right answer (5 % less, the TopK-PercPos rule of NV-Retriever, arXiv 2407.15831), because what lies
closer is often right too: a second passage, or a translation of the first.

Trade-off: by default a negative comes from the language of the positive. A model that is only starting to align
languages finds any text of another language far away, so those would teach nothing.
"""

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...common.messages import speaks_python
from ..pairs.pair_set import PairSet, same_text

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_CANDIDATES_A_NEGATIVE = 10  # how many neighbours are looked at for each negative that is wanted


def mine_negatives(
    embedder: "SentenceTransformer",
    pairs: PairSet,
    *,
    negatives: int = 1,
    relative_margin: float = 0.05,
    skip_nearest: int = 0,
    across_languages: bool = False,
    batch_size: int = 64,
) -> PairSet:
    """Add to every pair the passages that the embedder confuses with its positive.

    Args:
        embedder: The model that searches, for example a first round's.
        pairs: Pairs; their positives are the passages to search.
        negatives: How many a pair.
        relative_margin: How much less similar than the positive a negative must be, as a share of its similarity.
        skip_nearest: Leave out so many nearest passages.
        across_languages: Search the passages of all languages at once.
        batch_size: Texts in one forward pass.

    Returns:
        Triplets; pairs without enough negatives are left out and counted.

    Raises:
        ValueError: If these are no pairs, a number is out of range, or nothing was found.
    """
    if pairs.kind != "pairs":
        raise ValueError(f"negatives are mined for pairs, these are {pairs.kind}")
    if negatives < 1 or skip_nearest < 0 or not 0 <= relative_margin < 1:
        raise ValueError(
            f"negatives must be at least 1 (got {negatives}), skip_nearest at least 0 (got {skip_nearest}), "
            f"relative_margin between 0 and 1 (got {relative_margin})"
        )
    groups: dict[str, list[int]] = defaultdict(list)
    for number, language in enumerate(pairs.languages):
        groups["" if across_languages else language].append(number)
    rows: list[tuple[str, ...]] = []
    languages: list[str] = []
    for language, numbers in sorted(groups.items()):
        group = pairs.subset(numbers)
        spoken = dict(zip(((row[0], row[1]) for row in group.rows), group.languages, strict=True))
        room = len({row[1] for row in group.rows}) - 1 - skip_nearest
        if room < negatives:
            continue  # counted below: every pair that got no negatives
        wanted = min(room, negatives * _CANDIDATES_A_NEGATIVE)
        for row in _mined(embedder, group, negatives, relative_margin, skip_nearest, skip_nearest + wanted, batch_size):
            if all(same_text(text) not in (same_text(row[0]), same_text(row[1])) for text in row[2:]):
                rows.append(row)
                languages.append(spoken.get((row[0], row[1]), language))
    if not rows:
        raise ValueError(
            f"no pair of {len(pairs)} found {negatives} negatives; ask for fewer, or give more pairs of a language"
            + (", a smaller relative_margin, or across_languages=True" if speaks_python() else "")
        )
    names = ("anchor", "positive", *(f"negative_{n}" for n in range(1, negatives + 1)))
    skipped = {**pairs.skipped, "no hard negatives": len(pairs) - len(rows)}
    return replace(pairs, columns=names, rows=rows, languages=languages, skipped=skipped)


def _mined(
    embedder: Any, pairs: PairSet, negatives: int, margin: float, nearest: int, furthest: int, batch_size: int
) -> list[tuple[str, ...]]:
    from sentence_transformers.util import mine_hard_negatives

    found = mine_hard_negatives(
        pairs.dataset(),
        embedder,
        anchor_column_name="anchor",
        positive_column_name="positive",
        range_min=nearest,
        range_max=furthest,
        relative_margin=margin or None,
        num_negatives=negatives,
        output_format="n-tuple",
        batch_size=batch_size,
        verbose=False,
    )
    return [tuple(row.values()) for row in found]

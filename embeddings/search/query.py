"""From a question to hits: embed it, find the nearest passages, put them in order, by a reranker if there is one.

A vector of the question meets vectors that were made without it; a reranker reads question and passage together, which
is far slower and better. So it puts in order only what the vectors found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .nearest import merge
from .part import Part


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A passage that was found.

    Attributes:
        score: What the hits are ordered by: the reranker's, else the cosine.
        document: Name of the document.
        text: The passage; None if it is not stored and its file has changed since.
        file: File of the document, if it is one.
        line: Where the passage begins.
        start: Its first character in the document.
        end: The character after its last.
        cosine: Of question and passage.
    """

    score: float
    document: str
    text: str | None
    file: str | None
    line: int
    start: int
    end: int
    cosine: float


def check_questions(questions: Any) -> list[str]:
    """Refuse what cannot be searched for.

    Args:
        questions: One or several.

    Returns:
        A list.

    Raises:
        ValueError: If one is no text, blank, or holds half a surrogate pair.
    """
    from ..encoding.sentence_transformers_model import check_text

    found = [questions] if isinstance(questions, str) else list(questions) if _many(questions) else [questions]
    for number, question in enumerate(found):
        where = "the query" if len(found) == 1 else f"query {number}"
        check_text(question, where)
        if not question.strip():
            raise ValueError(f"{where} is blank; write what to look for")
    return found


def find(
    parts: Sequence[Part], vectors: npt.NDArray[np.float32], count: int, *, one_per_document: bool
) -> list[list[SearchHit]]:
    """Find the nearest passages of all parts.

    Args:
        parts: Of the index.
        vectors: (q, dimensions) of the questions, of length 1.
        count: How many to find for each.
        one_per_document: Keep the best passage of a document only.

    Returns:
        Hits, the best first, a list a question.
    """
    total = sum(len(part) for part in parts)
    wanted = count
    while True:
        found = _nearest(parts, vectors, min(wanted, total))
        hits = [_first_of_each(row, count) if one_per_document else row[:count] for row in found]
        if not one_per_document or wanted >= total or all(len(row) == count for row in hits):
            return hits
        wanted *= 4


def rerank(questions: Sequence[str], found: list[list[SearchHit]], reranker: Any, count: int) -> list[list[SearchHit]]:
    """Put hits in the order of a reranker.

    Args:
        questions: What was asked.
        found: Hits of each.
        reranker: With `predict`, as a CrossEncoder.
        count: How many to keep.

    Returns:
        The best hits, whose score is now the reranker's.

    Raises:
        ValueError: If a score is not finite, or a hit has no text to read.
    """
    if not any(found):
        return found
    pairs = [(question, hit.text) for question, row in zip(questions, found, strict=True) for hit in row]
    if lost := next((hit for row in found for hit in row if hit.text is None), None):
        raise ValueError(f"{lost.file} has changed, so its passages cannot be reranked; index the documents again")
    scores = np.asarray(reranker.predict(pairs, show_progress_bar=False), dtype=np.float64).reshape(-1)
    if len(scores) != len(pairs) or not np.isfinite(scores).all():
        raise ValueError(f"the reranker gave {len(scores)} scores for {len(pairs)} pairs, or some that are not finite")
    rest = iter(scores.tolist())
    ordered = []
    for row in found:
        judged = [replace(hit, score=next(rest)) for hit in row]
        ordered.append(sorted(judged, key=lambda hit: -hit.score)[:count])
    return ordered


def _nearest(parts: Sequence[Part], vectors: npt.NDArray[np.float32], count: int) -> list[list[SearchHit]]:
    begins = np.cumsum([0, *(len(part) for part in parts)])
    found = [part.nearest(vectors, count) for part in parts]
    rows = []
    for number in range(len(vectors)):
        own = [(one[number][0] + begin, one[number][1]) for begin, one in zip(begins[:-1], found, strict=True)]
        places, scores = merge(own, count)
        homes = np.searchsorted(begins, places, side="right") - 1
        rows.append(
            [
                _hit(parts[home].passage(int(place - begins[home])), float(score))
                for home, place, score in zip(homes, places, scores, strict=True)
            ]
        )
    return rows


def _hit(passage: dict[str, Any], score: float) -> SearchHit:
    return SearchHit(score=score, cosine=score, **passage)


def _first_of_each(hits: list[SearchHit], count: int) -> list[SearchHit]:
    best: dict[str, SearchHit] = {}
    for hit in hits:
        best.setdefault(hit.document, hit)
    return list(best.values())[:count]


def _many(questions: Any) -> bool:
    return hasattr(questions, "__iter__") and not isinstance(questions, bytes | dict)

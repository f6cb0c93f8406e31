"""What a search gives back, and how a reranker puts it in order.

A vector of the question meets vectors that were made without it; a reranker reads question and passage together, which
is far slower and better. So it puts in order only what vectors and words found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A passage that was found.

    Attributes:
        score: What the hits are ordered by: the reranker's; else the cosine (vectors; with `hubness="centre"` less the
            passage's product with the mean of all), or the sum of 1 / (60 + rank) over the rankings that hold it
            (words, hybrid).
        document: Name of the document.
        text: The passage; None if it is not stored and its file has changed since.
        file: File of the document, if it is one.
        line: Where the passage begins.
        start: Its first character in the document.
        end: The character after its last.
        cosine: Of question and passage; None where only words were compared.
        columns: What else is known of the document, such as its `lang`.
        highlights: [start, end) of the question's words in `text`.
    """

    score: float
    document: str
    text: str | None
    file: str | None
    line: int
    start: int
    end: int
    cosine: float | None
    columns: dict[str, Any] = field(default_factory=dict)
    highlights: list[tuple[int, int]] = field(default_factory=list)


def check_questions(questions: Any) -> list[str]:
    """One or several questions as a list; what is no text, blank or torn is refused."""
    from ..encoding.texts import check_text

    many = hasattr(questions, "__iter__") and not isinstance(questions, str | bytes | dict)
    found = list(questions) if many else [questions]
    for number, question in enumerate(found):
        where = "the query" if len(found) == 1 else f"query {number}"
        check_text(question, where)
        if not question.strip():
            raise ValueError(f"{where} is blank; write what to look for")
    return found


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
        ValueError: If its head was never trained, a score is not finite, or a hit has no text to read.
    """
    if not any(found):
        return found
    if getattr(reranker, "untrained", False):
        raise ValueError("the reranker's head was never trained, so its order means nothing; train it, or leave it out")
    pairs = [(question, hit.text) for question, row in zip(questions, found, strict=True) for hit in row]
    if lost := next((hit for row in found for hit in row if hit.text is None), None):
        raise ValueError(f"{lost.file} has changed, so its passages cannot be reranked; index the documents again")
    scores = np.asarray(reranker.predict(pairs, show_progress_bar=False), dtype=np.float64).reshape(-1)
    if len(scores) != len(pairs) or not np.isfinite(scores).all():
        raise ValueError(f"the reranker gave {len(scores)} scores for {len(pairs)} pairs, or some that are not finite")
    rest = iter(scores.tolist())
    ordered = []
    for row in found:
        scored = [replace(hit, score=next(rest)) for hit in row]
        ordered.append(sorted(scored, key=lambda hit: -hit.score)[:count])
    return ordered

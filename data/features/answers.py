"""From scores of tokens to answers: every span of a passage scored, the best few, and "no answer" where that wins.

The score of a span is its start logit plus its end logit; all spans up to `longest` tokens in all windows compete, not
only those of the best starts, so the result is exact. Windows that both show a span count its better score. "No answer"
scores what `<bos>` scores, in the window that is surest of an answer (SQuAD 2's convention: the minimum). What raw sums
give up: windows are compared without normalising, as BERT's and everybody's QA does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.files import write_json
from .passages import PassageEncoding


@dataclass(frozen=True)
class Answer:
    """A stretch of the passage.

    Attributes:
        text: Its letters; "" for no answer.
        start: First character in the passage, -1 for no answer.
        end: The character after the last, -1 for no answer.
        score: Sum of its two logits.
        probability: Softmax over the answers returned with it.
    """

    text: str
    start: int
    end: int
    score: float
    probability: float


@dataclass(frozen=True)
class Answers:
    """What a model answers to one question.

    Attributes:
        best: The answer; its text is "" if "no answer" won.
        n_best: The best spans, and "no answer" among them if it was allowed, by falling score.
        null_odds: Score of "no answer" less that of the best span; high means unanswerable.
    """

    best: Answer
    n_best: list[Answer]
    null_odds: float


def decode_answers(
    encoding: PassageEncoding,
    start_logits: Sequence[NDArray[np.floating]],
    end_logits: Sequence[NDArray[np.floating]],
    *,
    n_best: int = 20,
    longest: int = 30,
    null_threshold: float | None = None,
) -> Answers:
    """Finds the answer to a question.

    Args:
        encoding: The question's windows.
        start_logits: A row a window, a number a token; padding may follow.
        end_logits: Likewise.
        n_best: Answers to return.
        longest: Tokens in an answer, at the most.
        null_threshold: "No answer" wins if it scores more than the best span by so much; None: it never wins.

    Returns:
        The answers.

    Raises:
        ValueError: Scores and windows differ in number, or `n_best` or `longest` is below 1.
    """
    if len(start_logits) != len(encoding.windows) or len(end_logits) != len(encoding.windows):
        raise ValueError(f"scores of {len(start_logits)} windows, but the passage has {len(encoding.windows)}.")
    if n_best < 1 or longest < 1:
        raise ValueError(f"n_best is {n_best} and longest is {longest}; both must be 1 or more.")
    scores: dict[tuple[int, int], float] = {}
    nulls = []
    for window, (starts, ends) in enumerate(zip(start_logits, end_logits, strict=True)):
        nulls.append(float(starts[0]) + float(ends[0]))
        for score, first, last in _best_spans(encoding, window, starts, ends, n_best, longest):
            span = encoding.characters(window, first, last)
            if span[0] < span[1]:
                scores[span] = max(score, scores.get(span, -np.inf))
    ranked = sorted(((score, *span) for span, score in scores.items()), key=lambda entry: (-entry[0], entry[1:]))
    null = min(nulls)
    odds = null - ranked[0][0] if ranked else float("inf")
    entries = ranked[:n_best]
    if null_threshold is not None or not entries:
        entries = sorted([*entries, (null, -1, -1)], key=lambda entry: (-entry[0], entry[1:]))[:n_best]
    answers = _with_probabilities(encoding.context, entries)
    wins = not ranked or (null_threshold is not None and odds > null_threshold)
    best = next((answer for answer in answers if (answer.start < 0) == wins), None)
    if best is None:  # one answer was asked for, and the other kind scores higher
        best = _with_probabilities(encoding.context, [(null, -1, -1) if wins else ranked[0]])[0]
    return Answers(best, answers, odds)


def best_null_threshold(null_odds: Sequence[float], answered: Sequence[float], silent: Sequence[float]) -> float:
    """Chooses the threshold of "no answer" that scores highest; on dev data, never on what is reported.

    Args:
        null_odds: `Answers.null_odds` a question.
        answered: A question's metric if the best span is given.
        silent: Its metric if "" is given.

    Returns:
        The threshold; the lowest of equals is never taken over 0 if 0 does as well.

    Raises:
        ValueError: There is no question, or the lists differ in length.
    """
    if not len(null_odds) == len(answered) == len(silent) or not len(null_odds):
        lengths = f"{len(null_odds)}, {len(answered)} and {len(silent)}"
        raise ValueError(f"a threshold needs as many odds as metrics, and one question at least; got {lengths}.")
    odds = np.asarray(null_odds, dtype=np.float64)
    order = np.argsort(odds, kind="stable")
    gains = (np.asarray(answered, dtype=np.float64) - np.asarray(silent, dtype=np.float64))[order]
    # Answering the k questions with the lowest odds; a threshold must lie between two different odds.
    totals = np.concatenate([[0.0], np.cumsum(gains)])
    ranked = odds[order]
    cuts = [k for k in range(len(odds) + 1) if k in (0, len(odds)) or ranked[k - 1] < ranked[k]]
    zero = int(np.searchsorted(ranked, 0.0, side="right"))
    best = max(cuts, key=lambda k: (totals[k], k == zero))
    if best == zero:
        return 0.0
    if best == 0:
        return float(ranked[0]) - 1.0
    return float(ranked[best - 1]) if best == len(odds) else float((ranked[best - 1] + ranked[best]) / 2)


def write_predictions(
    output_dir: str | os.PathLike[str], answers: Mapping[str, Answers], *, unanswerable: bool = False
) -> Path:
    """Writes predictions as the SQuAD scorers read them.

    Args:
        output_dir: Folder for predictions.json, nbest_predictions.json and, with `unanswerable`, null_odds.json.
        answers: By question id.
        unanswerable: Whether "no answer" was allowed.

    Returns:
        The path of predictions.json.
    """
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {"predictions": {name: found.best.text for name, found in answers.items()}}
    files["nbest_predictions"] = {name: [vars(answer) for answer in found.n_best] for name, found in answers.items()}
    if unanswerable:
        files["null_odds"] = {name: found.null_odds for name, found in answers.items()}
    for name, content in files.items():
        write_json(folder / f"{name}.json", content, indent=1)
    return folder / "predictions.json"


def _best_spans(
    encoding: PassageEncoding,
    window: int,
    starts: NDArray[np.floating],
    ends: NDArray[np.floating],
    n_best: int,
    longest: int,
) -> list[tuple[float, int, int]]:
    """The best spans of a window, enough of them that n_best differ in their characters."""
    tokens = len(encoding.offsets[window])
    if not tokens:
        return []
    stop = encoding.first + tokens
    wide = min(longest, tokens)
    start = np.asarray(starts[encoding.first : stop], dtype=np.float64)
    end = np.full(tokens + wide, -np.inf)
    end[:tokens] = ends[encoding.first : stop]
    bare = encoding.offsets[window][:, 0] == encoding.offsets[window][:, 1]
    start[bare], end[:tokens][bare] = -np.inf, -np.inf
    table = start[:, None] + np.lib.stride_tricks.sliding_window_view(end, wide)[:tokens]
    flat = table.ravel()
    # Bytes of one character have the same place: up to 4 starts and 4 ends give the same answer.
    wanted = min(n_best * 16, flat.size)
    chosen = np.argpartition(-flat, wanted - 1)[:wanted]
    found = []
    for at in chosen[np.isfinite(flat[chosen])]:
        first, length = divmod(int(at), wide)
        found.append((float(flat[at]), first + encoding.first, first + length + encoding.first))
    return found


def _with_probabilities(context: str, entries: Sequence[tuple[float, int, int]]) -> list[Answer]:
    scores = np.array([score for score, _, _ in entries])
    weights = np.exp(scores - scores.max())
    shares = weights / weights.sum()
    return [
        Answer(context[start:end] if start >= 0 else "", start, end, float(score), float(share))
        for (score, start, end), share in zip(entries, shares, strict=True)
    ]

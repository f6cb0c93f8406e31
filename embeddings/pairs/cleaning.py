"""Reads training pairs and cleans them: what a contrastive loss may learn from, and why the rest was left out.

Three kinds, by the columns of the source: pairs (anchor, positive), triplets (with one negative or more), and scored
pairs. A list of positives (FlagEmbedding, Tevatron, DPR) is a row for each, with the scores that a teacher gave. NLI
labels become triplets: a premise, what follows from it, what contradicts it. Labels 0 and 1 alone are refused: in NLI
0 is what follows, in sets of duplicates it is what differs, and the numbers do not say which.

A row that teaches nothing or teaches wrongly is left out and counted: a missing or empty text, a text paired with
itself, a repeated row, a negative that is the positive. A value that is no text at all is an error, with its row.
"""

import logging
import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...data.labelled.plausibility import written_list
from ...languages.tags import tags_in_use
from .pair_set import PairSet, same_text
from .sources import PairSource

logger = logging.getLogger(__name__)

_ENTAILMENT, _CONTRADICTION = 0, 2  # as in SNLI, MultiNLI and XNLI on the Hub; 1 is neutral
_NLI_WORDS = {"entailment": _ENTAILMENT, "neutral": 1, "contradiction": _CONTRADICTION, "not_entailment": 1}


def read_pairs(*sources: str, negatives: int | None = None, max_rows: int | None = None) -> PairSet:
    """Read and clean training pairs.

    Args:
        *sources: `PLACE?role=column&...`, see `pair_sources`; all of one kind.
        negatives: Hard negatives a row; None: as many as the first row has. Rows with fewer are left out.
        max_rows: Draw so many of the clean rows, the same for the same sources; None: all.

    Returns:
        The rows, and what was left out by reason.

    Raises:
        FileNotFoundError: If a source is not there.
        ValueError: If a source cannot be read, has not the columns, mixes kinds or leaves fewer than two rows.
    """
    cleaner = _Cleaner(negatives)
    for source in sources:
        for where, row in PairSource.parse(source).rows():
            cleaner.add(row, where)
    found = cleaner.finish(sources)
    if max_rows is not None and len(found) > max_rows:
        drawn = sorted(random.Random(0).sample(range(len(found)), max_rows))
        found = replace(found.subset(drawn), skipped={**found.skipped, "beyond max_rows": len(found) - max_rows})
    if len(found) < 2:
        raise ValueError(
            f"training needs at least 2 rows, {', '.join(sources) or 'no source'} left {len(found)} "
            f"(left out: {found.skipped or 'none'})"
        )
    return found


class _Cleaner:
    """Takes rows of roles and keeps what can be learned from."""

    def __init__(self, negatives: int | None) -> None:
        self.negatives = negatives
        self.rows: list[tuple[str, ...]] = []
        self.scores: list[float] = []
        self.languages: list[str] = []
        self.teacher: list[tuple[float | None, ...]] = []
        self.skipped: Counter[str] = Counter()
        self._seen: set[tuple[str, ...]] = set()
        self._kind: str | None = None
        self._numbers: set[int] = set()
        self._unused: set[str] = set()
        self._nli: dict[tuple[str, str], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))

    def add(self, row: dict[str, Any], where: str) -> None:
        """Check one row and keep it, or count why not."""
        if "left_out" in row:
            self.skipped[row["left_out"]] += 1
            return
        positives = _listed(row["positive"])
        if isinstance(positives, list) or "positive_scores" in row:
            self._add_each(positives if isinstance(positives, list) else [positives], row, where)
            return
        kind = "triplets" if "negative" in row else "scored" if "score" in row else "NLI" if "label" in row else "pairs"
        if self._kind not in (None, kind):
            raise ValueError(f"{where}: {kind} after {self._kind}; train on sources of one kind at a time")
        self._kind = kind
        self._unused |= {"score", "label"} & row.keys() if kind == "triplets" else set()
        anchor, positive = _text(row["anchor"], where, "anchor"), _text(row["positive"], where, "positive")
        reason = _reason_to_skip(anchor, positive) if kind != "scored" else _reason_to_skip(anchor, positive, True)
        if reason is not None or anchor is None or positive is None:
            self.skipped[reason or "no text"] += 1
            return
        language = str(row.get("language") or "")
        if kind == "NLI":
            self._add_nli(anchor, positive, row["label"], language, where)
        elif kind == "scored":
            self._add_scored(anchor, positive, row["score"], language, where)
        else:
            negatives = self._negatives(row, anchor, positive, where) if kind == "triplets" else []
            if negatives is not None:
                scores = [row.get("teacher_score"), *(score for _, score in negatives)]
                if self._keep((anchor, positive, *(text for text, _ in negatives)), language):
                    self.teacher.append(tuple(scores))

    def _add_each(self, positives: list[Any], row: dict[str, Any], where: str) -> None:
        """Add a row for each right passage of one query."""
        if not positives:
            self.skipped["no text"] += 1
        scores = _scores(row.get("positive_scores"), len(positives), f"{where}, positive_scores")
        rest = {role: value for role, value in row.items() if role != "positive_scores"}
        for number, positive in enumerate(positives):
            own = {"teacher_score": scores[number]} if scores else {}
            self.add({**rest, "positive": _passage(positive), **own}, where)

    def _keep(self, texts: tuple[str, ...], language: str) -> bool:
        if texts in self._seen:
            self.skipped["repeated"] += 1
            return False
        self._seen.add(texts)
        self.rows.append(texts)
        self.languages.append(language)
        return True

    def _negatives(
        self, row: dict[str, Any], anchor: str, positive: str, where: str
    ) -> list[tuple[str, float | None]] | None:
        """Return the usable negatives of a row with a teacher's scores, or None and a count if there are too few."""
        given = row["negative"]
        listed = _listed(given)
        found = [_text(_passage(text), where, "negative") for text in (listed if isinstance(listed, list) else [given])]
        given_scores = _scores(row.get("negative_scores"), len(found), f"{where}, negative_scores")
        scores: Sequence[float | None] = given_scores or [None] * len(found)
        usable = [(text, score) for text, score in zip(found, scores, strict=True) if text is not None and text.strip()]
        different = [one for one in usable if same_text(one[0]) not in (same_text(anchor), same_text(positive))]
        if self.negatives is None and different:
            self.negatives = len(different)
        if not different or len(different) < (self.negatives or 1):
            equal = len(different) < len(usable)
            self.skipped["negative equals positive or anchor" if equal else "too few negatives"] += 1
            return None
        return different[: self.negatives]

    def _add_scored(self, anchor: str, positive: str, score: Any, language: str, where: str) -> None:
        try:
            number = math.nan if score is None or score == "" else float(score)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{where}: the score must be a number, got {score!r}") from error
        if math.isinf(number):
            raise ValueError(f"{where}: the score must be a finite number, got {score!r}")
        if math.isnan(number):
            self.skipped["no score"] += 1
        elif self._keep((anchor, positive), language):
            self.scores.append(number)

    def _add_nli(self, premise: str, hypothesis: str, label: Any, language: str, where: str) -> None:
        number = _NLI_WORDS.get(str(label).lower().strip(), label)
        if isinstance(number, str) and number.strip().lstrip("-").isdecimal():
            number = int(number)  # a table of text
        if number in (-1, "-", "", None):
            self.skipped["no label"] += 1
        elif number not in (0, 1, 2):
            raise ValueError(f"{where}: NLI labels are 0, 1, 2 or entailment, neutral, contradiction, got {label!r}")
        else:
            if str(label).lower().strip() not in _NLI_WORDS:  # no word said what it means
                self._numbers.add(int(number))
            self._nli[language, premise][int(number)].append(hypothesis)

    def finish(self, sources: Sequence[str]) -> PairSet:
        """Turn NLI groups into triplets, bring scores to 0 ... 1, and hand everything over."""
        if self._numbers and _CONTRADICTION not in self._numbers:
            raise ValueError(
                f"labels are {', '.join(map(str, sorted(self._numbers)))} only: in NLI 0 is right, in sets of "
                "duplicates 1 is; write NLI labels in words, or learn them as scores with ?score=label"
            )
        contradicted = any(_CONTRADICTION in group for group in self._nli.values())
        for (language, premise), group in self._nli.items():
            negatives = group.get(_CONTRADICTION, []) if contradicted else [None] * len(group[_ENTAILMENT])
            for positive, negative in zip(group.get(_ENTAILMENT, []), negatives, strict=False):
                self._keep((premise, positive) if negative is None else (premise, positive, negative), language)
            used = min(len(group.get(_ENTAILMENT, [])), len(negatives)) * (1 + contradicted)
            if unused := sum(map(len, group.values())) - used:
                self.skipped["NLI row without a partner"] += unused
        width = len(self.rows[0]) if self.rows else 2
        names = ("anchor", "positive", *(f"negative_{n}" for n in range(1, width - 1)))
        scores = _unit_scores(self.scores) if self._kind == "scored" else None
        place = ", ".join(sources)
        scored = [row for row in self.teacher if None not in row]
        if scored and len(scored) < len(self.rows):
            raise ValueError(
                f"{len(self.rows) - len(scored):,} of {len(self.rows):,} rows lack a teacher's score for their positive"
                " or a negative, while others have them; give pos_scores and neg_scores in every row, or in none"
            )
        if self._unused:
            told = " and ".join(sorted(self._unused))
            logger.warning("%s: rows with negatives take no %s; a teacher's are pos_scores and neg_scores", place, told)
        teacher: Any = (scored if width > 2 else None) or None
        in_use = tags_in_use(place, self.languages, "")
        languages = [in_use[tag] for tag in self.languages]
        return PairSet(names, self.rows, scores, languages, dict(self.skipped), teacher)


def _text(value: Any, where: str, role: str) -> str | None:
    """Return a text, or None where a table holds nothing (None or NaN)."""
    from ..encoding.texts import check_text

    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    check_text(value, f"{where}, {role}")
    return str(value)


def _listed(value: Any) -> Any:
    """Return a list as it is, and one that a CSV file holds in Python's spelling as a list."""
    if isinstance(value, str) and value[:1] == "[" and value[-1:] == "]":
        try:
            found = written_list(value, "")
        except ValueError:
            return value
        return found if isinstance(found, list) and all(isinstance(one, str) for one in found) else value
    return value


def _scores(value: Any, count: int, where: str) -> list[float] | None:
    """Return a teacher's scores, one for each of so many passages."""
    if value is None:
        return None
    found = written_list(value, where)
    found = found if isinstance(found, (list, tuple)) else [found]
    if len(found) != count or not all(isinstance(one, (int, float)) and math.isfinite(one) for one in found):
        raise ValueError(f"{where}: {value!r:.60} must be {count} numbers, one for each passage")
    return [float(one) for one in found]


def _passage(value: Any) -> Any:
    """Return the text of a passage that is an object, as DPR and Tevatron have them."""
    return value.get("text", value) if isinstance(value, dict) else value


def _reason_to_skip(anchor: str | None, positive: str | None, scored: bool = False) -> str | None:
    if anchor is None or positive is None:
        return "no text"
    if not anchor.strip() or not positive.strip():
        return "empty"
    return "same text twice" if not scored and anchor == positive else None


def _unit_scores(scores: list[float]) -> list[float]:
    """Bring similarity scores to 0 ... 1: STS gives 0 to 5, others 0 to 1 or -1 to 1."""
    highest, lowest = max(scores, default=1.0), min(scores, default=0.0)
    if not math.isfinite(highest - lowest):
        raise ValueError(f"scores must be finite, got {lowest} to {highest}")
    if lowest < 0 or highest <= 1:
        return scores
    return [score / highest for score in scores]

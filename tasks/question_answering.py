"""Answering questions from a passage, from labelled rows to scores, in every language, trained or zero-shot.

Exact match and F1 as in SQuAD, with the normaliser of the language of the answer. With `unanswerable`, the threshold of
"no answer" is chosen on dev (0 without one) and then applied to the tests: what is reported was not tuned on.
"""

from __future__ import annotations

import json
import logging
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.messages import require_known
from ..data.features.answers import Answers, best_null_threshold, write_predictions
from ..data.features.passage_rows import PassageRows
from ..data.features.running_text import split_words
from ..trainers import FineTuned
from .base import OnBadRow, Task
from .metrics.classification import Scores
from .metrics.intervals import Intervals, mean_interval, share_interval
from .metrics.question_answering import OFFICIAL, Official, exact_match, official_scores, token_f1
from .training import fine_tune_task

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

_DRAWS = 5
_KINDS = ("answerable_f1", "unanswerable_f1")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|[。！？।؟።\n]")


@dataclass(frozen=True, kw_only=True)
class PassageOptions:
    """How questions and passages are read, and answers found.

    Attributes:
        max_length: Tokens in a window, question included; 8,192 reads whole documents.
        stride: Tokens of the passage that neighbouring windows share.
        max_question: Tokens of a question that are read.
        unanswerable: Whether "no answer" is an answer.
        longest: Tokens in an answer, at the most.
        n_best: Answers written for each question.
        on_bad_row: What to do with an answer that is not in its passage: "error"; "skip" and count; "wrong": score the
            question by the answer's text.
        answer_language: Tag of the language of passages and answers, where it is not that of the question (AfriQA).
        official: Also score as this set's own script does: "squad" (SQuAD, XQuAD, TyDi QA; with `unanswerable` SQuAD
            2.0's) or "mlqa".
    """

    max_length: int = 512
    stride: int = 128
    max_question: int = 64
    unanswerable: bool = False
    longest: int = 40
    n_best: int = 5
    on_bad_row: OnBadRow = "error"
    answer_language: str | None = None
    official: Official | None = None

    def __post_init__(self) -> None:
        require_known("official", self.official, (None, *OFFICIAL))


class QuestionAnswering(Task):
    """A stretch of the passage per question."""

    name, head = "qa", "spans"
    reading_class, reading_name, younger = PassageOptions, "passages", ("answer_language", "official")
    columns, same = ("question", "context"), ("question", "context")
    score_names = ("f1", "exact", *_KINDS, "official_f1", "official_exact")

    def prepare(self, checkpoint: str | Path | None) -> None:
        """Check the columns."""
        self.require_columns("question", "context", "answers")
        self.parts: dict[str, PassageRows] = {}
        self.threshold = 0.0
        self.facts["left_out"] = {}

    def encode(self, name: str) -> Dataset:
        """Encode questions and passages in windows; of several answers the first is learned."""
        own, rows = self.reading, self.sources[name]
        by_text = own.on_bad_row == "wrong" and name != "train"
        try:
            read = PassageRows.read(
                rows.remove_columns("answers") if by_text else rows,
                self.tokenizer,
                max_length=own.max_length,
                stride=own.stride,
                max_question=own.max_question,
                unanswerable=own.unanswerable or by_text,
                on_bad_answer="skip" if own.on_bad_row == "skip" else "error",
            )
        except ValueError as error:
            raise ValueError(f"{name}, {error}") from None
        if by_text:
            read = replace(read, gold=[list(answers["text"]) for answers in rows["answers"][:]])
        self.parts[name] = read
        counted = ("bad_answers", "no_answer", "unreachable", "questions_cut")
        self.facts["left_out"][name] = {key: getattr(read, key) for key in counted}
        cut = Counter(tag for tag, one in zip(read.languages, read.encodings, strict=True) if one.question_cut)
        self.note_cut(name, read.languages, cut, own.max_question, "these are questions; a larger max_question helps")
        if own.unanswerable and name == "dev":
            kinds = (any(read.gold), not all(read.gold))
            self.more_scores = [kind for kind, there in zip(_KINDS, kinds, strict=True) if there]
        return read.rows.add_column("part", [name] * len(read.rows))

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score answers; the whole of dev also chooses the threshold of "no answer"."""
        name = rows["part"][0]
        part = self.parts[name]
        if self.reading.unanswerable and name == "dev" and len(rows) == len(part.rows):
            self.threshold = self._best_threshold(predictions, rows)
        texts = {number: one.best.text for number, one in self.answers(predictions, rows).items()}
        scores = self.scores(name, texts)
        if self.reading.unanswerable:
            answerable = {number: text for number, text in texts.items() if part.gold[number]}
            silent = {number: text for number, text in texts.items() if not part.gold[number]}
            kinds = ((_KINDS[0], answerable), (_KINDS[1], silent))
            scores |= {kind: self.scores(name, some)["f1"] for kind, some in kinds if some}
            scores["null_threshold"] = self.threshold
        return scores

    def intervals(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Intervals:
        """The intervals over questions."""
        name = rows["part"][0]
        each = [self.scores(name, {number: one.best.text}) for number, one in self.answers(predictions, rows).items()]
        columns = {key: [one[key] for one in each] for key in each[0]}
        return {
            key: share_interval(statistics.fmean(values), len(each)) if "exact" in key else mean_interval(values)
            for key, values in columns.items()
        }

    def answers(self, predictions: Sequence[np.ndarray], rows: Dataset, n_best: int = 1) -> dict[int, Answers]:
        """Find the answers of rows, by number of the question."""
        threshold = self.threshold if self.reading.unanswerable else None
        part = self.parts[rows["part"][0]]
        return part.answers(predictions, rows, n_best=n_best, longest=self.reading.longest, null_threshold=threshold)

    def scores(self, name: str, texts: Mapping[int, str]) -> Scores:
        """Score answers, given by number of the question: `f1`, `exact`, and the official ones."""
        evaluated = [self._with_gold(name, number, text) for number, text in texts.items()]
        found = {
            "f1": statistics.fmean(token_f1(*one) for one in evaluated),
            "exact": statistics.fmean(exact_match(*one) for one in evaluated),
        }
        if self.reading.official is not None:
            found |= official_scores(self.reading.official, evaluated, unanswerable=self.reading.unanswerable)
        return found

    def majority(self, name: str, rows: Sequence[int] | None = None) -> Scores:
        """Score the whole passage as answer, or silence where most questions of training have no answer."""
        part, train = self.parts[name], self.parts["train"]
        silent = sum(not answers for answers in train.gold) * 2 > len(train.gold)
        chosen = range(len(part.gold)) if rows is None else rows
        return self.scores(name, {row: "" if silent else part.encodings[row].context for row in chosen})

    def baselines(self, name: str) -> dict[str, Scores]:
        """Score what needs no network.

        Args:
            name: Of a data set.

        Returns:
            `random span`: as many words as the median answer of training, anywhere (mean of 5 draws); `first
            sentence`; with unanswerable questions `no answer`, always.
        """
        lengths = [len(split_words(answers[0]).spans) for answers in self.parts["train"].gold if answers]
        words = max(1, round(statistics.median(lengths))) if lengths else 1
        contexts = [encoding.context for encoding in self.parts[name].encodings]
        draws = [self.scores(name, _random_spans(contexts, words, seed)) for seed in range(_DRAWS)]
        found = {"random span": {key: statistics.fmean(one[key] for one in draws) for key in draws[0]}}
        found["first sentence"] = self.scores(name, dict(enumerate(map(_first_sentence, contexts))))
        if self.reading.unanswerable:
            found["no answer"] = self.scores(name, dict.fromkeys(range(len(contexts)), ""))
        return found

    def write(self, name: str, result: FineTuned) -> None:
        """Write SQuAD's files and a line of JSON per question; "no answer" wins at the threshold that dev chose."""
        part, rows = self.parts[name], self.encoded[name]
        self.threshold = result.scores[name].get("null_threshold", 0.0)
        found = self.answers(result.predictions[name], rows, self.reading.n_best)
        by_id = {part.ids[number]: one for number, one in found.items()}
        write_predictions(result.folder / f"predictions_{name}", by_id, unanswerable=self.reading.unanswerable)
        with (result.folder / f"predictions_{name}.jsonl").open("w", encoding="utf-8") as file:
            for number, one in found.items():
                line: dict[str, Any] = {
                    "id": part.ids[number],
                    "language": part.languages[number],
                    "question": part.questions[number],
                }
                line |= {"right": part.gold[number], "predicted": one.best.text}
                line["f1"] = token_f1(*self._with_gold(name, number, one.best.text))
                file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _with_gold(self, name: str, number: int, text: str) -> tuple[str, list[str], str]:
        part = self.parts[name]
        return text, part.gold[number], self.reading.answer_language or part.languages[number]

    def _best_threshold(self, predictions: Sequence[np.ndarray], rows: Dataset) -> float:
        name = rows["part"][0]
        spoken = self.parts[name].answers(predictions, rows, n_best=1, longest=self.reading.longest)
        odds, answered, silent = [], [], []
        for number, found in spoken.items():
            odds.append(found.null_odds)
            answered.append(token_f1(*self._with_gold(name, number, found.best.text)))
            silent.append(token_f1(*self._with_gold(name, number, "")))
        return best_null_threshold(odds, answered, silent)


def fine_tune_answerer(
    checkpoint: str | Path, rows: Mapping[str, Dataset], output_dir: str | Path, *args: Any, **given: Any
) -> list[FineTuned]:
    """Fine-tune a network that finds answers, with several seeds, and score it in every language.

    Args:
        checkpoint: What to start from.
        rows: With `question`, `context` and `answers`; see `fine_tune_task`.
        output_dir: Gets a folder per seed.
        *args: See `fine_tune_task`.
        **given: See `fine_tune_task`; `passages` is a `PassageOptions`.

    Returns:
        A result per seed. With `unanswerable` scores hold the threshold of "no answer" as `null_threshold`;
        `predictions_<data set>/` holds SQuAD's files.
    """
    return fine_tune_task(QuestionAnswering, checkpoint, rows, output_dir, *args, **given)


def _random_spans(contexts: Sequence[str], words: int, seed: int) -> dict[int, str]:
    draw = np.random.default_rng(seed)
    found = {}
    for number, context in enumerate(contexts):
        spans = split_words(context).spans
        if spans:
            first = int(draw.integers(max(1, len(spans) - words + 1)))
            found[number] = context[spans[first][0] : spans[min(first + words, len(spans)) - 1][1]]
        else:
            found[number] = ""
    return found


def _first_sentence(context: str) -> str:
    end = _SENTENCE_END.search(context)
    return context[: end.end() if end else None]

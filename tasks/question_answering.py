"""Answering questions from a passage, from labelled rows to scores, in every language, trained or zero-shot.

Exact match and F1 as in SQuAD, with each language's own normaliser. With `unanswerable`, the threshold of "no answer"
is chosen on dev (0 without one) and then applied to the tests: what is reported was not tuned on.
"""

from __future__ import annotations

import logging
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.corpora.rows import OnBadRow
from ..data.features.answers import Answers, best_null_threshold, write_predictions
from ..data.features.passage_rows import PassageRows
from ..data.features.running_text import split_words
from ..trainers import FineTuned, FineTuneOptions
from .metrics.classification import Scores
from .metrics.question_answering import exact_match, token_f1
from .multi_seed import SeededTask, fine_tune_seeds

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
        on_bad_row: What to do with an answer that is not in its passage: "error", or "skip" and count.
    """

    max_length: int = 512
    stride: int = 128
    max_question: int = 64
    unanswerable: bool = False
    longest: int = 40
    n_best: int = 5
    on_bad_row: OnBadRow = "error"


def fine_tune_answerer(
    checkpoint: str | Path,
    rows: Mapping[str, Dataset],
    *,
    tokenizer: Any,
    output_dir: str | Path,
    options: FineTuneOptions | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    passages: PassageOptions | None = None,
    facts: Mapping[str, Any] | None = None,
    score: str | None = None,
) -> list[FineTuned]:
    """Fine-tune a network that finds answers, with several seeds, and judge it in every language.

    Args:
        checkpoint: What to start from, see `mmbert.trainers.fine_tune`.
        rows: From `read_labelled`, with `question`, `context` and `answers`: `train`, perhaps `dev`, and any data
            sets to test on.
        tokenizer: The checkpoint's.
        output_dir: Gets a folder a seed, `seed-0`, ...; with one seed it is the network's folder itself.
        options: Hyper-parameters.
        seeds: One run each.
        passages: How questions and passages are read.
        facts: What else the records shall hold.
        score: A score of the tests that will be wanted; one that there is not is refused before the training.

    Returns:
        A result a seed. Records hold `baselines` and `left_out`, and with `unanswerable` the threshold of "no answer"
        as `null_threshold` among the scores; `predictions_<data set>/` holds SQuAD's files.

    Raises:
        ValueError: If rows or options are of no use; the message says which.
    """
    from transformers import DataCollatorWithPadding

    reading = passages or PassageOptions()
    parts = {name: _read(name, part, tokenizer, reading) for name, part in rows.items()}
    encoded = {name: part.rows.add_column("part", [name] * len(part.rows)) for name, part in parts.items()}
    metrics = AnswerMetrics(parts, reading)
    counted = ("bad_answers", "no_answer", "unreachable", "questions_cut")

    def write(name: str, result: FineTuned) -> None:
        metrics.threshold = result.scores[name].get("null_threshold", 0.0)
        answers = metrics.answers(result.predictions[name], encoded[name], reading.n_best)
        by_id = {parts[name].ids[number]: found for number, found in answers.items()}
        write_predictions(result.folder / f"predictions_{name}", by_id, unanswerable=reading.unanswerable)

    task = SeededTask(
        head="spans",
        sources=rows,
        encoded=encoded,
        same=["question", "context"],
        collator=DataCollatorWithPadding(tokenizer),
        metrics=metrics,
        baselines={name: metrics.baselines(name) for name in parts if name != "train"},
        write=write,
        reading=("passages", vars(reading)),
        facts={"left_out": {name: {key: getattr(part, key) for key in counted} for name, part in parts.items()}},
        more_scores=_kinds(parts["dev"].gold) if reading.unanswerable and "dev" in parts else (),
    )
    return fine_tune_seeds(
        checkpoint,
        task,
        tokenizer=tokenizer,
        output_dir=output_dir,
        options=options,
        seeds=seeds,
        score=score,
        facts=facts,
    )


class AnswerMetrics:
    """Exact match and F1 of the answers that windows' scores give.

    Args:
        parts: The data sets by name; rows that are scored say by a column `part` which one they are of.
        reading: How answers are found.
    """

    def __init__(self, parts: Mapping[str, PassageRows], reading: PassageOptions) -> None:
        self.parts, self.reading = parts, reading
        self.threshold = 0.0

    def __call__(self, predictions: Sequence[np.ndarray], rows: Dataset) -> Scores:
        """Score the predictions of rows; the whole of dev also chooses the threshold of "no answer"."""
        name = rows["part"][0]
        part = self.parts[name]
        if self.reading.unanswerable and name == "dev" and len(rows) == len(part.rows):
            self.threshold = self._best_threshold(predictions, rows)
        found = self.answers(predictions, rows)
        scores = self.scores(part, {number: one.best.text for number, one in found.items()})
        if self.reading.unanswerable:
            answerable = {number: one.best.text for number, one in found.items() if part.gold[number]}
            silent = {number: one.best.text for number, one in found.items() if not part.gold[number]}
            kinds = ((_KINDS[0], answerable), (_KINDS[1], silent))
            scores |= {kind: self.scores(part, some)["f1"] for kind, some in kinds if some}
            scores["null_threshold"] = self.threshold
        return scores

    def answers(self, predictions: Sequence[np.ndarray], rows: Dataset, n_best: int = 1) -> dict[int, Answers]:
        """Find the answers of rows.

        Args:
            predictions: Scores of windows.
            rows: The windows.
            n_best: How many answers to keep of a question.

        Returns:
            Answers by number of the question.
        """
        threshold = self.threshold if self.reading.unanswerable else None
        part = self.parts[rows["part"][0]]
        return part.answers(predictions, rows, n_best=n_best, longest=self.reading.longest, null_threshold=threshold)

    def scores(self, part: PassageRows, texts: Mapping[int, str]) -> Scores:
        """Score answers.

        Args:
            part: The data set.
            texts: An answer a question, by its number.

        Returns:
            `f1` and `exact`.
        """
        judged = [(text, part.gold[number], part.languages[number]) for number, text in texts.items()]
        return {
            "f1": statistics.fmean(token_f1(*one) for one in judged),
            "exact": statistics.fmean(exact_match(*one) for one in judged),
        }

    def baselines(self, name: str) -> dict[str, Scores]:
        """Score what needs no network.

        Args:
            name: Name of a data set.

        Returns:
            `random span`: as many words as the median answer of training, anywhere (mean of 5 draws); `first
            sentence`; with unanswerable questions `no answer`, always.
        """
        part = self.parts[name]
        lengths = [len(split_words(answers[0]).spans) for answers in self.parts["train"].gold if answers]
        words = max(1, round(statistics.median(lengths))) if lengths else 1
        contexts = [encoding.context for encoding in part.encodings]
        draws = [self.scores(part, _random_spans(contexts, words, seed)) for seed in range(_DRAWS)]
        found = {"random span": {key: statistics.fmean(one[key] for one in draws) for key in draws[0]}}
        found["first sentence"] = self.scores(part, dict(enumerate(map(_first_sentence, contexts))))
        if self.reading.unanswerable:
            found["no answer"] = self.scores(part, dict.fromkeys(range(len(contexts)), ""))
        return found

    def _best_threshold(self, predictions: Sequence[np.ndarray], rows: Dataset) -> float:
        part = self.parts[rows["part"][0]]
        spoken = part.answers(predictions, rows, n_best=1, longest=self.reading.longest)
        odds, answered, silent = [], [], []
        for number, found in spoken.items():
            gold, language = part.gold[number], part.languages[number]
            odds.append(found.null_odds)
            answered.append(token_f1(found.best.text, gold, language))
            silent.append(token_f1("", gold, language))
        return best_null_threshold(odds, answered, silent)


def _kinds(gold: Sequence[Sequence[str]]) -> list[str]:
    return [kind for kind, there in zip(_KINDS, (any(gold), not all(gold)), strict=True) if there]


def _read(name: str, part: Dataset, tokenizer: Any, reading: PassageOptions) -> PassageRows:
    if missing := [column for column in ("question", "context", "answers") if column not in part.column_names]:
        raise ValueError(f"{name} has no {missing[0]}; its columns are {', '.join(part.column_names)}.")
    try:
        return PassageRows.read(
            part,
            tokenizer,
            max_length=reading.max_length,
            stride=reading.stride,
            max_question=reading.max_question,
            unanswerable=reading.unanswerable,
            on_bad_answer=reading.on_bad_row,
        )
    except ValueError as error:
        raise ValueError(f"{name}, {error}") from None


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

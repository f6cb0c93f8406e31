"""The sets on which an embedder is evaluated, each read from a file of yours and scored language by language.

    name                  file (parquet or .jsonl)                        number
    tatoeba               lang, text, text_eng                            accuracy of finding the translation, both ways
    xquad                 lang, id, question, context                     nDCG@10, passages of the question's language
    xquad-cross           the same file                                   nDCG@10, passages in English
    stsb                  lang, split, sentence1, sentence2, score        Spearman
    sib200                lang, split, category, text                     accuracy of 5 neighbours among English rows
    sib200-own            the same file                                   the same, among dev rows of the own language
    cosqa                 folder with codebase (code_idx, code) and queries_dev (query, code_idx)   nDCG@10
    code-search           lang, split, query, code                        nDCG@10 among functions of the language

Nothing is trained, so every number is zero-shot but that of English in sib200. Each stands beside what chance gives.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...tasks.metrics.intervals import Intervals, mean_interval
from ...tasks.metrics.ranking import chance_scores
from .bitext import bitext_accuracy
from .knn import neighbour_scores
from .retrieval import CUTOFFS, scores_of_vectors
from .retrieval_sets import (
    ENGLISH,
    RetrievalSet,
    Row,
    by_language,
    code_search_sets,
    cosqa_sets,
    xquad_cross_sets,
    xquad_sets,
)
from .sts import sts_scores
from .vectors import embed

Scores = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SetScores:
    """Scores of one set."""

    scores: Scores  # by language: the task's number, further ones, `rows` and `trained`
    baseline: dict[str, float]  # the number that chance gets, by language
    notes: tuple[str, ...] = ()  # what a reader must know
    intervals: Mapping[str, Intervals] = field(default_factory=dict)  # 95 % over rows, by language and number


Scorer = Callable[[Any, dict[str, list[Row]]], SetScores]


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """A set that an embedder is evaluated on."""

    title: str  # for tables
    metric: str  # the number that counts
    columns: Mapping[str, tuple[str, ...]]  # what its rows must have; by file where it has two
    score: Scorer  # from an encoder and its rows to scores


@dataclass(frozen=True, slots=True)
class _Pair:
    language: str
    english: str
    text: str


def _tatoeba(encoder: Any, files: dict[str, list[Row]]) -> SetScores:
    pairs = [_Pair(row["lang"], row["text_eng"], row["text"]) for row in files["data"]]
    found = bitext_accuracy(_Plain(encoder), pairs)
    keep = ("accuracy", "to_english", "from_english")
    scores = {
        tag: {**{key: one[key] for key in keep}, "rows": one["pairs"], "trained": False}
        for tag, one in found["languages"].items()
    }
    left_out = {**found["skipped"], **found["skipped_languages"]}
    notes = (f"left out: {', '.join(f'{number} {why}' for why, number in left_out.items())}",) if left_out else ()
    return SetScores(scores, {tag: one["chance"] for tag, one in found["languages"].items()}, notes)


class _Plain:
    """Lets the encoder choose its batches: `bitext_accuracy` names a number of rows, we cut by tokens."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode(self, inputs: list[str], /, *, batch_size: int) -> Any:
        options = {} if hasattr(self._encoder, "token_budget") else {"batch_size": batch_size}
        return self._encoder.encode(inputs, show_progress_bar=False, **options)


def _retrieval(sets: Callable[[dict[str, list[Row]]], dict[str, RetrievalSet]], *notes: str) -> Scorer:
    """Make the scorer of sets whose queries one document answers."""

    def score(encoder: Any, files: dict[str, list[Row]]) -> SetScores:
        found = sets(files)
        asked = embed(encoder, (text for one in found.values() for text in one.queries.values()), "query")
        there = embed(encoder, (text for one in found.values() for text in one.documents.values()), "document")
        scores: Scores = {}
        chance, intervals = {}, {}
        for tag, one in found.items():
            queries = {name: asked[text] for name, text in one.queries.items()}
            documents = {name: there[text] for name, text in one.documents.items()}
            own = scores_of_vectors(queries, documents, {name: {home: 1.0} for name, home in one.answers.items()})
            scores[tag] = {key: float(values.mean()) for key, values in own.items()}
            scores[tag] |= {"rows": len(queries), "trained": False}
            intervals[tag] = {"ndcg@10": mean_interval(own["ndcg@10"].tolist())}
            chance[tag] = chance_scores(len(documents), CUTOFFS)["ndcg@10"]
        return SetScores(scores, chance, notes, intervals)

    return score


def _stsb(encoder: Any, files: dict[str, list[Row]]) -> SetScores:
    scores: Scores = {}
    intervals = {}
    for tag, rows in by_language(files["data"], "test").items():
        found = sts_scores(encoder, [(row["sentence1"], row["sentence2"], float(row["score"])) for row in rows])
        scores[tag] = {"spearman": found["spearman"], "pearson": found["pearson"], "rows": len(rows), "trained": False}
        intervals[tag] = found["intervals"]
    return SetScores(scores, dict.fromkeys(scores, 0.0), ("test split; machine-translated from English",), intervals)


def _sib200(encoder: Any, files: dict[str, list[Row]]) -> SetScores:
    labelled = [row for row in files["data"] if row["lang"] == ENGLISH and row["split"] == "train"]
    return _neighbours(encoder, by_language(files["data"], "test"), lambda tag: labelled, trained=(ENGLISH,))


def _sib200_own(encoder: Any, files: dict[str, list[Row]]) -> SetScores:
    labelled, evaluated = by_language(files["data"], "dev"), by_language(files["data"], "test")
    both = {tag: rows for tag, rows in evaluated.items() if tag in labelled}
    return _neighbours(encoder, both, labelled.__getitem__, trained=tuple(both))


def _neighbours(
    encoder: Any, evaluated: dict[str, list[Row]], labelled: Callable[[str], list[Row]], trained: tuple[str, ...]
) -> SetScores:
    scores: Scores = {}
    baseline = {}
    for tag, rows in evaluated.items():
        examples = [(row["text"], row["category"]) for row in labelled(tag)]
        found = neighbour_scores(encoder, examples, [(row["text"], row["category"]) for row in rows])
        scores[tag] = {key: found[key] for key in ("accuracy", "macro_f1")}
        scores[tag] |= {"rows": len(rows), "trained": tag in trained}
        usual = Counter(label for _, label in examples).most_common(1)[0][0]
        baseline[tag] = sum(row["category"] == usual for row in rows) / len(rows)
    return SetScores(
        scores, baseline, ("5 nearest neighbours; * marks languages whose own labelled rows were looked up",)
    )


_XQUAD = {"data": ("lang", "id", "question", "context")}
_SIB = {"data": ("lang", "split", "category", "text")}
TASKS: dict[str, EmbeddingTask] = {
    "tatoeba": EmbeddingTask("Tatoeba bitext", "accuracy", {"data": ("lang", "text", "text_eng")}, _tatoeba),
    "xquad": EmbeddingTask("XQuAD passages", "ndcg@10", _XQUAD, _retrieval(xquad_sets)),
    "xquad-cross": EmbeddingTask("XQuAD, English passages", "ndcg@10", _XQUAD, _retrieval(xquad_cross_sets)),
    "stsb": EmbeddingTask("STS-B", "spearman", {"data": ("lang", "split", "sentence1", "sentence2", "score")}, _stsb),
    "sib200": EmbeddingTask("SIB-200, English neighbours", "accuracy", _SIB, _sib200),
    "sib200-own": EmbeddingTask("SIB-200, own neighbours", "accuracy", _SIB, _sib200_own),
    "cosqa": EmbeddingTask(
        "CoSQA",
        "ndcg@10",
        {"codebase": ("code_idx", "code"), "queries_dev": ("query", "code_idx")},
        _retrieval(cosqa_sets, "English web queries look for Python functions"),
    ),
    "code-search": EmbeddingTask(
        "Code search",
        "ndcg@10",
        {"data": ("lang", "split", "query", "code")},
        _retrieval(code_search_sets, "first paragraph of a doc comment looks for its function, test split"),
    ),
}

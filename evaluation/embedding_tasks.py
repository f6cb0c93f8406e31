"""The sets on which an embedder is judged, each read from a file of yours and scored language by language.

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

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .bitext import bitext_accuracy
from .knn import neighbour_scores
from .ranking import chance_scores
from .retrieval import CUTOFFS, scores_of_vectors
from .sts import sts_scores
from .vectors_of_texts import embed

Row = dict[str, Any]
Scores = dict[str, dict[str, Any]]
ENGLISH = "eng_Latn"


@dataclass(frozen=True, slots=True)
class Judged:
    """What a set gave.

    Attributes:
        scores: By language: the task's number, further ones, `rows` and `trained`.
        trivial: The number that chance gets, by language.
        notes: What a reader must know.
    """

    scores: Scores
    trivial: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """A set.

    Attributes:
        title: For tables.
        metric: The number that counts.
        columns: What its rows must have; by file where it has two.
        judge: From an encoder and its rows to scores.
    """

    title: str
    metric: str
    columns: Mapping[str, tuple[str, ...]]
    judge: Callable[[Any, dict[str, list[Row]]], Judged]


@dataclass(frozen=True, slots=True)
class _Pair:
    language: str
    english: str
    text: str


def _tatoeba(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    pairs = [_Pair(row["lang"], row["text_eng"], row["text"]) for row in files["data"]]
    found = bitext_accuracy(_Plain(encoder), pairs)
    keep = ("accuracy", "to_english", "from_english")
    scores = {
        tag: {**{key: one[key] for key in keep}, "rows": one["pairs"], "trained": False}
        for tag, one in found["languages"].items()
    }
    left_out = {**found["skipped"], **found["skipped_languages"]}
    notes = (f"left out: {', '.join(f'{number} {why}' for why, number in left_out.items())}",) if left_out else ()
    return Judged(scores, {tag: one["chance"] for tag, one in found["languages"].items()}, notes)


class _Plain:
    """Lets the encoder choose its batches: `bitext_accuracy` names a number of rows, we cut by tokens."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode(self, inputs: list[str], /, *, batch_size: int) -> Any:
        options = {} if hasattr(self._encoder, "token_budget") else {"batch_size": batch_size}
        return self._encoder.encode(inputs, show_progress_bar=False, **options)


def _xquad(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    rows = _by_language(files["data"])
    return _question_sets(encoder, {tag: (own, own) for tag, own in rows.items()})


def _xquad_cross(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    rows = _by_language(files["data"])
    if ENGLISH not in rows:
        raise ValueError(f"there are no rows of {ENGLISH}, whose passages the others look for; add them")
    return _question_sets(encoder, {tag: (own, rows[ENGLISH]) for tag, own in rows.items() if tag != ENGLISH})


def _question_sets(encoder: Any, sets: dict[str, tuple[list[Row], list[Row]]]) -> Judged:
    """Judge questions against the passages of other rows, which belong together by their id."""
    asked = embed(encoder, (row["question"] for own, _ in sets.values() for row in own), "query")
    there = embed(encoder, (row["context"] for _, others in sets.values() for row in others), "document")
    scores, chance = {}, {}
    for tag, (own, others) in sets.items():
        home = {row["id"]: row["context"] for row in others}
        kept = [row for row in own if row["id"] in home]
        scores[tag], chance[tag] = _one_each(
            {row["id"]: asked[row["question"]] for row in kept},
            {text: there[text] for text in dict.fromkeys(home.values())},
            {row["id"]: home[row["id"]] for row in kept},
        )
    return Judged(scores, chance)


def _one_each(queries: Any, documents: Any, answer: Mapping[str, str]) -> tuple[dict[str, Any], float]:
    """Score queries that one document answers."""
    found = scores_of_vectors(queries, documents, {name: {document: 1.0} for name, document in answer.items()})
    count, size = int(found.pop("queries")), int(found.pop("documents"))
    return {**found, "rows": count, "trained": False}, chance_scores(size, CUTOFFS)["ndcg@10"]


def _stsb(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    scores: Scores = {}
    for tag, rows in _by_language(files["data"], "test").items():
        found = sts_scores(encoder, [(row["sentence1"], row["sentence2"], float(row["score"])) for row in rows])
        scores[tag] = {"spearman": found["spearman"], "pearson": found["pearson"], "rows": len(rows), "trained": False}
    return Judged(scores, dict.fromkeys(scores, 0.0), ("test split; machine-translated from English",))


def _sib200(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    labelled = [row for row in files["data"] if row["lang"] == ENGLISH and row["split"] == "train"]
    return _neighbours(encoder, _by_language(files["data"], "test"), lambda tag: labelled, trained=(ENGLISH,))


def _sib200_own(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    labelled, judged = _by_language(files["data"], "dev"), _by_language(files["data"], "test")
    both = {tag: rows for tag, rows in judged.items() if tag in labelled}
    return _neighbours(encoder, both, labelled.__getitem__, trained=tuple(both))


def _neighbours(
    encoder: Any, judged: dict[str, list[Row]], labelled: Callable[[str], list[Row]], trained: tuple[str, ...]
) -> Judged:
    scores: Scores = {}
    trivial = {}
    for tag, rows in judged.items():
        examples = [(row["text"], row["category"]) for row in labelled(tag)]
        found = neighbour_scores(encoder, examples, [(row["text"], row["category"]) for row in rows])
        scores[tag] = {key: found[key] for key in ("accuracy", "macro_f1")}
        scores[tag] |= {"rows": len(rows), "trained": tag in trained}
        usual = Counter(label for _, label in examples).most_common(1)[0][0]
        trivial[tag] = sum(row["category"] == usual for row in rows) / len(rows)
    return Judged(scores, trivial, ("5 nearest neighbours; * marks languages whose own labelled rows were looked up",))


def _cosqa(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    codes = {str(row["code_idx"]): row["code"] for row in files["codebase"]}
    rows = [row for row in files["queries_dev"] if str(row.get("label", 1)) == "1"]
    asked = embed(encoder, (row["query"] for row in rows), "query")
    there = embed(encoder, codes.values(), "document")
    score, chance = _one_each(
        {str(number): asked[row["query"]] for number, row in enumerate(rows)},
        {name: there[code] for name, code in codes.items()},
        {str(number): str(row["code_idx"]) for number, row in enumerate(rows)},
    )
    return Judged({"python": score}, {"python": chance}, ("English web queries look for Python functions",))


def _code_search(encoder: Any, files: dict[str, list[Row]]) -> Judged:
    scores, chance = {}, {}
    rows = _by_language(files["data"], "test")
    asked = embed(encoder, (row["query"] for own in rows.values() for row in own), "query")
    there = embed(encoder, (row["code"] for own in rows.values() for row in own), "document")
    for tag, own in rows.items():
        scores[tag], chance[tag] = _one_each(
            {str(number): asked[row["query"]] for number, row in enumerate(own)},
            {row["code"]: there[row["code"]] for row in own},
            {str(number): row["code"] for number, row in enumerate(own)},
        )
    return Judged(scores, chance, ("first paragraph of a doc comment looks for its function, test split",))


def _by_language(rows: Iterable[Row], split: str | None = None) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if split is None or row["split"] == split:
            found[row["lang"]].append(row)
    if not found:
        raise ValueError(f"there is no row{f' of split {split!r}' if split else ''} to judge; give the whole file")
    return dict(sorted(found.items()))


_XQUAD = {"data": ("lang", "id", "question", "context")}
_SIB = {"data": ("lang", "split", "category", "text")}
TASKS: dict[str, EmbeddingTask] = {
    "tatoeba": EmbeddingTask("Tatoeba bitext", "accuracy", {"data": ("lang", "text", "text_eng")}, _tatoeba),
    "xquad": EmbeddingTask("XQuAD passages", "ndcg@10", _XQUAD, _xquad),
    "xquad-cross": EmbeddingTask("XQuAD, English passages", "ndcg@10", _XQUAD, _xquad_cross),
    "stsb": EmbeddingTask("STS-B", "spearman", {"data": ("lang", "split", "sentence1", "sentence2", "score")}, _stsb),
    "sib200": EmbeddingTask("SIB-200, English neighbours", "accuracy", _SIB, _sib200),
    "sib200-own": EmbeddingTask("SIB-200, own neighbours", "accuracy", _SIB, _sib200_own),
    "cosqa": EmbeddingTask(
        "CoSQA", "ndcg@10", {"codebase": ("code_idx", "code"), "queries_dev": ("query", "code_idx")}, _cosqa
    ),
    "code-search": EmbeddingTask("Code search", "ndcg@10", {"data": ("lang", "split", "query", "code")}, _code_search),
}

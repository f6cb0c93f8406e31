"""Retrieval, similarity and neighbours agree with scikit-learn, scipy and sentence-transformers; ties are misses."""

import json
from pathlib import Path

import numpy as np
import pytest
from mmbert.evaluation import (
    embedding_markdown,
    embedding_model_index,
    evaluate_embedder,
    neighbour_scores,
    retrieval_scores,
    sts_scores,
    summary_table,
)
from mmbert.evaluation.embeddings.evaluate import read_set
from mmbert.evaluation.embeddings.tasks import TASKS


class Table:
    """An encoder that looks vectors up, with others for queries if there are any."""

    def __init__(self, vectors, queries=None):
        self.vectors, self.queries = vectors, queries

    def encode(self, texts, **options):
        return np.stack([self.vectors[text] for text in texts])

    def encode_document(self, texts, **options):
        return self.encode(texts)

    def encode_query(self, texts, **options):
        return np.stack([(self.queries or self.vectors)[text] for text in texts])


@pytest.fixture(scope="module")
def world():
    """60 queries and 400 documents with graded gains, some of them near to their query."""
    draw = np.random.default_rng(3)
    documents = {f"d{n}": f"document {n}" for n in range(400)}
    queries = {f"q{n}": f"query {n}" for n in range(60)}
    vectors = {text: draw.normal(size=24).astype(np.float32) for text in documents.values()}
    relevant = {}
    for name, text in queries.items():
        own = draw.choice(400, size=draw.integers(1, 15), replace=False)
        relevant[name] = {f"d{n}": float(draw.integers(1, 4)) for n in own}
        vectors[text] = draw.normal(size=24) * 2.5 + sum(vectors[f"document {n}"] for n in own)
        vectors[text] = vectors[text].astype(np.float32)
    return Table(vectors), queries, documents, relevant


def test_ndcg_is_scikit_learns(world):
    from sklearn.metrics import ndcg_score

    encoder, queries, documents, relevant = world
    asked, there = encoder.encode(list(queries.values())), encoder.encode(list(documents.values()))
    similarity = (asked / np.linalg.norm(asked, axis=1, keepdims=True)) @ (
        there / np.linalg.norm(there, axis=1, keepdims=True)
    ).T
    gains = np.array([[relevant[name].get(document, 0) for document in documents] for name in queries])
    found = retrieval_scores(encoder, queries, documents, relevant)
    assert found["ndcg@10"] == pytest.approx(ndcg_score(gains, similarity, k=10), abs=1e-9)
    assert 0.2 < found["ndcg@10"] < 0.95 and (found["queries"], found["documents"]) == (60, 400)


def test_mrr_ndcg_and_recall_are_those_of_sentence_transformers(world, tmp_path):
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    encoder, queries, documents, relevant = world
    flat = {name: dict.fromkeys(own, 1.0) for name, own in relevant.items()}
    found = retrieval_scores(encoder, queries, documents, flat, cutoffs=(1, 10, 50))
    evaluator = InformationRetrievalEvaluator(
        queries, documents, {name: set(own) for name, own in flat.items()}, write_csv=False,
        mrr_at_k=[10], ndcg_at_k=[10], accuracy_at_k=[1], precision_recall_at_k=[1, 10, 50], map_at_k=[10],
    )  # fmt: skip

    def ranked(vectors):
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    asked, there = ranked(encoder.encode(list(queries.values()))), ranked(encoder.encode(list(documents.values())))
    names = list(documents)
    results = []
    for row in asked @ there.T:
        best = np.argsort(-row)[:50]
        results.append([{"corpus_id": names[place], "score": float(row[place])} for place in best])
    theirs = evaluator.compute_metrics(results)
    assert found["mrr@10"] == pytest.approx(theirs["mrr@k"][10], abs=1e-9)
    assert found["ndcg@10"] == pytest.approx(theirs["ndcg@k"][10], abs=1e-9)
    for depth in (1, 10, 50):
        assert found[f"recall@{depth}"] == pytest.approx(theirs["recall@k"][depth], abs=1e-9)


def test_one_point_for_everything_finds_nothing():
    queries = {str(n): f"q{n}" for n in range(20)}
    documents = {str(n): f"d{n}" for n in range(50)}
    same = Table(dict.fromkeys((*queries.values(), *documents.values()), np.ones(4, np.float32)))
    found = retrieval_scores(same, queries, documents, {name: {name: 1.0} for name in queries})
    assert found["mrr@10"] == found["ndcg@10"] == found["recall@10"] == 0


def test_queries_may_have_vectors_of_their_own():
    documents = {"a": "red", "b": "blue"}
    table = Table(
        {"red": np.array([1, 0], np.float32), "blue": np.array([0, 1], np.float32)},
        {"red": np.array([0, 1], np.float32)},
    )
    assert retrieval_scores(table, {"q": "red"}, documents, {"q": {"b": 1.0}})["mrr@10"] == 1


def test_similarity_is_scipys():
    from scipy.stats import spearmanr

    draw = np.random.default_rng(1)
    vectors = {f"t{n}": draw.normal(size=8).astype(np.float32) for n in range(80)}
    pairs = [(f"t{n}", f"t{n + 40}", float(draw.integers(0, 6))) for n in range(40)]
    cosines = [vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]) for a, b, _ in pairs]
    expected = spearmanr(cosines, [score for *_, score in pairs]).statistic
    assert sts_scores(Table(vectors), pairs)["spearman"] == pytest.approx(expected, abs=1e-6)


def test_neighbours_are_scikit_learns():
    from sklearn.neighbors import KNeighborsClassifier

    draw = np.random.default_rng(2)
    vectors, labels = {}, {}
    for n in range(300):
        labels[f"t{n}"] = str(n % 4)
        vectors[f"t{n}"] = (draw.normal(size=6) + 0.8 * np.eye(6)[n % 4]).astype(np.float32)
    examples, queries = [(f"t{n}", str(n % 4)) for n in range(200)], [(f"t{n}", str(n % 4)) for n in range(200, 300)]
    for count in (1,):  # one vote: no ties that two implementations may break differently
        classifier = KNeighborsClassifier(count, metric="cosine").fit(
            [vectors[text] for text, _ in examples], [label for _, label in examples]
        )
        expected = classifier.score([vectors[text] for text, _ in queries], [label for _, label in queries])
        found = neighbour_scores(Table(vectors), examples, queries, neighbours=count)
        assert found["accuracy"] == pytest.approx(expected)
    corners = {"a": [1, 0.1], "b": [1, 0.2], "c": [0, 1], "q": [1, 0]}
    table = Table({text: np.array(vector, np.float32) for text, vector in corners.items()})
    labelled = [("a", "x"), ("b", "y"), ("c", "y")]
    assert neighbour_scores(table, labelled, [("q", "y")], neighbours=3)["accuracy"] == 1
    with pytest.warns(FutureWarning, match="judged is now queries"):
        assert neighbour_scores(table, labelled, judged=[("q", "y")], neighbours=3)["accuracy"] == 1
    assert neighbour_scores(table, labelled, [("q", "x")], neighbours=2)["accuracy"] == 1  # a tie: the nearer


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: retrieval_scores(e, {}, {"d": "x"}, {}), "0 queries and 1 documents"),
        (lambda e: retrieval_scores(e, {"q": "x"}, {"d": "x"}, {}), "0 relevant documents"),
        (lambda e: retrieval_scores(e, {"q": "x"}, {"d": "x"}, {"q": {"z": 1.0}}), "none of the documents"),
        (lambda e: retrieval_scores(e, {"q": None}, {"d": "x"}, {"q": {"d": 1.0}}), "expected text"),
        (lambda e: retrieval_scores(e, {"q": "nan"}, {"d": "x"}, {"q": {"d": 1.0}}), "not finite"),
        (lambda e: sts_scores(e, [("x", "x", 1.0)]), "at least 2 pairs"),
        (lambda e: neighbour_scores(e, [("x", "a")], [("x", "a")]), "5 neighbours need"),
        (lambda e: evaluate_embedder(e, {"nothing": "x"}), "no set 'nothing'"),
        (lambda e: evaluate_embedder(e, {}), "no set"),
    ],
)
def test_bad_input_gets_one_line(call, message):
    encoder = Table({"x": np.ones(2, np.float32), "nan": np.array([np.nan, 1], np.float32)})
    with pytest.raises(ValueError, match=message) as caught:
        call(encoder)
    assert "\n" not in str(caught.value)


LETTERS = "abcdefgh"


class Letters:
    """Counts letters, so that texts of the same words are near, whatever the language's tag."""

    def encode(self, texts, **options):
        return np.array([[text.count(letter) + 0.01 for letter in LETTERS] for text in texts], np.float32)


def rows_of_sets(tmp_path):
    draw = np.random.default_rng(0)

    def text():
        return "".join(draw.choice(list(LETTERS), size=12))

    def write(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    tags = ("eng_Latn", "deu_Latn", "hin_Deva")
    bitext = [{"lang": tag, "text": (one := text()) + "z", "text_eng": one} for tag in tags[1:] for _ in range(12)]
    questions = []
    for number in range(8):
        passage = text()
        questions += [
            {"lang": tag, "id": str(number), "question": passage + "?", "context": passage + tag} for tag in tags
        ]
    labelled = []
    for split, count in (("train", 14), ("dev", 8), ("test", 10)):
        for number in range(count):
            for tag in tags:
                words = LETTERS[:4] if number % 2 else LETTERS[4:]
                sentence = "".join(draw.choice(list(words), size=9))
                labelled.append({"lang": tag, "split": split, "category": str(number % 2), "text": sentence})
    write("tatoeba.jsonl", bitext)
    write("xquad.jsonl", questions)
    write("sib.jsonl", labelled)
    return {
        "tatoeba": tmp_path / "tatoeba.jsonl",
        "xquad": tmp_path / "xquad.jsonl",
        "xquad-cross": tmp_path / "xquad.jsonl",
        "sib200": tmp_path / "sib.jsonl",
        "sib200-own": tmp_path / "sib.jsonl",
    }


def test_a_report_over_sets(tmp_path):
    told = []
    report = evaluate_embedder(Letters(), rows_of_sets(tmp_path), about={"model": "letters"}, tell=told.append)
    means = {task["name"].removeprefix("embedding/"): task["mean"] for task in report["tasks"]}
    assert set(means) == {"tatoeba", "xquad", "xquad-cross", "sib200", "sib200-own"} and len(told) == 5
    assert means["sib200"] == means["sib200-own"] == 1 and means["tatoeba"] > 0.9
    by_name = {task["name"].removeprefix("embedding/"): task for task in report["tasks"]}
    assert set(by_name["xquad-cross"]["languages"]) == {"deu_Latn", "hin_Deva"}
    assert by_name["sib200"]["languages"]["eng_Latn"]["trained"]
    assert by_name["xquad"]["scripts"].keys() == {"Latn", "Deva"}
    assert by_name["tatoeba"]["baseline"] == pytest.approx(1 / 12)
    text = embedding_markdown(report)
    for word in ("## By resource group", "## By script", "| hin_Deva |", "phase 1", "XQuAD, English passages"):
        assert word in text
    entries = embedding_model_index(report)
    assert {"ndcg@10", "accuracy"} == {entry["metric_type"] for entry in entries}
    assert sum(entry["dataset_config"] == "hin_Deva" for entry in entries) == 5
    side = summary_table({"one": report, "two": report})
    assert side.splitlines()[0].count("|") == 8 and "Tatoeba bitext" in side
    for name in ("xquad", "tatoeba", "sib200"):
        for entry in by_name[name]["languages"].values():
            low, high = entry["interval"]
            assert low <= entry["mean"] <= high + 1e-9 and low < high


def test_files_are_checked_before_anything_is_embedded(tmp_path):
    files = rows_of_sets(tmp_path)

    class Never:
        def encode(self, *texts, **options):
            raise AssertionError("embedded")

    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "broken.parquet").write_text("no")
    (tmp_path / "empty").mkdir()
    for path, error, message in (
        ("nowhere", FileNotFoundError, "does not exist"),
        ("bad.jsonl", ValueError, "no column 'lang'"),
        ("broken.parquet", ValueError, "cannot be read"),
        ("empty", ValueError, "holds no data"),
    ):
        with pytest.raises(error, match=message):
            evaluate_embedder(Never(), {**files, "stsb": tmp_path / path})
    with pytest.raises(ValueError, match="name their folder"):
        evaluate_embedder(Never(), {"cosqa": files["xquad"]})


def test_a_line_ends_at_its_line_feed_only(tmp_path):
    # JSON may hold U+2028 and U+0085 as they are, and texts of many languages do
    text = "one\u2028two\x85three"
    row = {"lang": "eng_Latn", "split": "test", "category": "a", "text": text}
    (tmp_path / "sib.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\r\n", encoding="utf-8", newline="")
    assert read_set("sib200", tmp_path / "sib.jsonl")["data"] == [row]


def test_every_set_names_its_columns():
    assert all(task.columns and task.metric and task.title for task in TASKS.values())


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the public sets lie in ../shared, which is not here")
@pytest.mark.parametrize(("name", "folder", "rows"), [("xquad", "xquad", 11_900), ("cosqa", "cosqa", 6_267)])
def test_published_sets_are_judged_as_they_are(name, folder, rows):
    from mmbert.evaluation.embeddings.evaluate import read_set

    assert len(next(iter(read_set(name, SHARED / folder).values()))) == rows
    report = evaluate_embedder(Letters(), {name: SHARED / folder})
    task = report["tasks"][0]
    assert 0 < task["mean"] < 0.5 and len(task["languages"]) == (10 if name == "xquad" else 1)
    if name == "cosqa":
        assert list(task["languages"]) == ["code_python"] and list(task["scripts"]) == ["code"]
        assert list(task["groups"]) == ["phase 1"]
    assert sum(entry["rows"] for entry in task["languages"].values()) == (11_900 if name == "xquad" else 500)

"""The search page and the services answer, within bounds, to who may ask."""

import base64

import numpy as np
import pytest
from mmbert import load_embedder
from mmbert.embeddings import SearchIndex

pytest.importorskip("starlette")
HEBREW = "כל בני האדם נולדו בני חורין"


class Lengths:
    """A reranker that likes long texts."""

    def predict(self, pairs, **options):
        return np.array([len(text) for _, text in pairs], dtype=np.float32)


@pytest.fixture(scope="module")
def embedder(encoder):
    return load_embedder(encoder, dtype="float32")


@pytest.fixture(scope="module")
def index(embedder, tmp_path_factory):
    rows = [
        ("a<b>", "red house <script>alert(1)</script>", {"lang": "eng_Latn"}),
        ("b", HEBREW, {"lang": "heb_Hebr"}),
        ("c", "🙂 blue dog", {"lang": "eng_Latn"}),
    ]
    return SearchIndex.build(tmp_path_factory.mktemp("served") / "index", rows, embedder)


def client(index, host="127.0.0.1:8321", **options):
    from mmbert.embeddings.search.serve import make_app
    from starlette.testclient import TestClient

    return TestClient(make_app(index, **options), base_url=f"http://{host}")


def test_the_page_needs_nothing_from_elsewhere(index):
    answer = client(index).get("/")
    assert answer.status_code == 200 and "default-src 'none'" in answer.headers["content-security-policy"]
    for outside in ("http://", "https://", "innerHTML", "src="):
        assert outside not in answer.text.replace("http://www.w3.org/2000/svg", "")


def test_it_says_what_it_holds_and_draws_a_map(index):
    asked = client(index)
    about = asked.get("/api/about").json()
    assert (about["documents"], about["passages"], about["reranker"]) == (3, 3, False)
    assert about["languages"] == [["eng_Latn", 2], ["heb_Hebr", 1]] and "/" not in about["model"]
    points = asked.get("/api/map").json()["points"]
    assert sorted(point[3] for point in points) == ["a<b>", "b", "c"]
    assert max(abs(value) for point in points for value in point[:2]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("mode", ["hybrid", "vectors", "words"])
def test_hits_are_those_of_the_index_with_their_words_marked(index, mode):
    found = client(index).post("/api/search", json={"query": "dog", "mode": mode}).json()["hits"]
    expected = index.search("dog", mode=mode)
    assert [hit["document"] for hit in found] == [hit.document for hit in expected]
    assert [hit["score"] for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-6)
    assert next(hit for hit in found if hit["document"] == "c")["pieces"] == [["🙂 blue ", False], ["dog", True]]


def test_hits_are_filtered_and_put_in_order(index):
    asked = client(index, reranker=Lengths())
    hits = asked.post("/api/search", json={"query": "אדם", "language": "heb_Hebr"}).json()["hits"]
    assert [(hit["document"], hit["language"]) for hit in hits] == [("b", "heb_Hebr")]
    assert asked.post("/api/search", json={"query": "red", "language": "x' OR 'a' = 'a"}).json() == {"hits": []}
    hits = asked.post("/api/search", json={"query": "red", "rerank": True, "where": "document != 'b'"}).json()["hits"]
    assert [hit["document"] for hit in hits] == ["a<b>", "c"]


def test_embeddings_are_those_of_the_model(index, embedder):
    asked, texts = client(index), ["red house", "dog"]
    answer = asked.post("/v1/embeddings", json={"input": texts, "model": "any"}).json()
    found = np.array([row["embedding"] for row in answer["data"]])
    np.testing.assert_allclose(found, embedder.encode(texts), atol=1e-6)
    packed = asked.post("/v1/embeddings", json={"input": "dog", "encoding_format": "base64"}).json()
    np.testing.assert_allclose(
        np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4"), found[1], atol=1e-6
    )


def test_texts_are_reranked(index):
    asked = client(index, reranker=Lengths())
    body = {"query": "a", "documents": ["bb", {"text": "cccc"}, "d"], "top_n": 2, "return_documents": True}
    results = asked.post("/v1/rerank", json=body).json()["results"]
    assert [(one["index"], one["relevance_score"], one["document"]["text"]) for one in results] == [
        (1, 4.0, "cccc"),
        (0, 2.0, "bb"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/search", {"query": " "}, "blank"),
        ("/api/search", {}, "expected text, got NoneType"),
        ("/api/search", {"query": "x" * 10_001}, "10,000 characters"),
        ("/api/search", {"query": "a", "top_k": 1000}, "top_k must be a whole number from 1 to 100"),
        ("/api/search", {"query": "a", "mode": "x"}, "mode='x' is none of"),
        ("/api/search", {"query": "a", "where": "nothing = 1"}, "no column 'nothing'"),
        ("/api/search", {"query": "a", "where": "1; DROP"}, "filter"),
        ("/v1/embeddings", {"input": []}, "1 to 512 texts"),
        ("/v1/embeddings", {"input": ["a", 1]}, "expected text, got int"),
        ("/v1/embeddings", {"input": "a", "dimensions": 3}, "48 dimensions"),
        ("/v1/rerank", {"query": "a", "documents": ["b"]}, "no reranker"),
    ],
)
def test_bad_requests_get_one_line(index, path, body, message):
    answer = client(index).post(path, json=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"] and "\n" not in answer.json()["error"]["message"]


def test_who_may_not_ask_is_refused(index):
    body = {"query": "red"}
    assert client(index, "evil.example").post("/api/search", json=body).status_code == 403
    assert client(index).post("/api/search", content=b'{"query": "red"}').status_code == 415
    assert (
        client(index).post("/api/search", content=b"{", headers={"content-type": "application/json"}).status_code == 400
    )
    assert client(index).post("/api/search", json={"query": "a", "x": "y" * 2_000_000}).status_code == 413
    with_token = client(index, "far.example", token="secret")
    assert with_token.post("/api/search", json=body).status_code == 401
    assert with_token.get("/api/about").status_code == 401
    headers = {"Authorization": "Bearer secret"}
    answer = with_token.post("/api/search", json=body, headers=headers)
    assert answer.status_code == 200 and "access-control-allow-origin" not in answer.headers


def test_an_untrained_reranker_is_not_served(index):
    reranker = Lengths()
    reranker.untrained = True
    with pytest.raises(ValueError, match="never trained"):
        client(index, reranker=reranker)

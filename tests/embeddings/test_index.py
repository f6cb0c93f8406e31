"""An index finds what a comparison of all vectors finds, grows, resumes, and refuses other models and bad input."""

import itertools
import json
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from mmbert import load_embedder
from mmbert.embeddings import Document, SearchIndex, cut_passages, read_documents

from .conftest import toy_pairs


@pytest.fixture(scope="module")
def embedder(encoder):
    return load_embedder(encoder, dtype="float32")


@pytest.fixture(scope="module")
def texts():
    rows = toy_pairs(60, seed=5)
    return {f"doc{number}": f"{row.english}. {row.text}" for number, row in enumerate(rows)}


@pytest.fixture(scope="module")
def index(embedder, texts, tmp_path_factory):
    return SearchIndex.build(tmp_path_factory.mktemp("made") / "index", texts.items(), embedder)


def test_hits_are_those_of_a_comparison_of_all(index, embedder, texts):
    names, query = list(texts), "red river nok"
    cosines = embedder.encode(list(texts.values())) @ embedder.encode([query])[0]
    best = np.argsort(-cosines, kind="stable")[:7]
    hits = index.search(query, top_k=7)
    assert [hit.document for hit in hits] == [names[place] for place in best]
    np.testing.assert_allclose([hit.score for hit in hits], cosines[best], atol=1e-5)
    assert [hit.text for hit in hits] == [texts[hit.document] for hit in hits]


@pytest.mark.parametrize("mode", ["vectors", "hybrid"])
def test_hubs_come_up_less_when_vectors_are_centred(index, embedder, texts, mode):
    names, query = list(texts), "red river nok"
    vectors = embedder.encode(list(texts.values()))
    scores = vectors @ (embedder.encode([query])[0] - vectors.mean(axis=0))
    hits = index.search(query, 9, mode=mode, hubness="centre")
    if mode == "vectors":
        assert [hit.document for hit in hits] == [names[place] for place in np.argsort(-scores, kind="stable")[:9]]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][:9], atol=1e-5)
    cosines = {hit.document: hit.score for hit in index.search(query, len(index))}
    assert all(hit.cosine == pytest.approx(cosines[hit.document], abs=1e-5) for hit in hits)
    with pytest.raises(ValueError, match="hubness='csls' is none of none, centre"):
        index.search(query, hubness="csls")


def test_several_questions_are_asked_at_once(index):
    together = index.search(["red", "blue house"], top_k=3)
    for question, hits in zip(["red", "blue house"], together, strict=True):
        assert [hit.document for hit in hits] == [hit.document for hit in index.search(question, top_k=3)]
    assert len(index.search("red", top_k=1000)) == len(index)
    assert index.search([]) == []


def test_it_is_opened_with_the_model_or_its_folder(index, encoder, embedder, tmp_path):
    for one in (SearchIndex.open(index.folder, embedder), SearchIndex.open(index.folder, encoder)):
        assert [hit.document for hit in one.search("dog")] == [hit.document for hit in index.search("dog")]
    with pytest.raises(ValueError, match="does not know where its model lies"):
        SearchIndex.open(index.folder)
    own = SearchIndex.build(tmp_path / "own", ["red house", "blue dog"], encoder)
    assert SearchIndex.open(own.folder).search("red house")[0].document == "0"


def test_documents_are_added_left_alone_and_replaced(embedder, texts, tmp_path):
    half = dict(list(texts.items())[:30])
    index = SearchIndex.build(tmp_path / "index", half.items(), embedder)
    changed = {**texts, "doc3": "snow night stone"}
    added = index.add(changed.items())
    assert (added.documents, added.unchanged, added.replaced) == (31, 29, 1)
    whole = SearchIndex.build(tmp_path / "whole", changed.items(), embedder)
    for one in (index, SearchIndex.open(index.folder, embedder)):
        assert len(one) == len(whole) and one.documents == sorted(changed)
        for query in ("red river", "snow night stone", "pan nif"):
            found, expected = one.search(query, top_k=60), whole.search(query, top_k=60)
            assert {hit.document: pytest.approx(hit.score, abs=1e-5) for hit in expected} == {
                hit.document: hit.score for hit in found
            }
    assert index.search("snow night stone")[0].document == "doc3"
    again = index.add(changed.items())
    assert (again.documents, again.passages, again.unchanged) == (0, 0, 60)
    assert len(list(index.folder.glob("vectors-*.npy"))) == 2


def test_another_model_is_refused(index, embedder, encoder, tmp_path):
    import torch

    other = load_embedder(encoder, dtype="float32")
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    with pytest.raises(ValueError, match="is the index of another model"):
        SearchIndex.open(index.folder, other)
    with pytest.raises(ValueError, match=r"48 dimensions, this embedder gives 16; load it with dims=48"):
        SearchIndex.open(index.folder, load_embedder(encoder, dtype="float32", dims=16))
    with pytest.raises(ValueError, match="query_prompt None, this embedder has 'query: '"):
        SearchIndex.open(index.folder, load_embedder(encoder, dtype="float32", prompts={"query": "query: "}))
    with pytest.raises(ValueError, match="normalize=True"):
        SearchIndex.build(tmp_path / "x", ["a"], load_embedder(encoder, normalize=False))


def test_mixed_dimensions_are_refused(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", ["red house"], embedder)
    vectors = np.load(index.folder / "vectors-0001.npy")
    np.save(index.folder / "vectors-0001.npy", vectors[:, :16])
    with pytest.raises(ValueError, match=r"vectors-0001.npy has 192 bytes instead of 320"):
        SearchIndex.open(index.folder, embedder)


def test_prompts_stand_before_queries_and_passages(encoder, tmp_path):
    prompts = {"query": "red ", "document": "blue "}
    embedder = load_embedder(encoder, dtype="float32", prompts=prompts)
    index = SearchIndex.build(tmp_path / "index", ["house", "dog"], embedder)
    plain = load_embedder(encoder, dtype="float32")
    expected = plain.encode(["blue house", "blue dog"]) @ plain.encode("red tree")
    found = {hit.document: hit.score for hit in index.search("tree")}
    assert found == {"0": pytest.approx(expected[0], abs=1e-5), "1": pytest.approx(expected[1], abs=1e-5)}


def test_passages_cover_a_document_and_fit(toy_tokenizer):
    rows = [row.english + ("." if number % 3 else ".\n\n") for number, row in enumerate(toy_pairs(300, seed=9))]
    text = "  \n" + " ".join(rows)
    passages = list(cut_passages(text, toy_tokenizer, 40))
    assert "".join("".join(one.text for one in passages).split()) == "".join(text.split())
    for one in passages:
        assert text[one.start : one.end] == one.text == one.text.strip()
        assert one.line == text.count("\n", 0, one.start) + 1
        assert len(toy_tokenizer(one.text, add_special_tokens=False)["input_ids"]) <= 41
    assert all(one.text.endswith(".") for one in passages)
    repeated = list(cut_passages(text, toy_tokenizer, 40, overlap=10))
    assert len(repeated) > len(passages)
    assert all(later.start < earlier.end for earlier, later in itertools.pairwise(repeated))
    assert repeated[-1].end == passages[-1].end


@pytest.mark.parametrize("text", ["x" * 3000, "日本語" * 500, "\n" * 50 + "a", "🙂" * 300, "a b"])
def test_any_text_is_cut_whole(toy_tokenizer, text):
    for overlap in (0, 8):
        passages = list(cut_passages(text, toy_tokenizer, 16, overlap))
        covered = set()
        for one in passages:
            assert text[one.start : one.end] == one.text
            covered |= set(range(one.start, one.end))
        assert {place for place, char in enumerate(text) if not char.isspace()} <= covered


def test_a_megabyte_is_found_by_its_place(embedder, tmp_path):
    filler = " ".join(row.english for row in toy_pairs(2000, seed=3))
    text = (filler * 30)[:1_000_000] + "\nsnow snow snow stone stone stone\n" + filler
    index = SearchIndex.build(tmp_path / "index", [("big", text), ("small", "red")], embedder, passage_tokens=200)
    assert len(index) > 100
    for hit in index.search("snow stone", top_k=3):
        assert text[hit.start : hit.end] == hit.text or hit.document == "small"
    grouped = index.search("red dog", top_k=2, one_per_document=True)
    assert [hit.document for hit in grouped] == list(dict.fromkeys(h.document for h in index.search("red dog", 999)))


def test_whole_documents_are_cut_at_the_limit_and_counted(encoder, tmp_path):
    embedder = load_embedder(encoder, dtype="float32", max_seq_length=32)
    index = SearchIndex.build(tmp_path / "index", ["red " * 100, "blue"], embedder, passage_tokens=None)
    assert (len(index), index.last_added.cut) == (2, 1)


def test_bad_documents_are_named_or_counted(embedder, tmp_path):
    bad = {"a": "red", "b": "", "c": "  \n", "d": None, "e": "x\ud800", "f": 7}
    for one, reason in (("d", "no text"), ("e", "half a surrogate pair"), ("f", "no text")):
        with pytest.raises(ValueError, match=rf"document '{one}': {reason}"):
            SearchIndex.build(tmp_path / f"raise{one}", [("a", "red"), (one, bad[one])], embedder)
    index = SearchIndex.build(tmp_path / "skip", [*bad.items(), ("a", "again")], embedder, on_bad="skip")
    counted = {"blank": 2, "no text": 2, "half a surrogate pair": 1, "name twice": 1}
    assert index.last_added.skipped == counted and index.documents == ["a"]
    with pytest.raises(ValueError, match="no document to index"):
        SearchIndex.build(tmp_path / "none", ["", " "], embedder)
    with pytest.raises(FileNotFoundError, match="has not ended"):
        SearchIndex.open(tmp_path / "none", embedder)
    with pytest.raises(ValueError, match="got one str"):
        SearchIndex.build(tmp_path / "one", "red", embedder)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "blank"),
        (" \n", "blank"),
        (None, "NoneType"),
        (["red", 3], "query 1"),
        ("\udc00", "surrogate"),
        (b"x", "bytes"),
    ],
)
def test_bad_queries_get_one_line(index, query, message):
    with pytest.raises(ValueError, match=message) as caught:
        index.search(query)
    assert "\n" not in str(caught.value)


def test_numbers_out_of_range_are_refused(index, embedder, tmp_path):
    with pytest.raises(ValueError, match="top_k"):
        index.search("red", top_k=0)
    for options, message in (({"passage_tokens": 5}, "between 8"), ({"passage_tokens": 511}, "between 8 and 510"),
                             ({"overlap": 200}, "overlap")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            SearchIndex.build(tmp_path / "x", ["red"], embedder, **options)
    with pytest.raises(ValueError, match="is an index already"):
        SearchIndex.build(index.folder, ["red"], embedder)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("x")
    with pytest.raises(ValueError, match="is no index"):
        SearchIndex.build(tmp_path / "used", ["red"], embedder)
    with pytest.raises(FileNotFoundError, match=r"holds no index\.db"):
        SearchIndex.open(tmp_path / "nowhere", embedder)


def test_a_reranker_puts_the_found_in_its_order(index):
    class Longest:
        def predict(self, pairs, **options):
            self.read = len(pairs)
            return np.array([len(text) for _, text in pairs], dtype=np.float32)

    longest = Longest()
    plain = index.search("red", top_k=20)
    hits = index.search("red", top_k=5, reranker=longest, candidates=20)
    assert longest.read == 20
    expected = sorted(plain, key=lambda hit: -len(hit.text))[:5]
    assert [(hit.document, hit.score, hit.cosine) for hit in hits] == [
        (hit.document, len(hit.text), hit.cosine) for hit in expected
    ]


def test_texts_may_stay_in_their_files(embedder, tmp_path):
    (tmp_path / "notes" / "deep").mkdir(parents=True)
    (tmp_path / "notes" / "a.md").write_text("# Red\r\n\r\nA house", encoding="utf-8", newline="")
    (tmp_path / "notes" / "deep" / "b.txt").write_text("blue dog", encoding="utf-8")
    (tmp_path / "notes" / "c.bin").write_bytes(b"\xff")
    index = SearchIndex.build(tmp_path / "index", read_documents(tmp_path / "notes"), embedder, keep_texts=False)
    assert b"A house" not in (tmp_path / "index" / "index.db").read_bytes()
    assert {hit.text for hit in index.search("dog")} == {"# Red\r\n\r\nA house", "blue dog"}
    (tmp_path / "notes" / "deep" / "b.txt").write_text("another", encoding="utf-8")
    assert {hit.text for hit in index.search("dog")} == {"# Red\r\n\r\nA house", None}
    with pytest.raises(ValueError, match="no file of its own"):
        SearchIndex.build(tmp_path / "none", [Document("x", "red")], embedder, keep_texts=False)


def test_documents_are_read_from_rows(tmp_path):
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "red"}\n')  # BEIR
    assert [one.name for one in read_documents(tmp_path / "corpus.jsonl")] == ["d1"]
    beir = [{"_id": "d1", "title": "Red", "text": "a dog"}, {"_id": "d2", "title": "", "text": "blue", "lang": "en"}]
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, beir)))
    assert [one.text for one in read_documents(tmp_path / "corpus.jsonl")] == ["Red a dog", "blue"]
    assert [one.text for one in read_documents(tmp_path / "corpus.jsonl", field="text")] == ["a dog", "blue"]
    (tmp_path / "beir" / "qrels").mkdir(parents=True)
    (tmp_path / "beir" / "corpus.jsonl").write_text("\n".join(map(json.dumps, beir)))
    (tmp_path / "beir" / "queries.jsonl").write_text('{"_id": "q1", "text": "which dog?"}\n')
    assert [one.name for one in read_documents(tmp_path / "beir")] == ["d1", "d2"]
    lines = [{"id": "x", "body": "red"}, {"body": "blue"}, {"id": 3, "body": None}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\nno json\n")
    rows = tmp_path / "rows.jsonl"
    with pytest.raises(ValueError, match=r"row 3: no text in 'body'"):
        list(read_documents(rows, field="body"))
    with pytest.raises(ValueError, match=r"row 1: no 'text' among id, body"):
        list(read_documents(rows, field="text"))
    found = list(read_documents(rows, field="body", on_bad="skip"))
    assert [one.text for one in found] == ["red", "blue", None, None]
    assert [one.name for one in found] == ["x", f"{rows.as_posix()}:2", "3", f"{rows.as_posix()}:4"]
    for place, error in ((tmp_path / "nowhere", FileNotFoundError), (tmp_path / "empty", ValueError)):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(error):
            read_documents(place)
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(ValueError, match="not UTF-8"):
        list(read_documents(tmp_path / "latin.txt"))


@pytest.mark.parametrize(
    "header, column",
    [("id,lang,text,body", "text"), ("id,lang,Content,note", "Content"), ("id,lang,quelle,satz", "satz")],
)
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "folder"])
def test_the_text_of_a_table_is_found_and_told(tmp_path, caplog, header, column, kind):
    names = header.split(",")
    rows = [
        dict(zip(names, values, strict=True))
        for values in (("1", "eng_Latn", "a, b", "the red house"), ("2", "deu_Latn", "c d", "ein rotes Haus"))
    ]
    path = tmp_path / f"rows.{kind}"
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        path = tmp_path / "rows" / "rows.csv" if kind == "folder" else path
        path.parent.mkdir(exist_ok=True)
        separator = "\t" if kind == "tsv" else ","
        lines = [names, *([value if kind == "tsv" else f'"{value}"' for value in row.values()] for row in rows)]
        path.write_text("".join(separator.join(line) + "\n" for line in lines))
    if kind == "folder" and column == "satz":  # a table without a usual name may be something else
        with pytest.raises(ValueError, match="holds no"):
            read_documents(path.parent)
        return
    with caplog.at_level("INFO"):
        found = list(read_documents(path.parent if kind == "folder" else path))
    assert [one.text for one in found] == [row[column] for row in rows]
    assert [one.name for one in found] == ["1", "2"] and found[1].columns["lang"] == "deu_Latn"
    assert (f"column {column!r} is the text" in caplog.text) == (column != "text")


@pytest.mark.parametrize(
    "name, content",
    [
        ("collection.tsv", "0\tThe presence of communication\n1\tThe Manhattan Project\n"),  # MS MARCO's
        ("lines.csv", "the red house\na blue one\n"),
        ("comment.csv", "# made by hand\nid,text\n1,the house\n"),
        ("words.conllu", "1\tred\tred\tADJ\t_\t_\t_\t_\t_\t_\n"),
    ],
)
def test_a_first_line_that_is_a_row_is_not_lost_in_silence(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"looks like a row|a word and its tags in a line"):
        list(read_documents(tmp_path / name))
    if name == "lines.csv":
        assert [one.text for one in read_documents(tmp_path / name, field="the red house")] == ["a blue one"]


def test_a_graph_finds_nearly_what_a_comparison_finds(embedder, tmp_path):
    pytest.importorskip("usearch")
    texts = sorted({row.english for row in toy_pairs(700, seed=8)})
    exact = SearchIndex.build(tmp_path / "exact", texts, embedder)
    graph = SearchIndex.build(tmp_path / "graph", texts, embedder, graph=True)
    graph = SearchIndex.open(graph.folder, embedder)
    queries = [row.english for row in toy_pairs(30, seed=4)]
    shared = 0
    for one, other in zip(exact.search(queries, 10), graph.search(queries, 10), strict=True):
        shared += len({hit.document for hit in one} & {hit.document for hit in other})
    assert shared >= 0.97 * 10 * len(queries)
    graph.add([("0", "snow"), ("new", "red blue old")])
    assert graph.search("red blue old", 1)[0].document == "new" and len(graph) == len(exact) + 1


def test_what_others_add_is_seen_without_opening_again(embedder, tmp_path):
    first = SearchIndex.build(tmp_path / "index", [("a", "red house")], embedder)
    second = SearchIndex.open(tmp_path / "index", embedder)
    first.add([("b", "blue dog")])
    assert {hit.document for hit in second.search("dog")} == {"a", "b"}
    second.add([("c", "snow night")])
    first.remove("a")
    for one in (first, second):
        assert one.documents == ["b", "c"] == sorted(hit.document for hit in one.search("dog", mode="hybrid"))


def test_an_index_is_written_from_within(embedder, tmp_path, monkeypatch):
    SearchIndex.build(tmp_path / "index", [("a", "red house"), ("b", "blue dog")], embedder)
    monkeypatch.chdir(tmp_path / "index")
    assert SearchIndex.open(".", embedder).remove("a") == 1


def test_two_runs_do_not_write_one_index(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", [("a", "red house")], embedder)

    def documents():
        yield ("b", "blue dog")
        with pytest.raises(ValueError, match="index is being written by another run"):
            SearchIndex.open(tmp_path / "index", embedder).add([("c", "snow night")])

    index.add(documents())
    assert SearchIndex.open(tmp_path / "index", embedder).documents == ["a", "b"]
    assert not list(tmp_path.glob(".*")), "no lock is left"


def test_an_index_within_its_documents_is_not_one_of_them(embedder, tmp_path):
    (tmp_path / "a.txt").write_text("red house")
    index = SearchIndex.build(tmp_path / "my.index", read_documents(tmp_path), embedder)
    (tmp_path / "rows.jsonl").write_text('{"id": "b", "text": "blue dog"}')
    assert [one.text for one in read_documents(tmp_path)] == ["red house", "blue dog"]
    assert index.add(read_documents(tmp_path)).documents == 1 and len(index) == 2


def test_a_passage_whose_row_is_gone_is_told(embedder, texts, tmp_path):
    SearchIndex.build(tmp_path / "index", texts.items(), embedder)
    with sqlite3.connect(tmp_path / "index" / "index.db") as database:
        database.execute("DELETE FROM passages WHERE id = 3")
    with pytest.raises(ValueError, match=r"index\.db is damaged: passage 3 has a vector and no row"):
        SearchIndex.open(tmp_path / "index", embedder).search("red river", top_k=len(texts))


def test_a_text_without_a_name_does_not_replace_another(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", ["red house", "blue dog"], embedder)
    assert index.add(["red house"]).unchanged == 1
    with pytest.raises(ValueError, match=r"text 0 has no name.*another document '0'; give \(name, text\) pairs"):
        index.add(["snow night"])
    assert {hit.text for hit in index.search("red")} == {"red house", "blue dog"}
    assert index.add([("0", "snow night")]).replaced == 1


def test_the_folder_of_a_model_is_opened_as_the_index_wants_it(encoder, tmp_path):
    prompts = {"query": "red ", "document": "blue "}
    made = load_embedder(encoder, dtype="float32", prompts=prompts, max_seq_length=40, pooling="cls", dims=16)
    index = SearchIndex.build(tmp_path / "index", [("a", "house"), ("b", "dog")], made, passage_tokens=20)
    opened = SearchIndex.open(index.folder, encoder, device="cpu")
    assert [(hit.document, hit.score) for hit in opened.search("tree")] == [
        (hit.document, pytest.approx(hit.score, abs=1e-5)) for hit in index.search("tree")
    ]
    assert opened.add([("c", "tree")]).documents == 1


def test_a_model_that_is_gone_is_asked_for(encoder, tmp_path):
    (tmp_path / "model").symlink_to(encoder)
    index = SearchIndex.build(tmp_path / "index", ["red house"], str(tmp_path / "model"))
    (tmp_path / "model").unlink()
    with pytest.raises(FileNotFoundError, match=r"was made with .*model, which .*; name its new place \(--model\)"):
        SearchIndex.open(index.folder)
    assert len(SearchIndex.open(index.folder, encoder)) == 1


def test_what_cannot_be_read_or_named_is_an_error_or_counted(embedder, tmp_path):
    for name in ("a.txt", "b.jsonl", "c.txt"):
        (tmp_path / name).write_text('{"text": "red"}' if name == "b.jsonl" else "red")
    for on_bad in ("raise", "skip"):
        found = read_documents(tmp_path, on_bad=on_bad)  # lists the files; two go before they are read
        if on_bad == "raise":
            (tmp_path / "a.txt").unlink()
            with pytest.raises(ValueError, match=r"a\.txt: cannot be read \(No such file"):
                list(found)
            (tmp_path / "a.txt").write_text("red")
            continue
        (tmp_path / "a.txt").unlink()
        (tmp_path / "b.jsonl").unlink()
        assert [one.text for one in found] == [None, None, "red"]
    with pytest.raises(ValueError, match=r"document 'x\\ud800': half a surrogate pair in its name"):
        SearchIndex.build(tmp_path / "index", [("x\ud800", "red")], embedder)
    index = SearchIndex.build(tmp_path / "index", [("x\ud800", "red"), ("y", "blue")], embedder, on_bad="skip")
    assert index.documents == ["y"] and index.last_added.skipped == {"half a surrogate pair in its name": 1}


def test_removed_documents_are_not_found_any_more(embedder, texts, tmp_path):
    index = SearchIndex.build(tmp_path / "index", list(texts.items())[:30], embedder)
    index.add(list(texts.items())[20:])
    gone = ["doc3", "doc25", "doc40"]
    assert index.remove(gone) == 3
    kept = {name: text for name, text in texts.items() if name not in gone}
    whole = SearchIndex.build(tmp_path / "whole", kept.items(), embedder)
    for one in (index, SearchIndex.open(index.folder, embedder)):
        assert one.documents == sorted(kept) and len(one) == len(whole)
        for query in ("red river", texts["doc3"]):
            assert [hit.document for hit in one.search(query, 100)] == [h.document for h in whole.search(query, 100)]
    added = index.add([("doc3", texts["doc3"]), ("doc4", texts["doc4"])])
    assert (added.documents, added.unchanged, added.replaced) == (1, 1, 0)
    assert index.remove("doc3") == 1 and index.remove([]) == 0
    assert SearchIndex.open(index.folder, embedder).documents == sorted(kept)
    with pytest.raises(ValueError, match=r"holds no document 'doc3'.*did you mean 'doc\d+'"):
        index.remove(["doc5", "doc3"])
    assert "doc5" in index.documents, "all or none"


def test_an_index_mirrors_its_documents(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", {"a": "red", "b": "blue", "c": "snow", "d": "dog"}.items(), embedder)
    added = index.add([("a", "red"), ("b", "night"), ("c", " "), ("e", "tree"), ("d", None)], on_bad="skip")
    assert (added.removed, added.replaced, added.unchanged, added.documents) == (1, 1, 1, 2), "a blank one has no text"
    assert index.documents == ["a", "b", "d", "e"], "what cannot be read now stays"
    added = index.add([("a", "red"), ("d", None)], on_bad="skip", mirror=True)
    assert (added.removed, added.unchanged, added.documents) == (2, 1, 0)
    assert SearchIndex.open(index.folder, embedder).documents == index.documents == ["a", "d"]
    with pytest.raises(ValueError, match="would remove all 2 documents"):
        index.add([], mirror=True)
    assert index.remove(["a", "d"]) == 2 and len(index) == 0
    assert index.search("red") == [] and index.search(["red"], reranker=object()) == [[]]
    assert index.add(["snow"], mirror=True).documents == 1


KILLED = """
import os, signal, sys
from mmbert import load_embedder
from mmbert.embeddings import SearchIndex
embedder = load_embedder(sys.argv[1], dtype="float32")
calls = []
plain = embedder.encode
def encode(*args, **options):
    calls.append(1)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*args, **options)
embedder.encode = encode
filler = "red blue old new small big river house tree dog " * 400
SearchIndex.build(sys.argv[2], [(str(n), filler + str(n)) for n in range(350)], embedder, passage_tokens=None)
"""


@pytest.mark.slow
def test_a_killed_build_goes_on(encoder, embedder, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, encoder, tmp_path / "index"], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(FileNotFoundError, match="has not ended"):
        SearchIndex.open(tmp_path / "index", embedder)
    filler = "red blue old new small big river house tree dog " * 400
    documents = [(str(n), filler + str(n)) for n in range(350)]
    with pytest.raises(ValueError, match="other texts"):
        SearchIndex.build(tmp_path / "index", documents[::-1], embedder, passage_tokens=None)
    index = SearchIndex.build(tmp_path / "index", documents, embedder, passage_tokens=None)
    assert index.last_added.resumed > 0 and len(index) == 350
    index.store.close()
    (index.folder / "index.db").unlink()  # as if killed when all vectors were there, before the commit
    again = SearchIndex.build(tmp_path / "index", documents, embedder, passage_tokens=None)
    assert again.last_added.resumed == 350 and len(again) == 350

"""Reading training pairs: every kind and format, and a count for every row that is left out."""

import json
import math
import random

import pyarrow as pa
import pytest
from mmbert.embeddings import PairSet, read_pairs
from mmbert.embeddings.pairs.overlap import TextFinder
from mmbert.embeddings.pairs.sources import PairSource, read_texts
from pyarrow import csv, parquet

QA = [{"question": f"who is {name}?", "context": f"{name} is a person"} for name in ("Ana", "Bo", "Chi")]


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_all_formats_give_the_same_rows(tmp_path):
    table = pa.Table.from_pylist(QA)
    parquet.write_table(table, tmp_path / "a.parquet")
    csv.write_csv(table, tmp_path / "a.csv")
    (tmp_path / "a.tsv").write_text("question\tcontext\n" + "".join(f"{r['question']}\t{r['context']}\n" for r in QA))
    jsonl(tmp_path / "a.jsonl", QA)
    (tmp_path / "folder").mkdir()
    jsonl(tmp_path / "folder/one.jsonl", QA[:1])
    jsonl(tmp_path / "folder/two.jsonl", QA[1:])
    read = [read_pairs(str(tmp_path / name)) for name in ("a.parquet", "a.csv", "a.tsv", "a.jsonl", "folder")]
    assert all(pairs.rows == [(row["question"], row["context"]) for row in QA] for pairs in read)
    assert {pairs.kind for pairs in read} == {"pairs"}


def test_columns_are_named_in_the_source(tmp_path):
    rows = [("wer?", "sie", "deu_Latn"), ("was?", "das", "deu_Latn")]
    path = jsonl(tmp_path / "a.jsonl", [dict(zip(("frage", "beleg", "wo"), row, strict=True)) for row in rows])
    pairs = read_pairs(f"{path}?anchor=frage&positive=beleg&language=wo")
    assert pairs.rows == [("wer?", "sie"), ("was?", "das")] and pairs.languages == ["deu_Latn"] * 2
    with pytest.raises(ValueError, match=r"no column is the anchor; name it as .*\?anchor=COLUMN, one of: frage"):
        read_pairs(path)
    with pytest.raises(ValueError, match="has no column 'fragen' for anchor; it has frage, beleg, wo"):
        read_pairs(f"{path}?anchor=fragen&positive=beleg")
    with pytest.raises(ValueError, match="'ancor' is no role of a column; did you mean anchor"):
        read_pairs(f"{path}?ancor=frage")


def test_translations_of_a_key_are_paired_with_the_pivot(tmp_path):
    rows = [
        {"lang": "deu_Latn", "line": 1, "text": "Haus"},
        {"lang": "eng_Latn", "line": 1, "text": "house"},
        {"lang": "eng_Latn", "line": 1, "text": "home"},
        {"lang": "fra_Latn", "line": 1, "text": "maison"},
        {"lang": "fra_Latn", "line": 2, "text": "orphelin"},
    ]
    path = jsonl(tmp_path / "a.jsonl", rows)
    pairs = read_pairs(f"{path}?key=line&text=text&language=lang")
    assert pairs.rows == [("house", "Haus"), ("house", "maison")] and pairs.skipped == {"no text": 1}
    assert pairs.languages == ["deu_Latn", "fra_Latn"]
    with pytest.raises(ValueError, match="no text in the pivot language swh_Latn"):
        read_pairs(f"{path}?key=line&text=text&language=lang&pivot=swh_Latn")


@pytest.mark.parametrize(
    "row, reason",
    [
        ({"anchor": None, "positive": "x"}, "no text"),
        ({"anchor": "x", "positive": " \t"}, "empty"),
        ({"anchor": "x", "positive": "x"}, "same text twice"),
        ({"anchor": "a", "positive": "b"}, "repeated"),
    ],
)
def test_a_row_that_teaches_nothing_is_counted(tmp_path, row, reason):
    good = [{"anchor": "a", "positive": "b"}, {"anchor": "c", "positive": "d"}]
    pairs = read_pairs(jsonl(tmp_path / "a.jsonl", [*good, row]))
    assert pairs.rows == [("a", "b"), ("c", "d")] and pairs.skipped == {reason: 1}


def test_nan_is_no_text(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"anchor": ["a", "c", "e"], "positive": ["b", math.nan, "f"]})
    frame.to_parquet(tmp_path / "a.parquet")
    pairs = read_pairs(str(tmp_path / "a.parquet"))
    assert pairs.rows == [("a", "b"), ("e", "f")] and pairs.skipped == {"no text": 1}


@pytest.mark.parametrize(
    "rows, message",
    [
        ([{"anchor": 5, "positive": 6}] * 3, "row 1, anchor: expected text, got int 5"),
        ([{"anchor": "a", "positive": "b", "score": "high"}] * 3, "row 1: the score must be a number, got 'high'"),
        ([{"premise": "a", "hypothesis": "b", "label": 7}] * 3, "NLI labels are 0, 1, 2 or entailment"),
        ([{"anchor": "a", "positive": "b"}], "at least 2 rows, .* left 1"),
        ([{"anchor": "a", "positive": "a"}] * 3, r"left 0 \(left out: \{'same text twice': 3\}\)"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message) as caught:
        read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    assert "\n" not in str(caught.value)


def test_half_a_surrogate_pair_is_refused(tmp_path):
    # no file format lets one through, data sets in memory do
    from mmbert.embeddings.pairs.cleaning import _Cleaner

    with pytest.raises(ValueError, match="half a surrogate pair"):
        _Cleaner(None).add({"anchor": "a\ud83d", "positive": "b"}, "row 0")


def test_files_that_are_not_there_or_broken(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl is no file"):
        read_pairs(str(tmp_path / "nowhere.jsonl"))
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(ValueError, match=r"torn\.parquet: cannot be read"):
        read_pairs(str(tmp_path / "torn.parquet"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no file of pairs"):
        read_pairs(str(tmp_path / "empty"))


def test_hard_negatives_in_a_list_or_in_columns(tmp_path):
    listed = [
        {"query": "a", "positive": "b", "negatives": ["c", "d"]},
        {"query": "e", "positive": "f", "negatives": ["F", "g"]},  # one is the positive, in capitals
        {"query": "h", "positive": "i", "negatives": ["j", "k", "l"]},
        {"query": "m", "positive": "n", "negatives": []},
    ]
    pairs = read_pairs(jsonl(tmp_path / "list.jsonl", listed))
    assert pairs.rows == [("a", "b", "c", "d"), ("h", "i", "j", "k")] and pairs.kind == "triplets"
    assert pairs.skipped == {"negative equals positive or anchor": 1, "too few negatives": 1}
    assert read_pairs(str(tmp_path / "list.jsonl"), negatives=1).rows[1] == ("e", "f", "g")
    columns = [{"anchor": "a", "positive": "b", "negative_2": "d", "negative_1": "c"}] * 2 + [
        {"anchor": "e", "positive": "f", "negative_2": "h", "negative_1": "g"}
    ]
    pairs = read_pairs(jsonl(tmp_path / "columns.jsonl", columns))
    assert pairs.rows == [("a", "b", "c", "d"), ("e", "f", "g", "h")]
    assert pairs.dataset().column_names == ["anchor", "positive", "negative_1", "negative_2"]


def test_nli_becomes_triplets(tmp_path):
    names = ("premise", "hypothesis", "label")
    rows = [("a man sleeps", "a person sleeps", 0), ("a man sleeps", "he runs", 2), ("a man sleeps", "he dreams", 1)]
    rows += [("it rains", "it is wet", 0), ("it rains", "it is dry", 2), ("x", "y", -1)]
    pairs = read_pairs(jsonl(tmp_path / "three.jsonl", [dict(zip(names, row, strict=True)) for row in rows]))
    assert pairs.rows == [("a man sleeps", "a person sleeps", "he runs"), ("it rains", "it is wet", "it is dry")]
    assert pairs.skipped == {"NLI row without a partner": 1, "no label": 1}
    rows = [("a", "b", "entailment"), ("c", "d", "not_entailment"), ("e", "f", "entailment")]
    pairs = read_pairs(jsonl(tmp_path / "two.jsonl", [dict(zip(names, row, strict=True)) for row in rows]))
    assert pairs.rows == [("a", "b"), ("e", "f")]
    (tmp_path / "three.csv").write_text("premise,hypothesis,label\na,b,0\na,c,2\nd,e,0\nd,f, 2\n")
    assert read_pairs(str(tmp_path / "three.csv")).rows == [("a", "b", "c"), ("d", "e", "f")]


def test_columns_named_no_is_and_id_are_languages_beside_another_one(tmp_path):
    for name, code in (("no", "nob_Latn"), ("is", "isl_Latn"), ("id", "ind_Latn")):
        (tmp_path / "a.csv").write_text(f"{name},en\nhei,hello\nverden,world\n")
        pairs = read_pairs(str(tmp_path / "a.csv"))
        assert pairs.rows == [("hello", "hei"), ("world", "verden")] and set(pairs.languages) == {code}
    (tmp_path / "a.csv").write_text("id,en\n1,hello\n2,world\n")
    with pytest.raises(ValueError, match="no column is the anchor"):
        read_pairs(str(tmp_path / "a.csv"))


def test_lists_without_a_passage_in_a_csv_file_hold_none(tmp_path):
    (tmp_path / "a.csv").write_text("query,pos,neg\na,['p'],['x']\nb,['q'],[]\nc,[],['y']\nd,['r'],['z']\n")
    pairs = read_pairs(str(tmp_path / "a.csv"))
    assert pairs.rows == [("a", "p", "x"), ("d", "r", "z")]
    assert pairs.skipped == {"too few negatives": 1, "no text": 1}


def test_labels_of_two_numbers_are_not_taken_for_nli(tmp_path):
    # in sets of duplicates (QQP, PAWS, MRPC) 1 is right and 0 is wrong: as NLI, the wrong ones would be learned
    rows = [("how old is it", "what is its age", 1), ("how old is it", "how big is it", 0), ("a", "b", 1)]
    path = jsonl(
        tmp_path / "two.jsonl", [dict(zip(("sentence1", "sentence2", "label"), row, strict=True)) for row in rows]
    )
    (tmp_path / "two.csv").write_text(
        "".join(f"{a},{b},{c}\n" for a, b, c in [("sentence1", "sentence2", "label"), *rows])
    )
    with pytest.raises(ValueError, match=r"labels are 0, 1 only.*in words.*\?score=label"):
        read_pairs(str(tmp_path / "two.csv"))
    with pytest.raises(ValueError, match=r"labels are 0, 1 only.*in words.*\?score=label") as caught:
        read_pairs(path)
    assert "\n" not in str(caught.value)
    assert read_pairs(f"{path}?score=label").scores == [1.0, 0.0, 1.0]


def test_several_columns_of_negatives_may_be_named(tmp_path):
    rows = [{"a": "a", "b": "b", "n1": "c", "n2": "d"}, {"a": "e", "b": "f", "n1": "g", "n2": "h"}]
    path = jsonl(tmp_path / "a.jsonl", rows)
    pairs = read_pairs(f"{path}?anchor=a&positive=b&negative=n1&negative=n2")
    assert pairs.rows == [("a", "b", "c", "d"), ("e", "f", "g", "h")]
    with pytest.raises(ValueError, match="anchor is named twice"):
        read_pairs(f"{path}?anchor=a&anchor=n1&positive=b")


def test_a_score_that_says_nan_is_no_score(tmp_path):
    rows = [{"anchor": "a", "positive": "b", "score": value} for value in ("0.5", "nan", "1")]
    rows = [{**row, "positive": f"b{number}"} for number, row in enumerate(rows)]
    pairs = read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    assert pairs.scores == [0.5, 1.0] and pairs.skipped == {"no score": 1}
    (tmp_path / "a.csv").write_text("anchor,positive,score\na,b,0.5\nc,d,\ne,f,1\n")
    assert read_pairs(str(tmp_path / "a.csv")).skipped == {"no score": 1}
    with pytest.raises(ValueError, match=r"row 1: the score must be a finite number, got inf"):
        read_pairs(jsonl(tmp_path / "b.jsonl", [{"anchor": "a", "positive": "b", "score": math.inf}] * 2))


def test_scores_come_between_0_and_1(tmp_path):
    rows = [("a", "b", 5.0), ("c", "d", 2.5), ("e", "e", 0.0), ("f", "g", None)]
    path = jsonl(
        tmp_path / "a.jsonl", [dict(zip(("sentence1", "sentence2", "score"), row, strict=True)) for row in rows]
    )
    pairs = read_pairs(path)
    assert pairs.kind == "scored" and pairs.scores == [1.0, 0.5, 0.0] and pairs.skipped == {"no score": 1}


def test_kinds_are_not_mixed(tmp_path):
    plain = jsonl(tmp_path / "a.jsonl", QA)
    scored = jsonl(tmp_path / "b.jsonl", [{"anchor": "a", "positive": "b", "score": 1.0}])
    with pytest.raises(ValueError, match="scored after pairs; train on sources of one kind"):
        read_pairs(plain, scored)


def test_texts_of_evaluation_sets_are_left_out_however_they_are_written(tmp_path):
    pairs = read_pairs(jsonl(tmp_path / "a.jsonl", QA))
    texts = read_texts(jsonl(tmp_path / "b.jsonl", [{"n": 1, "any": "  WHO is  bo? "}]))
    kept = pairs.without(texts)
    assert [row[0] for row in kept.rows] == ["who is Ana?", "who is Chi?"] and kept.skipped == {"held out": 1}


FOUND = [
    ("the ferry leaves at eight", "On Monday: The ferry -- leaves at EIGHT, they said."),
    ("der Zug fährt heute nicht mehr", "Heute gilt: der Zug fa\u0308hrt heute nicht mehr. Schade."),
    (" ".join(f"w{n}" for n in range(40)), "before " + " ".join(f"w{n}" for n in range(20, 33)) + " after"),
    ("我昨天在图书馆看了一本书", "他说:“我昨天在图书馆看了一本书。”然后走了"),
    ("ฉันชอบกินข้าวเหนียวมะม่วง", "เมื่อวานนี้ฉันชอบกินข้าวเหนียวมะม่วงมาก"),
    ("मैं कल बाज़ार गया था वहाँ", "उसने कहा मैं कल बाज़ार गया था वहाँ और लौटा"),
]
NOT_FOUND = [
    ("thank you very much", "well, thank you very much for all of it"),  # too short to mean anything inside a text
    ("the ferry leaves at eight", "the ferry leaves eight at a time"),
    ("the ferry leaves at eight", "the ferry leaves at eighteen"),
    (" ".join(f"w{n}" for n in range(40)), "before " + " ".join(f"w{n}" for n in range(20, 32)) + " after"),
    ("我昨天看书", "他说我昨天看书了"),
]


@pytest.mark.parametrize(
    ("excluded", "text", "found"), [(*one, True) for one in FOUND] + [(*one, False) for one in NOT_FOUND]
)
def test_an_evaluation_text_inside_a_longer_one_is_found(excluded, text, found):
    rows = PairSet(("anchor", "positive"), [("one", text), ("two", "other")], None, ["", ""], {"empty": 2})
    kept = rows.without_excluded([excluded, "unrelated words that nobody has ever written down here"])
    inside = {"excluded text inside a longer one": 1} if found else {}
    assert len(kept) == (1 if found else 2)
    assert {why: number for why, number in kept.skipped.items() if number} == {"empty": 2, **inside}


def test_inside_is_found_as_a_plain_search_finds_it():
    draw = random.Random(0)
    words = "a b c d".split()
    excluded = [" ".join(draw.choices(words, k=draw.randint(3, 9))) for _ in range(30)]
    texts = [" ".join(draw.choices(words, k=draw.randint(4, 30))) for _ in range(400)]
    finder = TextFinder(excluded)
    for text in texts:
        expected = any(f" {one} " in f" {text} " for one in excluded if len(one.split()) >= 5)
        assert finder.holds(text) == expected


def test_a_development_set_shares_no_anchor_with_the_rest(tmp_path):
    rows = [{"english": f"message {n % 50}", "text": f"text {n}"} for n in range(200)]
    pairs = read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    train, dev = pairs.split(10)
    assert len(dev) == 10 and not {row[0] for row in dev.rows} & {row[0] for row in train.rows}
    assert len(train) + len(dev) + train.skipped["anchor in the development set"] == 200
    assert pairs.split(10)[1].rows == dev.rows
    with pytest.raises(ValueError, match="200 rows held out of 200 leave none"):
        pairs.split(200)


def test_a_hub_source_is_read_whole():
    source = PairSource.parse("sentence-transformers/all-nli?name=triplet&split=dev")
    assert (source.place, source.name, source.split) == ("sentence-transformers/all-nli", "triplet", "dev")


def test_a_split_of_a_file_with_splits(tmp_path):
    rows = [{**row, "split": "train" if n else "test"} for n, row in enumerate(QA)]
    assert len(read_pairs(jsonl(tmp_path / "a.jsonl", rows) + "?split=train")) == 2


def test_so_many_rows_are_drawn_from_all_sources(tmp_path):
    sources = [
        jsonl(tmp_path / f"{name}.jsonl", [{"anchor": f"{name} {n}", "positive": f"of {name} {n}"} for n in range(100)])
        for name in ("a", "b")
    ]
    pairs = read_pairs(*sources, max_rows=50)
    assert len(pairs) == 50 and pairs.skipped == {"beyond max_rows": 150}
    assert 10 < sum(row[0].startswith("a") for row in pairs.rows) < 40
    assert read_pairs(*sources, max_rows=50).rows == pairs.rows


def bge(number, **more):
    return {"query": f"q{number}", "pos": [f"a{number}", f"b{number}"], "neg": [f"x{number}", f"y{number}"], **more}


def test_scores_of_a_teacher_stay_with_their_passages(tmp_path):
    rows = [bge(1, pos_scores=[1, 2], neg_scores=[0, 0.5]), bge(2, pos_scores=[3, 4], neg_scores=[-1, 0])]
    pairs = read_pairs(jsonl(tmp_path / "a.jsonl", rows))
    assert pairs.teacher_scores == [(1, 0, 0.5), (2, 0, 0.5), (3, -1, 0), (4, -1, 0)]
    assert pairs.subset([3]).teacher_scores == [(4, -1, 0)]
    assert pairs.dataset(teacher_scores=True)["label"][:][0] == [1, 0, 0.5] and "label" not in pairs.dataset().features
    rows[0]["pos_scores"] = [1]
    with pytest.raises(ValueError, match=r"b.jsonl, row 1, positive_scores: \[1\] must be 2 numbers, one for each"):
        read_pairs(jsonl(tmp_path / "b.jsonl", rows))
    with pytest.raises(ValueError, match=r"2 of 4 rows lack a teacher's score .*; give pos_scores and neg_scores in"):
        read_pairs(jsonl(tmp_path / "c.jsonl", [bge(1), bge(2, pos_scores=[3, 4], neg_scores=[-1, 0])]))


def test_scores_that_no_row_with_negatives_takes_are_told(tmp_path, caplog):
    rows = [{"query": f"q{n}", "positive": f"a{n}", "negative": f"b{n}", "score": n} for n in (1, 2)]
    assert read_pairs(jsonl(tmp_path / "a.jsonl", rows)).kind == "triplets"
    assert "rows with negatives take no score; a teacher's are pos_scores and neg_scores" in caplog.text


def test_languages_are_those_of_columns_and_names_in_one_spelling(tmp_path, caplog):
    opus = [{"translation": {"de": f"eins {n}", "en": f"one {n}"}} for n in (1, 2)]
    pairs = read_pairs(jsonl(tmp_path / "opus.jsonl", opus))
    assert pairs.rows == [("one 1", "eins 1"), ("one 2", "eins 2")] and pairs.languages == ["deu_Latn"] * 2
    flores = [{"id": n, "eng_Latn": f"one {n}", "swh_Latn": f"moja {n}"} for n in (1, 2)]
    assert read_pairs(jsonl(tmp_path / "flores.jsonl", flores)).languages == ["swh_Latn"] * 2
    (tmp_path / "sw").mkdir()
    jsonl(tmp_path / "sw" / "train.jsonl", QA)
    assert set(read_pairs(str(tmp_path / "sw")).languages) == {"swh_Latn"}
    read = read_pairs(jsonl(tmp_path / "iw.jsonl", [{**row, "lang": "iw"} for row in QA]))
    assert set(read.languages) == {"heb_Hebr"} and "iw as heb_Hebr" in caplog.text

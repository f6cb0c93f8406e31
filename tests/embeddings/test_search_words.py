"""Words of any script are found exactly, filters hold, the file survives kills and is refused when it is another's."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
from mmbert import load_embedder
from mmbert.embeddings import SearchIndex, cut_passages
from mmbert.embeddings.search.where import Filter
from mmbert.languages import canonical_tag

TEXTS = {
    "tha_Thai": ("สวัสดีครับ วันนี้อากาศดีมากและท้องฟ้าแจ่มใส", "อากาศ"),
    "lao_Laoo": ("ພາສາລາວເປັນພາສາທາງການຂອງປະເທດລາວ", "ທາງການ"),
    "khm_Khmr": ("មនុស្សទាំងអស់កើតមកមានសេរីភាព និងសមភាព", "សេរីភាព"),
    "mya_Mymr": ("လူတိုင်းသည် တူညီလွတ်လပ်သောဂုဏ်သိက္ခာဖြင့် မွေးဖွားလာသည်", "ဂုဏ်သိက္ခာ"),
    "bod_Tibt": ("འགྲོ་བ་མིའི་རིགས་རྒྱུད་ཡོངས་ལ་སྐྱེས་ཙམ་ཉིད་ནས", "རིགས་རྒྱུད"),
    "zho_Hans": ("人人生而自由,在尊严和权利上一律平等。", "尊严"),
    "jpn_Jpan": ("すべての人間は、生まれながらにして自由であり、コンピューターを使う。", "コンピューター"),
    "kor_Hang": ("모든 인간은 태어날 때부터 자유로우며 존엄하다", "자유로우며"),
    "vie_Latn": ("Tất cả mọi người sinh ra đều được tự do và bình đẳng", "đẳng"),
    "arb_Arab": ("يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق", "الكرامة"),
    "hin_Deva": ("सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है", "स्वतन्त्रता"),
    "amh_Ethi": ("የሰው ልጅ ሁሉ ሲወለድ ነጻና በክብርና በመብትም እኩልነት ያለው ነው።", "እኩልነት"),
    "eng_Latn": ("All human beings are born free and equal in dignity and rights.", "dignity"),
    "deu_Latn": ("Alle Menschen sind frei und gleich an Würde und Rechten geboren.", "Würde"),
}


@pytest.fixture(scope="module")
def embedder(encoder):
    return load_embedder(encoder, dtype="float32")


@pytest.fixture(scope="module")
def index(embedder, tmp_path_factory):
    rows = [
        (tag, text, {"lang": tag, "year": 1948 + number, "kind": "law" if number % 2 else None})
        for number, (tag, (text, _)) in enumerate(TEXTS.items())
    ]
    return SearchIndex.build(tmp_path_factory.mktemp("words") / "index", rows, embedder)


@pytest.mark.parametrize("language", TEXTS)
def test_a_word_inside_a_text_is_found_and_marked(index, language):
    word = TEXTS[language][1]
    hit = index.search(word, mode="words")[0]
    assert hit.document == language and hit.cosine is None
    assert hit.columns["lang"] == canonical_tag(language), "zho_Hans is read as cmn_Hans"
    assert "".join(hit.text[start:end] for start, end in hit.highlights) == word.replace("་", ""), (
        "a tsheg is no letter"
    )
    assert language in [hit.document for hit in index.search(word, 5, mode="hybrid")]


def test_accents_count_unless_nobody_types_them(embedder, tmp_path):
    texts = ["ma quỷ", "má tôi", "mà thôi", "đẹp lắm", "café", "naïve Straße"]
    index = SearchIndex.build(tmp_path / "index", texts, embedder)

    def found(query):
        return {hit.text for hit in index.search(query, mode="words")}

    assert found("má") == {"má tôi"} and found("mà") == {"mà thôi"}
    assert found("ma") == {"ma quỷ", "má tôi", "mà thôi"} and index.search("ma", mode="words")[0].text == "ma quỷ"
    assert found("dep lam") == {"đẹp lắm"} and found("CAFE") == found("cafe\u0301") == {"café"}


def test_passages_with_all_words_come_before_those_with_some(embedder, tmp_path):
    texts = ["red house", "house", "blue dog", "red red red tree", "big house of red stone"]
    index = SearchIndex.build(tmp_path / "index", texts, embedder)
    hits = [hit.text for hit in index.search("red house", mode="words")]
    assert set(hits[:2]) == {"red house", "big house of red stone"} and set(hits) == {*texts} - {"blue dog"}
    assert index.search('"red house"', mode="words")[0].text == "red house"
    vectors, words = index.search("red house", 5), index.search("red house", 5, mode="words")
    expected: dict[str, float] = {}
    for ranking in (vectors, words):
        for rank, hit in enumerate(ranking, start=1):
            expected[hit.text] = expected.get(hit.text, 0) + 1 / (60 + rank)
    fused = index.search("red house", 5, mode="hybrid")
    assert {hit.text: pytest.approx(hit.score) for hit in fused} == expected
    assert [hit.score for hit in fused] == sorted(expected.values(), reverse=True)
    cosines = {hit.text: hit.cosine for hit in vectors}
    assert all(hit.cosine == pytest.approx(cosines[hit.text], abs=1e-6) for hit in fused)


OPERATORS = ["AND", "NEAR(a b)", 'red" OR "x', "a* ^b {text}:c -d", "'; DROP TABLE documents; --"]
LONG = ["x" * 9000, "ก" * 3000, "word " * 500, "自由平等" * 200]


@pytest.mark.parametrize("query", OPERATORS + LONG)
def test_a_query_is_words_and_never_operators(index, query):
    for mode in ("words", "hybrid"):
        index.search(query, mode=mode)
    assert len(index) == len(TEXTS)


def test_a_query_without_words_is_refused_by_words_only(index):
    with pytest.raises(ValueError, match=r"no letter or digit.*use mode vectors"):
        index.search('&& || "" ( *', mode="words")
    assert index.search("&& ||", mode="hybrid") and index.search("&& ||")
    with pytest.raises(ValueError, match="mode='meaning' is none of vectors, words, hybrid"):
        index.search("a", mode="meaning")


WRITTEN = ["de", "deu_Latn", "German", "sr-Cyrl", "sr_Latn", "zh-TW", "zho_Hans", "swa_Latn", "iw", "und"]
MEANT = [
    ("lang = 'deu_Latn'", {"de", "deu_Latn", "German"}),
    ("lang = 'ger'", {"de", "deu_Latn", "German"}),
    ("lang = 'he'", {"iw"}),
    ("lang = 'heb_Hebr'", {"iw"}),
    ("lang = 'sr'", {"sr-Cyrl", "sr_Latn"}),
    ("lang = 'srp_Cyrl'", {"sr-Cyrl"}),
    ("lang = 'zh-Hant'", {"zh-TW"}),
    ("lang IN ('sw', 'cmn_Hans')", {"swa_Latn", "zho_Hans"}),
    ("lang != 'de' AND NOT lang = 'und'", {*WRITTEN} - {"de", "deu_Latn", "German", "und"}),
    ("lang = 'und'", {"und"}),
    ("lang = 'fr'", set()),
]


@pytest.fixture(scope="module")
def spelled(embedder, tmp_path_factory):
    """An index of this version, and one whose filters compare what the documents said, as earlier ones did."""
    rows = [(tag, f"text {number}", {"lang": tag}) for number, tag in enumerate(WRITTEN)]
    new, old = (tmp_path_factory.mktemp("spelled") / name for name in ("new", "old"))
    SearchIndex.build(new, rows[:4], embedder).add(rows[4:])
    shutil.copytree(new, old)
    with sqlite3.connect(old / "index.db") as db:
        db.execute("UPDATE metadata SET value = (SELECT name FROM documents WHERE id = document)")
    return {"new": SearchIndex.open(new, embedder), "old": SearchIndex.open(old, embedder)}


@pytest.mark.parametrize("kind", ["new", "old"])
@pytest.mark.parametrize(("where", "expected"), MEANT)
def test_a_filter_finds_a_language_in_every_spelling(spelled, kind, where, expected):
    assert {hit.document for hit in spelled[kind].search("text", 20, mode="words", where=where)} == expected


def test_an_index_shows_tags_in_use_and_notes_once_what_it_reads(spelled, embedder, tmp_path, caplog):
    assert dict(spelled["new"].store.values("lang"))["deu_Latn"] == 3
    shown = {hit.document: hit.columns["lang"] for hit in spelled["new"].search("text", 20, mode="words")}
    assert shown == {tag: canonical_tag(tag) or tag for tag in WRITTEN}
    rows = [(str(number), "red", {"lang": tag}) for number, tag in enumerate(("fr", "fra_Latn", "pt-BR"))]
    with caplog.at_level("WARNING"):
        index = SearchIndex.build(tmp_path / "index", rows, embedder)
    assert [line.split(": ", 1)[1] for line in caplog.messages] == [
        "language tags are read as mmBERT writes them: fr as fra_Latn, pt-BR as por_Latn."
    ]
    assert index.add(rows).unchanged == 3  # what they said is kept to compare them
    caplog.clear()
    assert len(index.search("red", mode="words", where="lang = 'French'")) == 2
    assert caplog.messages == ["the filter: language tags are read as mmBERT writes them: French as fra_Latn."]
    caplog.clear()
    assert index.search("red", mode="words", where="lang = 'por_Ltan'") == []
    assert "has no lang 'por_Ltan'; did you mean por_Latn or" in caplog.text


def test_programming_languages_stay_as_they_are(embedder, tmp_path, caplog):
    rows = [(name, "red", {"language": name}) for name in ("Python", "C++", "lua", "JavaScript", "TypeScript")]
    index = SearchIndex.build(tmp_path / "index", rows, embedder)
    assert not caplog.messages
    (hit,) = index.search("red", mode="words", where="language = 'lua'")
    assert hit.columns["language"] == "lua"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("lang = 'khm_Khmr'", {"khm_Khmr"}),
        ("lang IN ('khm_Khmr', 'deu_Latn', 'xxx')", {"khm_Khmr", "deu_Latn"}),
        ("lang LIKE '%_Latn' AND NOT document = 'vie_Latn'", {"eng_Latn", "deu_Latn"}),
        ("year < 1950 or year >= 1961", {"tha_Thai", "lao_Laoo", "deu_Latn"}),
        ("(year = 1949 OR year = 1950) and kind = 'law'", {"lao_Laoo"}),
        ("lang = 'it''s'", set()),
        ("lang = '' OR 1'", None),
    ],
)
def test_filters_hold_in_every_mode(index, where, expected):
    if expected is None:
        with pytest.raises(ValueError, match="filter"):
            index.search("a", where=where)
        return
    for mode in ("vectors", "hybrid", "words"):
        found = {hit.document for hit in index.search("dignity Würde 自由 სიტყვა", 50, mode=mode, where=where)}
        assert found == expected if mode != "words" else found <= expected


def test_a_filter_that_cannot_be_read_is_shown(index):
    for where in (
        "lang",
        "lang =",
        "lang = deu",
        "(lang = 'a'",
        "lang = 'a')",
        "lang = 'a'; DROP",
        "= 'a'",
        "NOT " * 99,
    ):
        with pytest.raises(ValueError, match="filter") as caught:
            Filter(where)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"no column 'langs' to filter on; did you mean lang\?"):
        index.search("a", where="langs = 'deu_Latn'")


def test_changed_columns_replace_a_document(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", [("a", "red", {"lang": "x"})], embedder)
    assert index.add([("a", "red", {"lang": "x"})]).unchanged == 1
    assert index.add([("a", "red", {"lang": "y"})]).replaced == 1
    assert len(index.search("red", where="lang = 'y'")) == 1 and index.search("red", where="lang = 'x'") == []


def test_sentences_of_any_script_end_passages_and_no_crumb_is_left(toy_tokenizer):
    for sentence in ("自由平等尊严。", "មនុស្ស សេរី។", "red blue 3.5 house. ", "आजादी बराबरी। ", "ነጻ እኩል። "):
        text = sentence * 40
        passages = list(cut_passages(text, toy_tokenizer, 50))
        assert all(one.text.endswith(sentence.strip()) for one in passages), passages
    for count in range(20, 70):
        lengths = [
            len(toy_tokenizer(one.text, add_special_tokens=False)["input_ids"])
            for one in cut_passages("red " * count, toy_tokenizer, 20)
        ]
        assert max(lengths) <= 20 and min(lengths) >= 5, lengths


def test_compact_gives_space_back_and_finds_the_same(embedder, tmp_path):
    texts = {str(number): f"house {number} " + "red " * (number % 7) for number in range(40)}
    index = SearchIndex.build(tmp_path / "index", texts.items(), embedder)
    index.add([("3", "snow"), ("new", "night")])
    index.remove([str(number) for number in range(10, 30)])
    before = {
        mode: [(hit.document, hit.text) for hit in index.search("house 31", 50, mode=mode)]
        for mode in ("vectors", "words")
    }
    other = SearchIndex.compact(index.folder)
    assert [path.name for path in sorted(index.folder.glob("vectors-*.npy"))] == ["vectors-0003.npy"]
    assert len(np.load(index.folder / "vectors-0003.npy")) == len(other) == 21
    other = SearchIndex.open(index.folder, embedder)
    for one in (index, other):
        for mode, hits in before.items():
            assert [(hit.document, hit.text) for hit in one.search("house 31", 50, mode=mode)] == hits
    other.add([("last", "stone")])
    assert index.search("stone", 1, mode="words")[0].document == "last"


def test_an_index_of_an_earlier_version_is_converted(embedder, tmp_path):
    made = SearchIndex.build(tmp_path / "made", [("x", "red")], embedder)
    folder = tmp_path / "old"
    parts = [{"a": ["red house", "blue dog"], "b": ["snow"]}, {"b": ["night stone"], "c": ["tree"]}]
    for number, documents in enumerate(parts, start=1):
        place = folder / f"part-{number:04d}"
        place.mkdir(parents=True)
        lines, begins, digests = [], [0], {}
        for name, texts in documents.items():
            digests[name] = [f"{number}" * 32, len(lines), len(texts)]
            for text in texts:
                row = {"document": name, "start": 0, "end": len(text), "line": 1, "file": None, "text": text}
                lines.append(json.dumps(row).encode() + b"\n")
                begins.append(begins[-1] + len(lines[-1]))
        (place / "passages.jsonl").write_bytes(b"".join(lines))
        (place / "documents.json").write_text(json.dumps(digests))
        np.save(place / "lines.npy", np.asarray(begins))
        np.save(place / "vectors.npy", embedder.encode([text for texts in documents.values() for text in texts]))
    settings = made.store.settings
    entries = [{"name": "part-0001"}, {"name": "part-0002", "removed": ["c"]}]
    (folder / "index.json").write_text(json.dumps({"format": 1, **settings, "parts": entries}))
    with pytest.raises(ValueError, match="earlier version; convert it with `mmbert search compact"):
        SearchIndex.open(folder, embedder)
    SearchIndex.compact(folder)
    index = SearchIndex.open(folder, embedder)
    assert index.documents == ["a", "b"] and len(index) == 3
    assert {hit.text for hit in index.search("night")} == {"red house", "blue dog", "night stone"}
    assert index.search("night stone", mode="words")[0].document == "b"
    assert sorted(path.suffix for path in folder.iterdir() if path.name[0] != "i") == [".npy"]


@pytest.mark.parametrize("content", [b"", b"no database at all " * 99, "sqlite", "cut"])
def test_a_damaged_or_foreign_file_is_refused(embedder, index, tmp_path, content):
    path = tmp_path / "index.db"
    if content == "sqlite":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE bookmarks (url TEXT)")
    elif content == "cut":
        path.write_bytes((index.folder / "index.db").read_bytes()[:5000])
    else:
        path.write_bytes(content)
    with pytest.raises((ValueError, OSError)) as caught:
        SearchIndex.open(tmp_path, embedder)
    assert "index.db" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "damage, message", [("flip", "its bytes are not those"), ("cut", "bytes instead of"), ("gone", "cannot be read")]
)
@pytest.mark.parametrize("name", ["vectors-0001.npy", "graph-0001.usearch"])
def test_damaged_vectors_are_refused(embedder, tmp_path, monkeypatch, damage, message, name):
    pytest.importorskip("usearch")
    SearchIndex.build(tmp_path / "made", [("a", "red house"), ("b", "dog")], embedder, graph=True).store.close()
    folder = shutil.copytree(tmp_path / "made", tmp_path / "index")
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    if damage == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(bytes(content) if damage == "flip" else bytes(content)[:-8])
    with pytest.raises(ValueError, match=message) as caught:
        SearchIndex.open(folder, embedder)
    assert name in str(caught.value) and "\n" not in str(caught.value)
    if damage == "flip":
        monkeypatch.setenv("MMBERT_VERIFY", "0")
        assert SearchIndex.open(folder, embedder).documents == ["a", "b"]


def test_a_damaged_page_of_the_file_is_told_when_it_is_read(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", [(str(n), f"red house {n} " * 20) for n in range(200)], embedder)
    index.store.close()
    path = tmp_path / "index" / "index.db"
    content = bytearray(path.read_bytes())
    content[8192:-4096] = b"\xff" * (len(content) - 12288)
    path.write_bytes(bytes(content))
    with pytest.raises((ValueError, OSError), match=r"index\.db") as caught:
        SearchIndex.open(tmp_path / "index", embedder).search("red house", mode="hybrid")
    assert "\n" not in str(caught.value)


def test_readers_go_on_beside_a_writer(embedder, tmp_path):
    index = SearchIndex.build(tmp_path / "index", [("a", "red house")], embedder)
    reader = SearchIndex.open(tmp_path / "index", embedder)

    def documents():
        for number in range(3):
            yield (f"b{number}", "blue dog")
            hits = reader.search("dog", mode="hybrid")
            assert [hit.document for hit in hits] == ["a"], "what is not committed is not seen"

    index.add(documents())
    assert len(reader.search("dog", mode="words")) == 3


KILLED = """
import os, signal, sys
from mmbert import load_embedder
from mmbert.embeddings import SearchIndex
index = SearchIndex.open(sys.argv[2], load_embedder(sys.argv[1], dtype="float32"))
store, place = index.store, sys.argv[3]
plain = getattr(store, place)
def die(*args, **options):
    done = plain(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(store, place, die)
index.add([(str(n), f"house {n}") for n in range(30)] + [("a", "snow")])
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["put", "remove", "add_part"])
def test_a_kill_anywhere_leaves_the_last_commit(encoder, embedder, tmp_path, place):
    SearchIndex.build(tmp_path / "index", [("a", "red house"), ("b", "dog")], embedder).store.close()
    done = subprocess.run([sys.executable, "-c", KILLED, encoder, tmp_path / "index", place], check=False)
    assert done.returncode == -signal.SIGKILL
    index = SearchIndex.open(tmp_path / "index", embedder)
    assert index.documents == ["a", "b"] and {hit.text for hit in index.search("red")} == {"red house", "dog"}
    added = index.add([(str(n), f"house {n}") for n in range(30)] + [("a", "snow")])
    assert (added.documents, added.resumed) == (31, 31 if place == "add_part" else 0)
    assert len(index) == 32 and index.search("snow", 1, mode="words")[0].document == "a"

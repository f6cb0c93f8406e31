"""Text, jsonl and parquet as a corpus: what is read, what is refused, what is counted."""

import json
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert.data import Corpus, Document, Source, open_corpus
from mmbert.data.corpora.base import is_heldout


def texts(corpus, split="train"):
    return [(document.language, document.text) for document in corpus.documents(split)]


def write_parquet(path, rows, **options):
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), path, **options)


@pytest.fixture
def folder(tmp_path):
    """A folder with all shapes side by side."""
    (tmp_path / "swh_Latn" / "deep").mkdir(parents=True)
    (tmp_path / "swh_Latn" / "a.txt").write_text("habari\nya leo\n\n\nnzuri\n", encoding="utf-8")
    (tmp_path / "swh_Latn" / "deep" / "b.jsonl").write_text('{"text": "asante"}\n\n{"text": "sana"}\n')
    (tmp_path / "fao_Latn.txt").write_bytes("\ufeffgóðan dag\r\n\r\ntakk".encode())
    write_parquet(tmp_path / "deu_Latn-00001.parquet", [{"text": "Guten Tag", "n": 1}])
    mixed = [{"lang": "ell_Grek", "text": "γεια"}, {"lang": "code", "text": "x = 1"}]
    (tmp_path / "mixed.jsonl").write_text("\n".join(json.dumps(row) for row in mixed), encoding="utf-8")
    (tmp_path / "README.md").write_text("about")
    return tmp_path


ALL = [
    ("ell_Grek", "γεια"),
    ("code", "x = 1"),
    ("deu_Latn", "Guten Tag"),
    ("fao_Latn", "góðan dag"),
    ("fao_Latn", "takk"),
    ("swh_Latn", "habari\nya leo"),
    ("swh_Latn", "nzuri"),
    ("swh_Latn", "asante"),
    ("swh_Latn", "sana"),
]


def test_all_shapes_of_a_folder(folder):
    corpus = open_corpus(folder, heldout_fraction=0.0)
    assert isinstance(corpus, Corpus)
    assert texts(corpus) == ALL
    assert corpus.skipped == {"other file type": 1}
    assert corpus.languages() == ["code", "deu_Latn", "ell_Grek", "fao_Latn", "swh_Latn"]
    assert corpus.sources() == {folder.name: Source(folder.name, "local files", "not stated", "")}
    assert next(corpus.documents("train")) == Document("ell_Grek", "γεια", folder.name, None)
    assert texts(corpus, "heldout") == []


def test_lines_as_documents(folder):
    corpus = open_corpus(folder, text_unit="line", heldout_fraction=0.0)
    assert [text for language, text in texts(corpus) if language == "swh_Latn"][:3] == ["habari", "ya leo", "nzuri"]


def test_tags_may_be_one_text(folder):
    expected = texts(open_corpus(folder, languages=["swh_Latn"], extra_languages=["xyz"]))
    assert expected and texts(open_corpus(folder, languages="swh_Latn", extra_languages="xyz")) == expected


def test_chosen_languages(folder):
    assert texts(open_corpus(folder, languages=["fao_Latn", "code"], heldout_fraction=0.0)) == ALL[1:2] + ALL[3:5]
    with pytest.raises(ValueError, match="no document in cat_Latn"):
        list(open_corpus(folder, languages=["fao_Latn", "cat_Latn"]).documents("train"))
    (folder / "mixed.jsonl").unlink()  # now names tell all languages: refused at once
    with pytest.raises(ValueError, match="no language 'cat_Latn'; there are deu_Latn, fao_Latn, swh_Latn"):
        open_corpus(folder, languages=["fao_Latn", "cat_Latn"])
    assert open_corpus(folder, languages=["swh_Latn"]).languages() == ["swh_Latn"]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_single_table_with_other_column_names(tmp_path, kind):
    rows = [{"language": "fra_Latn", "body": f"phrase {n}", "page": f"p{n // 2}"} for n in range(40)]
    path = tmp_path / f"table.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        write_parquet(path, rows, row_group_size=7)
    options = {"language_column": "language", "text_column": "body", "key_column": "page", "heldout_fraction": 0.5}
    corpus = open_corpus(path, **options, source=Source("mine", "1", "CC0-1.0", ""))
    train, heldout = list(corpus.documents("train")), list(corpus.documents("heldout"))
    assert sorted(document.text for document in train + heldout) == sorted(row["body"] for row in rows)
    assert not {document.key for document in train} & {document.key for document in heldout}  # pages stay whole
    assert {document.source for document in train} == set(corpus.sources()) == {"mine"}


def test_parquet_string_types(tmp_path):
    for name, kind in {"large": pa.large_string(), "dictionary": pa.dictionary(pa.int32(), pa.string())}.items():
        table = pa.table({"lang": pa.array(["fra_Latn"], pa.string()), "text": pa.array(["été"]).cast(kind)})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        assert texts(open_corpus(tmp_path / f"{name}.parquet", heldout_fraction=0.0)) == [("fra_Latn", "été")]


def test_split_is_stable_disjoint_and_of_the_wanted_size(tmp_path):
    path = tmp_path / "eng_Latn.txt"
    lines = [f"sentence number {n}" for n in range(5000)]
    path.write_text("\n\n".join(lines + lines[:50]))
    corpus = open_corpus(path, heldout_fraction=0.1)
    train, heldout = texts(corpus), texts(corpus, "heldout")
    assert len(train) + len(heldout) == 5050
    assert not set(train) & set(heldout)  # repeated texts stay on one side
    assert 400 < len(heldout) < 600
    path.write_text("\n\n".join(reversed(lines)))
    assert set(texts(corpus, "heldout")) == set(heldout)  # order does not matter
    assert is_heldout("sentence number 3", 0.1) == (("eng_Latn", "sentence number 3") in heldout)
    assert [n for n in range(40) if is_heldout(f"sentence number {n}", 0.1)] == [12, 21, 22, 35, 36]  # b2sum -l 64


BAD_ROWS = {
    "not json": (b"{oops", "invalid JSON"),
    "a list": (b"[1]", "invalid JSON"),
    "deep": (b"[" * 1500, "invalid JSON"),
    "latin-1": b'{"lang": "fra_Latn", "text": "\xe9t\xe9"}',
    "surrogate": (b'{"lang": "fra_Latn", "text": "\\ud83d"}', "not UTF-8"),
    "null text": (b'{"lang": "fra_Latn", "text": null}', "no text"),
    "no text": (b'{"lang": "fra_Latn", "txt": "a"}', "no text"),
    "number": (b'{"lang": "fra_Latn", "text": 5}', "no text"),
    "blank": (b'{"lang": "fra_Latn", "text": " \\n "}', "empty document"),
    "no language": (b'{"text": "a"}', "no language"),
    "another column": (b'{"text": "a", "language": "de"}', "no language"),
    "unknown language": (b'{"lang": "qqq_Latn", "text": "a"}', "unknown language"),
    "long": (b'{"lang": "fra_Latn", "text": "' + b"a" * 300 + b'"}', "document too long"),
    "very long": (b'{"lang": "fra_Latn", "text": "' + b"a" * 3000 + b'"}', "document too long"),
}
BAD_ROWS["latin-1"] = (BAD_ROWS["latin-1"], "not UTF-8")


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_json_row_is_named_or_counted(tmp_path, name):
    row, reason = BAD_ROWS[name]
    good = b'{"lang": "fra_Latn", "text": "bonjour"}'
    path = tmp_path / "table.jsonl"
    path.write_bytes(b"\n".join([good, row, good]))
    with pytest.raises(ValueError, match=f"table.jsonl, row 2: {reason}") as caught:
        list(open_corpus(path, heldout_fraction=0.0, max_document_bytes=200).documents("train"))
    assert "\n" not in str(caught.value) and "on_bad_row='skip'" in str(caught.value)
    assert name != "another column" or "there are 'text', 'language'; name the right one" in str(caught.value)
    corpus = open_corpus(path, heldout_fraction=0.0, max_document_bytes=200, on_bad_row="skip")
    assert texts(corpus) == [("fra_Latn", "bonjour")] * 2
    assert corpus.skipped == {reason: 1}
    assert texts(corpus, "heldout") == []
    assert corpus.skipped == {reason: 1}  # a pass counts once, whatever was read before


def test_other_spellings_of_a_tag_are_read_and_told_once(tmp_path, caplog):
    rows = [{"lang": tag, "text": f"habari {tag}"} for tag in ("swa_Latn", "sw", "swh_Latn", "Kiswahili")]
    (tmp_path / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("swa_Latn", "de", "German"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"text of {name}")
    (tmp_path / "chi.txt").write_text("text of chi")
    corpus = open_corpus(tmp_path, heldout_fraction=0.0)
    found = texts(corpus)
    assert corpus.languages() == ["cmn_Hans", "deu_Latn", "swh_Latn"] and len(found) == 8
    assert [tag for tag, _ in found].count("swh_Latn") == 5
    assert caplog.text.count("sw as swh_Latn, swa_Latn as swh_Latn") == 1
    for asked, count in ((["swa"], 5), (["ger"], 2), (["zho_Hans"], 1), (["zh", "sw"], 6)):
        assert len(texts(open_corpus(tmp_path, languages=asked, heldout_fraction=0.0))) == count
    with pytest.raises(ValueError, match="Did you mean swh_Latn"):
        open_corpus(tmp_path, languages=["swhh_Latn"])
    (tmp_path / "swhh_Latn.txt").write_text("habari")
    with pytest.raises(ValueError, match=r"\(did you mean swh_Latn\?\): name the file"):
        open_corpus(tmp_path)
    corpus = open_corpus(tmp_path / "swa_Latn", extra_languages=["swa"], language="swa_Latn", heldout_fraction=0.0)
    assert texts(corpus) == [("swa_Latn", "text of swa_Latn")]


@pytest.mark.parametrize("unit", ["block", "line"])
def test_bad_text_is_named_or_counted(tmp_path, unit):
    path = tmp_path / "fra_Latn.txt"
    path.write_bytes(b"bonjour\n\n\xe9t\xe9\n\n" + b"a" * 300 + b"\n\nmerci\n")
    with pytest.raises(ValueError, match=r"fra_Latn.txt, line 3: not UTF-8 \(byte 0\)"):
        list(open_corpus(path, max_document_bytes=200, text_unit=unit).documents("train"))
    corpus = open_corpus(path, max_document_bytes=200, on_bad_row="skip", heldout_fraction=0.0, text_unit=unit)
    assert texts(corpus) == [("fra_Latn", "bonjour"), ("fra_Latn", "merci")]
    assert corpus.skipped == {"not UTF-8": 1, "document too long": 1}


@pytest.mark.parametrize("length", [99, 100, 101, 102, 103, 250])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b""])
def test_the_limit_is_exact(tmp_path, length, ending):
    path = tmp_path / "fra_Latn.txt"
    path.write_bytes(b"a" * length + ending)
    corpus = open_corpus(path, max_document_bytes=100, on_bad_row="skip", heldout_fraction=0.0)
    assert len(texts(corpus)) == (length <= 100)
    assert corpus.skipped["document too long"] == (length > 100)
    path.write_bytes(b"a" * (length - 51) + b"\n" + b"b" * 50 + ending)  # the same length in two lines of one block
    assert len(texts(corpus)) == (length <= 100)


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
def test_a_document_of_50_mb_is_passed_over_without_being_held(tmp_path, kind):
    path = tmp_path / f"fra_Latn.{kind}"
    with path.open("wb") as file:
        file.write(b"" if kind == "txt" else b'{"text": "')
        for _ in range(50):
            file.write(b"a" * 1_000_000)
        file.write(b"\n\nmerci" if kind == "txt" else b'"}\n{"text": "merci"}')
    with pytest.raises(ValueError, match="document too long"):
        list(open_corpus(path, max_document_bytes=100_000).documents("train"))
    corpus = open_corpus(path, max_document_bytes=100_000, on_bad_row="skip", heldout_fraction=0.0)
    tracemalloc.start()
    assert texts(corpus) == [("fra_Latn", "merci")]
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    assert corpus.skipped == {"document too long": 1}


def test_truncated_parquet(tmp_path):
    path = tmp_path / "fra_Latn.parquet"
    write_parquet(path, [{"text": f"phrase {n}"} for n in range(100)])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"fra_Latn.parquet, after row 0: unreadable file"):
        list(open_corpus(path).documents("train"))
    (tmp_path / "deu_Latn.txt").write_text("gut")
    corpus = open_corpus(tmp_path, on_bad_row="skip", heldout_fraction=0.0)
    assert texts(corpus) == [("deu_Latn", "gut")]
    assert corpus.skipped == {"unreadable file": 1}


def test_parquet_damaged_in_the_middle_names_the_last_good_row(tmp_path):
    path = tmp_path / "fra_Latn.parquet"
    write_parquet(path, [{"text": f"phrase {n:04}" * 20} for n in range(4000)], row_group_size=2000, compression="gzip")
    second = pq.ParquetFile(path).metadata.row_group(1).column(0)
    start = second.dictionary_page_offset or second.data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + second.total_compressed_size] = bytes(second.total_compressed_size)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"after row \d+: unreadable file"):
        list(open_corpus(path).documents("train"))
    corpus = open_corpus(path, on_bad_row="skip", heldout_fraction=0.0)
    assert 0 < len(texts(corpus)) <= 2000
    assert corpus.skipped == {"unreadable file": 1}


def test_bad_rows_of_parquet(tmp_path):
    path = tmp_path / "table.parquet"
    broken = pa.array([b"bonjour", b"\xe9t\xe9", None, b"  "]).view(pa.string())
    pq.write_table(pa.table({"lang": ["fra_Latn"] * 4, "text": broken}), path)
    with pytest.raises(ValueError, match=r"table.parquet, row 2: not UTF-8"):
        list(open_corpus(path).documents("train"))
    corpus = open_corpus(path, on_bad_row="skip", heldout_fraction=0.0)
    assert texts(corpus) == [("fra_Latn", "bonjour")]
    assert corpus.skipped == {"not UTF-8": 1, "no text": 1, "empty document": 1}
    with pytest.raises(ValueError, match="no column 'body'; there are 'lang', 'text'"):
        list(open_corpus(path, text_column="body", on_bad_row="skip").documents("train"))


def test_empty_files_and_corpora(tmp_path):
    (tmp_path / "fra_Latn.txt").write_text("\n\n")
    with pytest.raises(ValueError, match="empty document"):
        list(open_corpus(tmp_path).documents("train"))
    (tmp_path / "fra_Latn.txt").rename(tmp_path / "table.jsonl")
    with pytest.raises(ValueError, match="no usable document"):
        open_corpus(tmp_path, on_bad_row="skip").languages()


def test_missing_places(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_corpus(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_corpus("absent.jsonl")
    with pytest.raises(FileNotFoundError, match="holds no"):
        open_corpus(tmp_path)
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"picture.png is no .txt, .parquet, .jsonl"):
        open_corpus(tmp_path / "picture.png")
    (tmp_path / "notes.txt").write_text("in which language?")
    with pytest.raises(ValueError, match=r"notes.txt.*language tag 'notes'"):
        open_corpus(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_bad_row": "ignore"}, "on_bad_row='ignore' is none of error, skip"),
        ({"heldout_fraction": 1.0}, "heldout_fraction is 1.0"),
        ({"heldout_fraction": -0.1}, "heldout_fraction"),
        ({"max_document_bytes": 0}, "max_document_bytes is 0"),
        ({"text_unit": "page"}, "text_unit='page' is none of block, line"),
    ],
)
def test_options_out_of_range(folder, options, message):
    with pytest.raises(ValueError, match=message):
        open_corpus(folder, **options)


def test_unknown_split(folder):
    with pytest.raises(ValueError, match="'train' and 'heldout'"):
        open_corpus(folder).documents("test")


def test_a_table_without_a_language_column_is_told_how_to_say_its_language(tmp_path):
    (tmp_path / "table.csv").write_text("text\nmto\n")
    with pytest.raises(ValueError, match=r"no column 'lang'; there are 'text'; .*all its rows, language='swh_Latn'"):
        list(open_corpus(tmp_path / "table.csv").documents("train"))
    (found,) = open_corpus(tmp_path / "table.csv", language="swh_Latn", heldout_fraction=0.0).documents("train")
    assert (found.language, found.text) == ("swh_Latn", "mto")


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_a_column_that_contradicts_the_name_is_told(tmp_path, kind):
    rows = [{"text": "mto", "lang": "sw"}, {"text": "river", "lang": "eng_Latn"}, {"text": "x", "lang": None}]
    path = tmp_path / f"swh_Latn.{kind}"
    if kind == "parquet":
        write_parquet(path, rows)
    elif kind == "csv":
        path.write_text("text,lang\nmto,sw\nriver,eng_Latn\nx,\n")
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(
        ValueError, match=r"row 2: two languages \(its column 'lang' says eng_Latn, the name of its file"
    ):
        list(open_corpus(path, heldout_fraction=0.0).documents("train"))
    corpus = open_corpus(path, heldout_fraction=0.0, on_bad_row="skip")
    assert texts(corpus) == [("swh_Latn", "mto"), ("swh_Latn", "x")] and corpus.skipped == {"two languages": 1}


def test_names_say_the_language_as_published_corpora_have_them(tmp_path):
    """`en.jsonl` counts where no column says the language, and wikimedia/wikipedia's folders have a date before it."""
    (tmp_path / "sw.jsonl").write_text('{"text": "mto"}\n')
    (tmp_path / "en.jsonl").write_text('{"text": "mto", "lang": "swh_Latn"}\n')
    write_parquet(tmp_path / "de_train.parquet", [{"text": "Fluss"}])
    (tmp_path / "20231101.fo").mkdir()
    write_parquet(tmp_path / "20231101.fo" / "train-00000-of-00001.parquet", [{"text": "á"}])
    found = texts(open_corpus(tmp_path, heldout_fraction=0.0))
    assert sorted(found) == [("deu_Latn", "Fluss"), ("fao_Latn", "á"), ("swh_Latn", "mto"), ("swh_Latn", "mto")]

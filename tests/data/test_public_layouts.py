"""Layouts of published data sets and of the tools that write them, each small: read as their authors meant them.

The table in docs/data.md lists the same ones.
"""

import bz2
import gzip
import json
import lzma
from pathlib import Path

import datasets
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert.data import open_corpus, read_labelled, read_table
from mmbert.embeddings import read_documents, read_pairs

SQUAD = {"id": "1", "question": "Where?", "answers": [{"text": "Norway", "answer_start": 13}]}
CONTEXT = "Oslo lies in Norway."
NER = [("Anna", "B-PER"), ("lives", "O"), ("Berlin", "B-LOC")]
SPANS = "Anna Berg lives in Oslo"
BIO = (["Anna", "Berg", "lives", "in", "Oslo"], ["B-PER", "I-PER", "O", "O", "B-LOC"])


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def table(rows, separator=","):
    return "\n".join(separator.join(map(str, row)) for row in rows) + "\n"


def zst(text):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(text.encode())
    return sink.getvalue().to_pybytes()


def parquet(rows, features=None):
    def write(path):
        if features is None:
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            datasets.Dataset.from_list(rows, features=features).to_parquet(path)

    return write


def saved(rows):
    return lambda path: datasets.Dataset.from_list(rows).save_to_disk(path)


def labelled(name, **options):
    def read(place):
        rows = read_labelled(place, **options)
        return rows[name][:] if isinstance(name, str) else list(zip(*(rows[one][:] for one in name), strict=True))

    return read


def corpus(**options):
    def read(place):
        found = open_corpus(place, heldout_fraction=0.0, **options)
        return [(document.language, document.text) for document in found.documents("train")]

    return read


def pairs(query=""):
    return lambda place: read_pairs(f"{place}{query}").rows


def documents(place):
    return [document.text for document in read_documents(place)]


def rows_of(place):
    return [row.values for row in read_table(place)]


CLASSES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
TAGS = datasets.Features(
    {
        "tokens": datasets.Sequence(datasets.Value("string")),
        "ner_tags": datasets.Sequence(datasets.ClassLabel(names=["O", "B-PER", "B-LOC"])),
    }
)
TEXTS = [("eng_Latn", "one"), ("swh_Latn", "mbili")]
TEXT_ROWS = [{"lang": tag, "text": text} for tag, text in TEXTS]
PAIRS = [("who?", "she"), ("what?", "that")]
READ = ["good", "bad"]
SENTIMENT = [{"text": "nice", "label": "good"}, {"text": "cold", "label": "bad"}]

# Name of the layout: files to write (content, bytes or a function of the path), how it is read, what comes out.
LAYOUTS = {
    "SST-2 (GLUE tsv)": (
        {"train.tsv": 'sentence\tlabel\na "fine" film\t1\n"so so\t0\n'},
        labelled(("text", "label")),
        [('a "fine" film', "1"), ('"so so', "0")],
    ),
    "AG News (Hub parquet with class names)": (
        {"train-00000-of-00001.parquet": parquet([{"text": "a", "label": 1}, {"text": "b", "label": 0}], CLASSES)},
        labelled("label"),
        READ,
    ),
    "SetFit (label beside label_text)": (
        {
            "d.jsonl": lines(
                [{"text": "a", "label": 1, "label_text": "good"}, {"text": "b", "label": 0, "label_text": "bad"}]
            )
        },
        labelled("label"),
        READ,
    ),
    "AfriSenti (sw/train.tsv)": (
        {"sw/train.tsv": "tweet\tlabel\nsawa\tgood\n", "ha/train.tsv": "tweet\tlabel\nto\tbad\n"},
        lambda p: sorted(labelled("language", columns={"text": "tweet"})(p)),
        ["hau_Latn", "swh_Latn"],
    ),
    "MASSIVE (locale in the file name)": (
        {"sw-KE.jsonl": lines([{"id": 1, "utt": "weka", "intent": "alarm"}])},
        labelled(("text", "label"), columns={"text": "utt"}),
        [("weka", "alarm")],
    ),
    "SIB-200 (tag, split)": (
        {"swh_Latn/test.tsv": "index_id\tcategory\ttext\n1\tscience\tx\n"},
        labelled(("language", "label"), split="test"),
        [("swh_Latn", "science")],
    ),
    "XNLI (premise, hypothesis)": (
        {"dev.jsonl": lines([{"premise": "a", "hypothesis": "b", "gold_label": "neutral"}])},
        labelled(("text", "text_pair", "label"), split="dev"),
        [("a", "b", "neutral")],
    ),
    "STS-B (score in label)": (
        {"s.csv": "sentence1,sentence2,label\na,b,3.5\n"},
        labelled("score", columns={"score": "label"}),
        [3.5],
    ),
    "GoEmotions (a column per class)": (
        {"g.csv": "text,joy,anger\na,1,0\nb,1,1\nc,0,0\n"},
        labelled("labels", columns={"labels": ["joy", "anger"]}),
        [["joy"], ["joy", "anger"], []],
    ),
    "multi-hot list": (
        {"m.jsonl": lines([{"text": "a", "labels": [1, 1, 0]}, {"text": "b", "labels": [0, 0, 1]}])},
        labelled("labels"),
        [["0", "1"], ["2"]],
    ),
    "CLINC150 (splits in one JSON)": (
        {"c.json": json.dumps({"train": [{"text": "a", "intent": "x"}], "val": [{"text": "b", "intent": "y"}]})},
        labelled("label", split="dev"),
        ["y"],
    ),
    "CoNLL-2003": (
        {"eng.conll": "-DOCSTART- -X- O O\n\n" + table([(w, "X", "X", t) for w, t in NER], " ")},
        labelled("tags"),
        [["B-PER", "O", "B-LOC"]],
    ),
    "GermEval 2014 (comment with a tab)": (
        {"g.conll": "#\thttp://x\t[2009]\n" + table([(n, w, t, "O") for n, (w, t) in enumerate(NER, 1)], "\t")},
        labelled("tokens"),
        [["Anna", "lives", "Berlin"]],
    ),
    "Universal NER (iob2)": (
        {"u.iob2": "# text = Anna\tlives\n" + table([(n, w, t, "-", "x") for n, (w, t) in enumerate(NER, 1)], "\t")},
        labelled("tags"),
        [["B-PER", "O", "B-LOC"]],
    ),
    "Universal Dependencies (conllu.gz)": (
        {
            "u.conllu.gz": gzip.compress(
                b"1-2\tdel\t_\t_\t_\t_\t_\t_\t_\t_\n1\tde\tde\tADP\t_\t_\t_\t_\t_\t_\n2\tel\tel\tDET\t_\t_\t_\t_\t_\t_\n"
            )
        },
        labelled("tags"),
        [["ADP", "DET"]],
    ),
    "WikiANN (Hub parquet with tag names)": (
        {"t.parquet": parquet([{"tokens": ["Anna", "lives"], "ner_tags": [1, 0]}], TAGS)},
        labelled("tags"),
        [["B-PER", "O"]],
    ),
    "Kaggle NER (one word per row)": (
        {"k.csv": "Sentence #,Word,POS,Tag\nSentence: 1,Anna,N,B-PER\n,lives,V,O\nSentence: 2,Oslo,N,B-LOC\n"},
        labelled(("tokens", "tags")),
        [(["Anna", "lives"], ["B-PER", "O"]), (["Oslo"], ["B-LOC"])],
    ),
    "AutoTrain (lists in Python's spelling)": (
        {
            "a.csv": lambda p: pandas.DataFrame({"tokens": [["Anna", "lives"]], "tags": [["B-PER", "O"]]}).to_csv(
                p, index=False
            )
        },
        labelled(("tokens", "tags")),
        [(["Anna", "lives"], ["B-PER", "O"])],
    ),
    "bare B, I, O": ({"b.conll": "Anna B\nBerg I\nlives O\n"}, labelled("tags"), [["B-ENT", "I-ENT", "O"]]),
    "doccano (triples in label)": (
        {"d.jsonl": lines([{"text": SPANS, "label": [[0, 9, "PER"], [19, 23, "LOC"]]}])},
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "doccano (entities)": (
        {
            "d.jsonl": lines(
                [
                    {
                        "text": SPANS,
                        "entities": [
                            {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 9},
                            {"id": 2, "label": "LOC", "start_offset": 19, "end_offset": 23},
                        ],
                        "relations": [],
                    }
                ]
            )
        },
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "Label Studio (JSON)": (
        {
            "l.json": json.dumps(
                [
                    {
                        "id": 1,
                        "data": {"text": SPANS},
                        "annotations": [
                            {
                                "result": [
                                    {
                                        "type": "labels",
                                        "value": {"start": s, "end": e, "text": SPANS[s:e], "labels": [label]},
                                    }
                                    for s, e, label in ((0, 9, "PER"), (19, 23, "LOC"))
                                ]
                            }
                        ],
                    }
                ]
            )
        },
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "Label Studio (JSON-MIN)": (
        {
            "l.json": json.dumps(
                [
                    {
                        "text": SPANS,
                        "id": 1,
                        "label": [
                            {"start": 0, "end": 9, "text": "Anna Berg", "labels": ["PER"]},
                            {"start": 19, "end": 23, "text": "Oslo", "labels": ["LOC"]},
                        ],
                    }
                ]
            )
        },
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "Prodigy and spaCy (spans)": (
        {
            "p.jsonl": lines(
                [
                    {
                        "text": SPANS,
                        "tokens": [{"text": "Anna", "start": 0}],
                        "spans": [{"start": 0, "end": 9, "label": "PER"}, {"start": 19, "end": 23, "label": "LOC"}],
                    }
                ]
            )
        },
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "GLiNER": (
        {"g.json": json.dumps([{"tokenized_text": BIO[0], "ner": [[0, 1, "PER"], [4, 4, "LOC"]]}])},
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "SQuAD": (
        {
            "s.json": json.dumps(
                {"version": "1.1", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [SQUAD]}]}]}
            )
        },
        labelled("answers"),
        [{"text": ["Norway"], "answer_start": [13]}],
    ),
    "SQuAD on the Hub (flat)": (
        {
            "s.parquet": parquet(
                [{"context": CONTEXT, "question": "Where?", "answers": {"text": ["Norway"], "answer_start": [13]}}]
            )
        },
        labelled("answers"),
        [{"text": ["Norway"], "answer_start": [13]}],
    ),
    "FlagEmbedding (pos and neg lists)": (
        {
            "f.jsonl": lines(
                [
                    {
                        "query": f"q{n}",
                        "pos": [f"a{n}", f"b{n}"],
                        "neg": [f"x{n}"],
                        "pos_scores": [1, 2],
                        "neg_scores": [0],
                    }
                    for n in "12"
                ]
            )
        },
        pairs(),
        [(f"q{n}", f"{p}{n}", f"x{n}") for n in "12" for p in "ab"],
    ),
    "Tevatron (passages as objects)": (
        {
            "t.jsonl.gz": gzip.compress(
                lines(
                    [
                        {
                            "query": f"q{n}",
                            "positive_passages": [{"docid": "1", "text": f"a{n}"}],
                            "negative_passages": [{"docid": "2", "text": f"x{n}"}],
                        }
                        for n in "12"
                    ]
                ).encode()
            )
        },
        pairs(),
        [("q1", "a1", "x1"), ("q2", "a2", "x2")],
    ),
    "MS MARCO (tsv with quotation marks)": (
        {"m.tsv": 'query\tpassage\nwho?\t"Hello there, said\nwhat?\tthat\n'},
        pairs(),
        [("who?", '"Hello there, said'), ("what?", "that")],
    ),
    "FlashRAG (a column of many types)": (
        {
            "f.jsonl": lines(
                [
                    {"query": q, "positive": p, "id": key, "meta": meta}
                    for (q, p), key, meta in zip(PAIRS, (1, "x"), ({}, "n"), strict=True)
                ]
            )
        },
        pairs(),
        PAIRS,
    ),
    "FineWeb-2 (data/TAG/SPLIT)": (
        {
            "data/swh_Latn/train/0.parquet": parquet([{"text": "mbili"}]),
            "data/swh_Latn/test/0.parquet": parquet([{"text": "tatu"}]),
            "data/swh_Latn_removed/train/0.parquet": parquet([{"text": "x"}]),
        },
        corpus(),
        [("swh_Latn", "mbili")],
    ),
    "datatrove (TAG/00000.jsonl.gz)": (
        {
            "eng_Latn/00000.jsonl.gz": gzip.compress(
                lines([{"text": "one", "id": "1", "metadata": {"url": "x"}}]).encode()
            )
        },
        corpus(),
        [("eng_Latn", "one")],
    ),
    "OSCAR (jsonl.zst, nested language)": (
        {"o.jsonl.zst": zst(lines([{"text": t, "metadata": {"lang": tag}} for tag, t in TEXTS]))},
        corpus(language_column="metadata.lang"),
        TEXTS,
    ),
    "Tatoeba (per language, no header)": (
        {"eng_sentences.tsv.bz2": bz2.compress(b'1\teng\tHe said "no"\n')},
        corpus(),
        [("eng_Latn", 'He said "no"')],
    ),
    "Leipzig (tab-separated lines, as a table)": ({"c.tsv": "lang\ttext\n" + table(TEXTS, "\t")}, corpus(), TEXTS),
    "Common Crawl news (xz)": ({"c.csv.xz": lzma.compress(("lang,text\n" + table(TEXTS)).encode())}, corpus(), TEXTS),
    "save_to_disk": (saved(SENTIMENT), labelled("label"), READ),
    "Excel (semicolons, byte order mark, CRLF)": (
        {"e.csv": '\ufefftext;label\r\n"a;b";good\r\n\r\nc;bad\r\n'.encode()},
        labelled(("text", "label")),
        [("a;b", "good"), ("c", "bad")],
    ),
    "Excel (sep=;)": ({"e.csv": "sep=;\ntext;label\na,b;good\n"}, labelled("text"), ["a,b"]),
    "pandas to_json": ({"p.json": lambda p: pandas.DataFrame(SENTIMENT).to_json(p)}, labelled("label"), READ),
    "pandas to_json, orient=split": (
        {"p.json": lambda p: pandas.DataFrame(SENTIMENT).to_json(p, orient="split")},
        labelled("label"),
        READ,
    ),
    "Dataset.to_json (lines in .json)": ({"d.json": lines(SENTIMENT)}, labelled("label"), READ),
    "the Hub's rows API": (
        {
            "r.json": json.dumps(
                {"rows": [{"row_idx": n, "row": row, "truncated_cells": []} for n, row in enumerate(SENTIMENT)]}
            )
        },
        labelled("label"),
        READ,
    ),
    "MySQL dump (backslashes)": (
        {"m.csv": 'text,label\n"He said \\"hi\\", ok",good\n"b",bad\n'},
        labelled("text"),
        ['He said "hi", ok', "b"],
    ),
    "pandas to_csv with tabs (quoted)": (
        {
            "p.tsv": lambda p: pandas.DataFrame({"text": ['a "b" c', "two\nlines"], "label": READ}).to_csv(
                p, sep="\t", index=False
            )
        },
        labelled("text"),
        ['a "b" c', "two\nlines"],
    ),
    "doccano (CSV)": (
        {"d.csv": f"id,text,label\n1,{SPANS},\"[[0, 9, 'PER'], [19, 23, 'LOC']]\"\n"},
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "spaCy 2 (text and annotations)": (
        {"s.json": json.dumps([[SPANS, {"entities": [[0, 9, "PER"], [19, 23, "LOC"]]}]])},
        labelled(("tokens", "tags")),
        [BIO],
    ),
    "spaCy textcat (cats)": (
        {
            "c.jsonl": lines(
                [{"text": "a", "labels": {"joy": 1.0, "sad": 0.0}}, {"text": "b", "labels": {"joy": 0.0, "sad": 1.0}}]
            )
        },
        labelled("labels"),
        [["joy"], ["sad"]],
    ),
    "ARC (choices as an object)": (
        {
            "arc.jsonl": lines(
                [{"question": "q", "choices": {"text": ["wet", "dry"], "label": ["A", "B"]}, "answerKey": "B"}]
            )
        },
        labelled(("choices", "label")),
        [(["wet", "dry"], "B")],
    ),
    "OPUS on the Hub (translation)": (
        {
            "o.parquet": parquet(
                [{"translation": {"en": "who?", "de": "wer?"}}, {"translation": {"en": "b", "de": "c"}}]
            )
        },
        pairs(),
        [("who?", "wer?"), ("b", "c")],
    ),
    "FLORES (a column per language)": (
        {"f.jsonl": lines([{"id": n, "eng_Latn": f"one {n}", "swh_Latn": f"moja {n}"} for n in (1, 2)])},
        pairs(),
        [("one 1", "moja 1"), ("one 2", "moja 2")],
    ),
    "BEIR corpus (documents)": (
        {"corpus.jsonl": lines([{"_id": "1", "title": "t", "text": "one"}])},
        documents,
        ["t one"],
    ),
    "documents in a CSV": ({"d.csv": 'id,text\n1,"a\nb"\n2,c\n'}, documents, ["a\nb", "c"]),
    "Arrow and Feather": ({"a.feather": lambda p: pandas.DataFrame(SENTIMENT).to_feather(p)}, rows_of, SENTIMENT),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_published_layout_is_read_as_it_was_meant(tmp_path, layout):
    files, read, expected = LAYOUTS[layout]
    datasets.disable_progress_bars()
    place = tmp_path / "place"
    if callable(files):
        files(place)
    else:
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if len(files) == 1 and "/" not in next(iter(files)):
            place = path
    assert read(place) == expected


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst"])
def test_what_unpacks_to_more_than_any_text_is_refused_before_memory_is_full(tmp_path, monkeypatch, ending):
    from mmbert.data.tables import files

    text = b"text\tlabel\n" + b"good\t1\n" * 20_000
    pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": pa.Codec("zstd").compress}[ending]
    (tmp_path / f"rows.tsv.{ending}").write_bytes(memoryview(pack(text)))
    assert len(read_labelled(tmp_path / f"rows.tsv.{ending}")) == 20_000
    monkeypatch.setattr(files, "_UNPACKED", 1000)
    monkeypatch.setattr(files, "_RATIO", 1)
    with pytest.raises(ValueError, match=rf"rows\.tsv\.{ending}.*unpacks to more than"):
        read_labelled(tmp_path / f"rows.tsv.{ending}")


def test_the_guide_lists_these_layouts():
    guide = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    rows = guide.partition("| layout | file |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    listed = [[cell.strip() for cell in row.replace("`", "").strip("| ").split(" | ")] for row in rows]
    shown = [[name, "a folder" if callable(files) else ", ".join(files)] for name, (files, _, _) in LAYOUTS.items()]
    assert listed == shown and len(listed) >= 40

"""What users bring, with something odd in one place: labelled rows in every format, texts, MDS folders.

Read, or refused in one line that names the file; with "skip" bad rows are left out and what remains is read.
"""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz_support import ODD, fuzz, mutated, read, spoilt
from hypothesis import given
from hypothesis import strategies as st
from mmbert.data import ReadOptions, read_labelled
from mmbert.data.tokenization.pipeline import open_row_source

MDS = Path(__file__).parents[1] / "data" / "mds" / "fixed" / "deu_Latn"
CONTEXT = "The house stands near a river."
ANSWER = {"text": ["a river"], "answer_start": [22]}
TREES = {
    "classes": [{"text": "good", "label": "yes", "lang": "eng_Latn"}, {"text": "bad", "label": 1, "lang": "en"}],
    "several": [{"text": "good", "labels": ["a", "b"]}, {"text": "bad", "labels": []}],
    "hot": [{"text": "good", "labels": [0, 1]}, {"text": "bad", "labels": [1, 0]}],
    "pairs": [{"premise": "It rains.", "hypothesis": "It is wet.", "score": 0.5}],
    "tags": [{"tokens": ["Anna", "sings"], "ner_tags": ["B-PER", "O"]}, {"tokens": ["in"], "ner_tags": ["O"]}],
    "answers": [{"id": "1", "question": "Where?", "context": CONTEXT, "answers": ANSWER}],
    "choices": [{"question": "What?", "choices": ["a", "b"], "label": 1}],
    "mcq": [{"question": "What?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}],
    "spans": [{"text": "Anna sings", "entities": [{"start": 0, "end": 4, "label": "PER"}]}],
    "doccano": [{"id": 1, "text": "Anna sings", "label": [[0, 4, "PER"]]}],
    "gliner": [{"tokenized_text": ["Anna", "sings"], "ner": [[0, 0, "PER"]]}],
    "prodigy": [{"text": "Anna sings", "spans": [{"start": 0, "end": 4, "label": "PER"}], "answer": "accept"}],
    "studio": [
        {
            "id": 1,
            "data": {"text": "Anna sings"},
            "annotations": [
                {"result": [{"type": "labels", "value": {"start": 0, "end": 4, "labels": ["PER"], "text": "Anna"}}]}
            ],
        }
    ],
    "squad": {"data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": [
        {"id": "1", "question": "Where?", "answers": [{"text": "a river", "answer_start": 22}]}]}]}]},
    "columns": {"text": {"0": "good", "1": "bad"}, "label": {"0": 1, "1": 0}},
}  # fmt: skip
COLUMNS = ["text", "label", "labels", "tokens", "tags", "answers", "choices"]
NEEDED = [(), ("text", "label"), ("tokens", "tags"), ("question", "context", "answers"), ("choices", "label")]
TEXTS = {
    "rows.csv": b'text,label,lang\n"good, ""very""",yes,eng_Latn\nbad,no,deu_Latn\n',
    "rows.tsv": b"text\tlabel\ngood\t1\nbad\t0\n",
    "rows.conllu": b"# sent_id = 1\n1\tAnna\tAnna\tPROPN\t_\t_\t2\tnsubj\t_\t_\n2-3\tzum\t_\t_\t_\t_\t_\t_\t_\t_\n\n",
    "rows.conll": b"-DOCSTART- -X- O O\n\nAnna NNP B-NP B-PER\nsings VBZ B-VP O\n\nin IN O O\n",
    "rows.jsonl": b'{"text": "good", "label": "yes"}\n{"text": "bad", "label": "no"}\n',
    "rows.json": b'[{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]',
    "rows.parquet": b"",
}


def every_way(path, needed):
    """Read with and without leaving rows out; both see the same rows."""
    strict = read(lambda: len(read_labelled(path, require=needed)), path.name)
    lenient = read(lambda: len(read_labelled(path, require=needed, on_bad_row="skip")), path.name)
    assert strict is None or lenient == strict


@pytest.mark.parametrize("kind", TREES)
@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_labelled_rows(tmp_path, kind, form):
    tree = TREES[kind]
    if form == "jsonl" and isinstance(tree, dict):
        tree = [tree]
    path = tmp_path / f"rows.{form}"

    @fuzz(0.5)
    @given(tree=mutated(tree), needed=st.sampled_from(NEEDED))
    def check(tree, needed):
        lines = tree if form == "jsonl" and isinstance(tree, list) else [tree]
        path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        every_way(path, needed)

    check()


@pytest.mark.parametrize("name", TEXTS)
def test_files_of_rows_byte_by_byte(tmp_path, name):
    raw = TEXTS[name]
    path = tmp_path / name
    if not raw:
        pq.write_table(pa.table({"text": ["good", "bad"], "label": ["yes", "no"]}), path)
        raw = path.read_bytes()

    @fuzz()
    @given(raw=spoilt(raw), needed=st.sampled_from(NEEDED[:3]))
    def check(raw, needed):
        path.write_bytes(raw)
        every_way(path, needed)

    check()


@fuzz()
@given(
    value=ODD, other=ODD, column=st.sampled_from(["text", "label", "labels", "tokens", "tags", "answers", "choices"])
)
def test_columns_of_parquet_of_other_types(tmp_path_factory, value, other, column):
    path = tmp_path_factory.getbasetemp() / "odd.parquet"
    rows = [
        {"text": "good", "label": "yes", "question": "Where?", "context": CONTEXT} | {column: value}
        for value in (value, other)
    ]
    try:
        pq.write_table(pa.Table.from_pylist(rows), path)
    except (pa.ArrowException, OverflowError):  # no such file can be
        return
    every_way(path, ())


def all_rows(folder, vocabulary=600):
    source = open_row_source(str(folder), ReadOptions(language="deu_Latn"), vocabulary=vocabulary)
    return [row for task in source.tasks(0) for row in source.rows(task)]


@fuzz()
@given(tree=mutated(json.loads((MDS / "index.json").read_text())))
def test_indexes_of_mds_folders(tmp_path_factory, tree):
    folder = tmp_path_factory.getbasetemp() / "mds-index" / "deu_Latn"
    if not folder.is_dir():
        shutil.copytree(MDS, folder)
    (folder / "index.json").write_text(json.dumps(tree))
    read(lambda: all_rows(folder), "index.json")


@fuzz()
@given(raw=spoilt((MDS / "shard.00000.mds").read_bytes()))
def test_shards_of_mds_folders(tmp_path_factory, raw):
    folder = tmp_path_factory.getbasetemp() / "mds-shard" / "deu_Latn"
    if not folder.is_dir():
        shutil.copytree(MDS, folder)
    index = json.loads((MDS / "index.json").read_text())
    index["shards"][0]["raw_data"] |= {"bytes": len(raw), "hashes": {}}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "shard.00000.mds").write_bytes(raw)
    read(lambda: all_rows(folder), "shard.00000.mds")


@fuzz()
@given(raw=spoilt("One.\n\nTwo, and three.\n\nFour é.\n".encode()))
def test_plain_texts(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "texts.txt"
    path.write_bytes(raw)
    read(lambda: all_rows(path), "texts.txt")

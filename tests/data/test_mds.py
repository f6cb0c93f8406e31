"""MDS folders written by MosaicML's own MDSWriter, read back as its own MDSReader reads them.

`mds/` was made by mosaicml-streaming 0.13.0: MDSWriter with compression zstd, zstd:7 and none, arrays with and without
fixed type and shape; `expected.json` is what MDSReader returned. `pickled/` keeps the index of a folder with a pickled
column; the shard itself was thrown away.
"""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mmbert.data import ReadOptions, tokenize_corpus
from mmbert.data.corpora.mds import parse_index, read_samples, unpack_shard
from mmbert.data.tokenization.pipeline import open_row_source

MDS = Path(__file__).parent / "mds"
EXPECTED = json.loads((MDS / "expected.json").read_text(encoding="utf-8"))


def plain(value):
    return value.tolist() if isinstance(value, np.ndarray) else value


def without(ids):
    return [i for i in ids if i not in (0, 1, 2)]


@pytest.fixture
def mds(tmp_path):
    """A copy that a test may break."""
    return Path(shutil.copytree(MDS / "fineweb2", tmp_path / "fineweb2"))


@pytest.mark.parametrize("folder", EXPECTED)
def test_samples_are_those_of_the_original_reader(folder):
    found = []
    for shard in parse_index((MDS / folder / "index.json").read_bytes(), folder):
        raw = unpack_shard((MDS / folder / shard.stored).read_bytes(), shard, shard.stored)
        found += list(read_samples(raw, shard, list(shard.columns), shard.name))
    assert [{name: plain(value) for name, value in sample.items()} for sample in found] == EXPECTED[folder]


@pytest.mark.parametrize("location", ["{}", "file://{}"])
def test_ids_become_shards_by_the_language_of_the_folder(tokenizer, tmp_path, mds, location):
    options = ReadOptions(heldout_fraction=0.0)
    train = tokenize_corpus(location.format(mds), tmp_path / "out", tokenizer, options=options)["train"]
    assert train.languages == ["fao_Latn", "swh_Latn"]
    for language, folder in (
        ("swh_Latn", "fineweb2/swh_Latn_train/batch_0001-tokenized"),
        ("fao_Latn", "fineweb2/fao_Latn"),
    ):
        expected = [without(sample["input_ids"]) for sample in EXPECTED[folder]]
        tokens, offsets = train.tokens(language), train.offsets(language)
        read = [tokens[a:b].tolist() for a, b in pairwise(offsets)]
        assert read == expected


def test_text_columns_are_tokenized_and_equal_text_files(tokenizer, tmp_path):
    options = ReadOptions(heldout_fraction=0.0)
    train = tokenize_corpus(MDS / "text", tmp_path / "out", tokenizer, options=options)["train"]
    texts = [sample["text"] for sample in EXPECTED["text/eng_Latn"]]
    ids = [i for text in texts for i in tokenizer.encode(text, add_special_tokens=False)]
    assert train.tokens("eng_Latn").tolist() == ids


def test_a_folder_without_a_tag_takes_the_given_language(tokenizer, tmp_path):
    shutil.copytree(MDS / "fineweb2" / "fao_Latn", tmp_path / "stackexchange" / "split_3")
    with pytest.raises(ValueError, match=r"shard\.00000\.mds, sample 1: no language"):
        tokenize_corpus(tmp_path / "stackexchange", tmp_path / "out", tokenizer)
    options = ReadOptions(heldout_fraction=0.0, language="eng_Latn")
    found = tokenize_corpus(tmp_path / "stackexchange", tmp_path / "out2", tokenizer, options=options)
    assert found["train"].document_counts == {"eng_Latn": 4}


def test_the_decompressed_shard_alone_is_enough(mds):
    folder = mds / "swh_Latn_train" / "batch_0001-tokenized"
    for shard in parse_index((folder / "index.json").read_bytes(), "x"):
        raw = unpack_shard((folder / shard.stored).read_bytes(), shard, "x")
        (folder / shard.stored).unlink()
        (folder / shard.name).write_bytes(raw)
    source = open_row_source(str(mds), ReadOptions(), vocabulary=600)
    rows = [row for task in source.tasks(0) if task.language == "swh_Latn" for row in source.rows(task)]
    assert len(rows) == 12 and not any(row.problem for row in rows)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-7], r"has \d+ bytes, its index says \d+"),
        (lambda data: data[:20] + bytes([data[20] ^ 1]) + data[21:], "sha1 differs|cannot be decompressed"),
    ],
)
def test_a_damaged_shard_is_named_or_counted(tokenizer, tmp_path, mds, damage, message):
    path = mds / "swh_Latn_train" / "batch_0001-tokenized" / "shard.00001.mds.zstd"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"shard\.00001\.mds\.zstd.*unreadable file.*({message})"):
        tokenize_corpus(mds, tmp_path / "out", tokenizer)
    options = ReadOptions(on_bad_row="skip", heldout_fraction=0.0)
    train = tokenize_corpus(mds, tmp_path / "out2", tokenizer, options=options)["train"]
    assert train.index["skipped"] == {"unreadable file": 1}
    assert 0 < train.document_counts["swh_Latn"] < 12


def test_a_shard_whose_offsets_lie_is_refused(mds):
    path = mds / "fao_Latn" / "shard.00000.mds"
    data = bytearray(path.read_bytes())
    data[8:12] = (10**9).to_bytes(4, "little")
    shard = parse_index((mds / "fao_Latn" / "index.json").read_bytes(), "x")[0]
    with pytest.raises(ValueError, match="sample 1: its offsets point outside the file"):
        list(read_samples(bytes(data), shard, ["input_ids"], "x"))


def test_ids_beyond_the_vocabulary_are_refused_or_counted(tmp_path, mds):
    source = open_row_source(str(mds), ReadOptions(), vocabulary=300)
    rows = [row for task in source.tasks(0) for row in source.rows(task)]
    too_large = [
        max(sample["input_ids"]) >= 300
        for folder in ("fineweb2/fao_Latn", "fineweb2/swh_Latn_train/batch_0001-tokenized")
        for sample in EXPECTED[folder]
    ]
    assert [row.problem == "invalid ids" for row in rows] == too_large and any(too_large)
    assert all("the vocabulary has 300" in row.detail for row in rows if row.problem)


def test_no_pickle_and_no_other_version(tokenizer, tmp_path):
    with pytest.raises(ValueError, match=r"column 'input_ids' is pickled, and no pickle is loaded"):
        tokenize_corpus(MDS / "pickled", tmp_path / "out", tokenizer)
    index = json.loads((MDS / "fineweb2" / "fao_Latn" / "index.json").read_text())
    with pytest.raises(ValueError, match="has MDS version 3; version 2 is read"):
        parse_index(json.dumps({**index, "version": 3}), "x")
    index["shards"][0] |= {"compression": "lzma", "zip_data": index["shards"][0]["raw_data"]}
    with pytest.raises(ValueError, match="compressed by 'lzma'; none, zstd, gz, bz2, br, snappy are read"):
        parse_index(json.dumps(index), "x")
    with pytest.raises(ValueError, match="is no MDS index"):
        parse_index("{", "x")


def test_a_place_without_folders():
    with pytest.raises(FileNotFoundError, match="holds no MDS folder"):
        open_row_source("memory://nothing/here", ReadOptions(), vocabulary=10)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("raw_data", "basename"), "../../secret.mds", "leads out of"),
        (("raw_data", "basename"), "/etc/hostname", "is not the plain name"),
        (("raw_data", "bytes"), 2**40, "shorter than 4,294,967,296"),
        (("column_sizes",), [None, "x", 8, 1], "encoding 'ndarray:int32:4' and size 'x'"),
        (("column_names",), ["id"], "is no MDS index"),
    ],
)
def test_an_index_that_cannot_be_is_refused_by_name(tmp_path, place, value, words):
    folder = Path(shutil.copytree(MDS / "fixed" / "deu_Latn", tmp_path / "deu_Latn"))
    index = json.loads((folder / "index.json").read_text())
    inner = index["shards"][0]
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (folder / "index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=rf"index\.json.*{words}"):
        open_row_source(str(folder), ReadOptions(), vocabulary=600).tasks(0)

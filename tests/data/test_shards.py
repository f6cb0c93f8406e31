"""Token shards: what goes in comes out, what was tampered with is refused, what was skipped is counted."""

import itertools
import json
import os
import shutil
import time

import numpy as np
import pytest
from mmbert.data import Document, TokenShards, write_shards
from tests_support import documents as word_documents


def test_documents_come_back_as_written(shards, tokenizer):
    by_language = {}
    for document in word_documents():
        by_language.setdefault(document.language, []).append(document.text)
    assert shards.languages == sorted(by_language)
    for language, texts in by_language.items():
        tokens, offsets = shards.tokens(language), shards.offsets(language)
        assert shards.document_counts[language] == len(texts)
        read = [tokenizer.decode(tokens[a:b]) for a, b in itertools.pairwise(offsets)]
        assert [text.strip() for text in read] == texts


def test_empty_documents_and_skipped_rows_are_counted(tokenizer, tmp_path):
    documents = [Document("eng_Latn", "a house", "x"), Document("eng_Latn", "", "x")]
    written = write_shards(documents, tokenizer, tmp_path / "s", skipped={"not UTF-8": 3})
    assert written.index["skipped"] == {"not UTF-8": 3, "document without tokens": 1}
    assert written.document_counts == {"eng_Latn": 1}


def test_nothing_to_write(tokenizer, tmp_path):
    with pytest.raises(ValueError, match="the corpus has no text"):
        write_shards([], tokenizer, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_write_leaves_nothing(tokenizer, tmp_path):
    def breaks():
        yield Document("eng_Latn", "a house", "x")
        raise OSError("disk full")

    with pytest.raises((OSError, ValueError), match="disk full"):
        write_shards(breaks(), tokenizer, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


def test_a_full_target_is_refused(shards, tokenizer):
    with pytest.raises(ValueError, match="exists and is not empty"):
        write_shards([Document("eng_Latn", "a house", "x")], tokenizer, shards.directory)


@pytest.fixture
def copy(shards, tmp_path):
    return shutil.copytree(shards.directory, tmp_path / "copy")


def test_tampered_shards_are_refused(copy):
    path = copy / "deu_Latn.tokens"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"deu_Latn\.tokens is not what was written"):
        TokenShards(copy)
    path.write_bytes(data[:-4])
    with pytest.raises(ValueError, match=r"deu_Latn\.tokens has \d+ bytes, the index says"):
        TokenShards(copy, verify=False)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"deu_Latn\.tokens is missing"):
        TokenShards(copy)


def test_no_shards_and_another_format(copy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.json is missing"):
        TokenShards(tmp_path)
    index = json.loads((copy / "index.json").read_text())
    (copy / "index.json").write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(ValueError, match="has format 99; this version reads 1"):
        TokenShards(copy)


def test_an_unknown_language_lists_the_known(shards):
    with pytest.raises(ValueError, match=r"no shard of language fra_Latn; .* has deu_Latn, ell_Grek"):
        shards.tokens("fra_Latn")


def test_the_fingerprint_follows_the_text(shards, tokenizer, tmp_path):
    again = write_shards(word_documents(), tokenizer, tmp_path / "again")
    other = write_shards(word_documents(seed=5), tokenizer, tmp_path / "other")
    assert again.fingerprint == shards.fingerprint != other.fingerprint
    assert all(np.array_equal(again.tokens(x), shards.tokens(x)) for x in shards.languages)


def test_what_was_verified_is_not_read_again_until_it_changes(copy):
    for path in copy.iterdir():
        os.utime(path, (1e9, 1e9))
    TokenShards(copy)
    assert (copy / "verified.json").is_file()
    path = copy / "deu_Latn.tokens"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"deu_Latn\.tokens is not what was written"):
        TokenShards(copy)  # its time has changed
    os.utime(path, (1e9, 1e9))
    TokenShards(copy)  # damage that leaves size and time is found on demand
    with pytest.raises(ValueError, match=r"deu_Latn\.tokens is not what was written"):
        TokenShards(copy, verify="again")


def test_files_that_are_fresh_are_not_noted_as_verified(shards, copy):
    (copy / "deu_Latn.tokens").touch()
    TokenShards(copy)
    noted = json.loads((copy / "verified.json").read_text()) if (copy / "verified.json").exists() else {}
    assert "deu_Latn.tokens" not in noted


def test_1833_languages_open_within_a_second(tokenizer, tmp_path):
    one = write_shards([Document("eng_Latn", "a house", "x")], tokenizer, tmp_path / "many")
    entry, tags = one.index["languages"]["eng_Latn"], [f"l{number:04d}_Latn" for number in range(1833)]
    for tag in tags:
        for suffix in ("tokens", "offsets"):
            os.link(one.directory / f"eng_Latn.{suffix}", one.directory / f"{tag}.{suffix}")
    index = {**one.index, "languages": dict.fromkeys(reversed(tags), entry)}
    (one.directory / "index.json").write_text(json.dumps(index))
    began = time.process_time()
    found = TokenShards(tmp_path / "many", verify=False)
    total = sum(found.token_counts[language] for language in found.languages)
    assert time.process_time() - began < 1
    assert found.languages == tags and total == 1833 * entry["tokens"]


def test_a_broken_index(copy):
    (copy / "index.json").write_text("{")
    with pytest.raises(ValueError, match=r"index\.json is no index"):
        TokenShards(copy)


@pytest.mark.parametrize("key", ["tokens", "documents", "tokens_sha256", "offsets_sha256"])
def test_an_index_that_is_not_whole_is_refused_in_a_line(tokenizer, tmp_path, key):
    path = write_shards([Document("eng_Latn", "a house", "x")], tokenizer, tmp_path / "s").directory / "index.json"
    index = json.loads(path.read_text())
    for damaged, message in (
        (
            {**index, "languages": {"eng_Latn": {k: v for k, v in index["languages"]["eng_Latn"].items() if k != key}}},
            rf"the entry of eng_Latn is not whole: it needs .*{key}",
        ),
        ({**index, "languages": {"../../etc/passwd": index["languages"]["eng_Latn"]}}, "leads out of"),
        ({k: v for k, v in index.items() if k != "sources"}, "'sources' is missing or damaged"),
        ([index], "no index"),
    ):
        path.write_text(json.dumps(damaged))
        with pytest.raises(ValueError, match=message):
            TokenShards(path.parent)

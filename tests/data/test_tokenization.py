"""Corpora to shards: the same bytes however the work is spread and interrupted; every document accounted for."""

import json
import os
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import mmbert
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mmbert.data import ReadOptions, ShardOptions, TokenShards, join_parts, tokenize_corpus, write_shards
from mmbert.data.corpora.base import Document, is_heldout
from mmbert.data.corpora.hub import HubCorpus
from mmbert.data.tokenization import TokenizeProgress
from mmbert.data.tokenization import document_tokenizer as encoding
from mmbert.data.tokenization.pipeline import tokenize_sources
from mmbert.data.tokenization.source import HubRowSource
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from tests_support import documents

UNIT = 8000  # bytes; makes some ten units of the corpus below
TESTS = Path(__file__).resolve().parents[1]


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shard_contents(folder):
    """Without the tokenizer's folder: one that AutoTokenizer loaded is described in other words, with equal ids."""
    return {name: data for name, data in contents(folder).items() if not name.startswith("tokenizer/")}


def texts_of(shards, tokenizer, language):
    tokens, offsets = shards.tokens(language), shards.offsets(language)
    return [tokenizer.decode(tokens[a:b]).strip() for a, b in pairwise(offsets)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Documents in jsonl, parquet and text, each document twice."""
    folder = tmp_path_factory.mktemp("corpus")
    everything = documents()
    rows = [{"lang": d.language, "text": d.text} for d in everything]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "table.jsonl").write_text("\n".join(lines), encoding="utf-8")
    table = {"lang": [row["lang"] for row in rows], "text": [row["text"] for row in rows]}
    pq.write_table(pa.table(table), folder / "table.parquet", row_group_size=90)
    (folder / "ell_Grek").mkdir()
    greek = [d.text for d in documents(seed=9) if d.language == "ell_Grek"]
    (folder / "ell_Grek" / "more.txt").write_text("\n\n".join(greek), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def options():
    return ReadOptions(heldout_fraction=0.1)


@pytest.fixture(scope="module")
def unbroken(corpus, tokenizer, options, tmp_path_factory):
    """The shards of one process that nobody disturbed."""
    output = tmp_path_factory.mktemp("unbroken") / "out"
    tokenize_corpus(corpus, output, tokenizer, options=options, task_bytes=UNIT)
    return output


def test_every_text_stands_there_once_on_its_side(unbroken, tokenizer):
    expected = {("train", d.language): set() for d in documents()} | {
        ("heldout", d.language): set() for d in documents()
    }
    total = 0
    for document in [*documents(), *documents(), *(d for d in documents(seed=9) if d.language == "ell_Grek")]:
        side = "heldout" if is_heldout(document.text, 0.1) else "train"
        expected[side, document.language].add(document.text)
        total += 1
    kept = 0
    for (side, language), texts in expected.items():
        if texts:
            found = texts_of(TokenShards(unbroken / side), tokenizer, language)
            assert sorted(found) == sorted(texts)
            kept += len(found)
    skipped = [TokenShards(unbroken / side).index["skipped"]["exact copy"] for side in ("train", "heldout")]
    assert kept + sum(skipped) == total


def test_copies_stay_if_asked(corpus, tokenizer, tmp_path):
    keep = ShardOptions(deduplicate=False)
    options = ReadOptions(heldout_fraction=0.0, languages=("fao_Latn",))
    found = tokenize_corpus(corpus, tmp_path / "out", tokenizer, options=options, shard_options=keep)
    assert found["train"].document_counts == {"fao_Latn": 40} and set(found) == {"train"}
    assert "deduplicated" not in found["train"].index and found["train"].index["skipped"] == {}


def test_in_memory_and_from_files_are_the_same(tokenizer, tmp_path):
    rows = [json.dumps({"lang": d.language, "text": d.text}) for d in documents()]
    (tmp_path / "c.jsonl").write_text("\n".join(rows))
    options = ReadOptions(heldout_fraction=0.0)
    keep = ShardOptions(deduplicate=False)
    found = tokenize_corpus(tmp_path / "c.jsonl", tmp_path / "a", tokenizer, options=options, shard_options=keep)
    write_shards(documents(), tokenizer, tmp_path / "b", sources=None)
    ours, memory = found["train"].index, TokenShards(tmp_path / "b").index
    assert ours["languages"] == memory["languages"] and ours["sources"][0]["name"] == "c.jsonl"


def test_parts_of_machines_join_to_the_same_bytes(corpus, tokenizer, options, unbroken, tmp_path):
    copy = shutil.copytree(corpus, tmp_path / "mounted" / "elsewhere")
    copy = copy.rename(tmp_path / "mounted" / corpus.name)  # another machine sees it under another path
    for number, place in ((1, corpus), (2, copy), (3, corpus)):
        part = (number, 3)
        assert (
            tokenize_corpus(place, tmp_path / f"p{number}", tokenizer, options=options, task_bytes=UNIT, part=part)
            == {}
        )
    parts = [tmp_path / f"p{number}" for number in (3, 1, 2)]
    join_parts(parts, tmp_path / "joined")
    assert contents(tmp_path / "joined") == contents(unbroken)
    with pytest.raises(ValueError, match="there are parts 1, 3 of 3; each is needed once"):
        join_parts([parts[0], parts[1]], tmp_path / "two")
    with pytest.raises(FileNotFoundError, match="is no part of a tokenization"):
        join_parts([corpus], tmp_path / "none")
    bundle = next((parts[0] / "bundles").glob("*.bundle"))
    bundle.write_bytes(bundle.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"p3 is damaged \(task \d+\); write that part again"):
        join_parts(parts, tmp_path / "damaged")
    other = ReadOptions(heldout_fraction=0.2)
    tokenize_corpus(corpus, tmp_path / "q2", tokenizer, options=other, task_bytes=UNIT, part=(2, 3))
    with pytest.raises(ValueError, match=r"option heldout_fraction was 0\.1 and is 0\.2"):
        join_parts([parts[1], tmp_path / "q2"], tmp_path / "mixed")
    assert not any((tmp_path / name).exists() for name in ("two", "none", "damaged", "mixed"))


class Stopped(BaseException):
    """Ends a run in the middle, as a kill would."""


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that lets only so many batches be encoded."""

    real = encoding.DocumentTokenizer.encode

    def arrange(batches):
        left = [batches]

        def encode(self, texts):
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            return real(self, texts)

        monkeypatch.setattr(encoding.DocumentTokenizer, "encode", encode)
        return left

    return arrange


def test_stopped_twice_it_ends_with_the_same_bytes(corpus, tokenizer, options, unbroken, tmp_path, stop_after):
    for batches in (3, 5):
        stop_after(batches)
        with pytest.raises(Stopped):
            tokenize_corpus(corpus, tmp_path / "out", tokenizer, options=options, task_bytes=UNIT)
        assert not (tmp_path / "out").exists()
    left = stop_after(1000)
    tokenize_corpus(corpus, tmp_path / "out", tokenizer, options=options, task_bytes=UNIT)
    assert contents(tmp_path / "out") == contents(unbroken)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert 1000 - left[0] < 15  # what was finished was not done again


def test_a_damaged_bundle_is_made_again(corpus, tokenizer, options, unbroken, tmp_path, stop_after):
    stop_after(6)
    with pytest.raises(Stopped):
        tokenize_corpus(corpus, tmp_path / "out", tokenizer, options=options, task_bytes=UNIT)
    bundle = next((tmp_path / ".out.tokenizing" / "bundles").glob("*.bundle"))
    bundle.write_bytes(b"x" * bundle.stat().st_size)
    stop_after(1000)
    tokenize_corpus(corpus, tmp_path / "out", tokenizer, options=options, task_bytes=UNIT)
    assert contents(tmp_path / "out") == contents(unbroken)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, o, t: (c, ReadOptions(heldout_fraction=0.2), t), "option heldout_fraction was 0.1 and is 0.2"),
        (lambda c, o, t: (c, o, mmbert.train_tokenizer(["a b c"] * 3, 300)), "the tokenizer was .* and is"),
        (lambda c, o, t: ((c / "new.jsonl").write_text("{}") and c, o, t), "source file new.jsonl is new"),
        (lambda c, o, t: ((c / "table.jsonl").unlink() or c, o, t), "source file table.jsonl is gone"),
        (lambda c, o, t: ((c / "table.jsonl").write_text("{}") and c, o, t), "source file table.jsonl has changed"),
        (
            lambda c, o, t: (os.utime(c / "table.jsonl", (1, 1)) or c, o, t),
            "source file table.jsonl was modified since",
        ),
    ],
)
def test_another_plan_is_refused_and_named(corpus, tokenizer, options, tmp_path, stop_after, change, message):
    copy = Path(shutil.copytree(corpus, tmp_path / "corpus"))
    stop_after(2)
    with pytest.raises(Stopped):
        tokenize_corpus(copy, tmp_path / "out", tokenizer, options=options, task_bytes=UNIT)
    place, changed, words = change(copy, options, tokenizer)
    with pytest.raises(ValueError, match=rf"was begun with something else: {message}"):
        tokenize_corpus(place, tmp_path / "out", words, options=changed, task_bytes=UNIT)


def test_a_second_run_into_the_same_output_is_kept_out(corpus, tokenizer, options, tmp_path):
    from mmbert.data.tokenization.workdir import WorkFolder

    with WorkFolder(tmp_path / "out").locked(), pytest.raises(ValueError, match="is being written by another run"):
        tokenize_corpus(corpus, tmp_path / "out", tokenizer, options=options)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="full exists and is not empty"):
        tokenize_corpus(corpus, tmp_path / "full", tokenizer, options=options)


def test_chunks_are_recorded_and_lose_only_what_is_counted(tokenizer, tmp_path):
    text = " ".join(d.text for d in documents())
    (tmp_path / "eng_Latn.jsonl").write_text("\n".join(json.dumps({"text": f"{n} {text}"}) for n in range(3)))
    options = ReadOptions(heldout_fraction=0.0)
    whole = tokenize_corpus(tmp_path / "eng_Latn.jsonl", tmp_path / "whole", tokenizer, options=options)["train"]
    cut = ShardOptions(deduplicate=True, chunk_size=1024, seed=3)
    found = tokenize_corpus(
        tmp_path / "eng_Latn.jsonl", tmp_path / "cut", tokenizer, options=options, shard_options=cut
    )["train"]
    counts = found.index["chunking"]
    lengths = np.diff(found.offsets("eng_Latn"))
    assert lengths.max() <= 1022 and counts["documents"] == 3 and counts["pieces"] == len(lengths)
    assert lengths.sum() + counts["dropped_tokens"] == whole.token_counts["eng_Latn"]
    if not counts["dropped_tokens"]:
        assert (found.tokens("eng_Latn") == whole.tokens("eng_Latn")).all()
    assert (counts["chunk_size"], counts["drop_below"], counts["backfill_below"], counts["seed"]) == (1024, 32, 512, 3)


def test_bad_rows_stop_or_are_counted_by_reason(tokenizer, tmp_path):
    good = {"lang": "eng_Latn", "text": "the house"}
    lines = [json.dumps(good), json.dumps({**good, "text": ""}), "{", json.dumps({**good, "lang": "xxx_Latn"})]
    body = "\n".join(lines).encode() + b'\n{"lang": "eng_Latn", "text": "' + b"a" * 50_000_000 + b'"}\n'
    (tmp_path / "c.jsonl").write_bytes(body + b'{"lang": "eng_Latn", "text": "\xff"}\n')
    table = pa.table({"lang": ["eng_Latn"] * 9, "text": [f"bridge {n}" for n in range(9)]})
    pq.write_table(table, tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"c\.jsonl, row 2: empty document; repair it"):
        tokenize_corpus(tmp_path / "c.jsonl", tmp_path / "out", tokenizer)
    skip = ReadOptions(on_bad_row="skip", heldout_fraction=0.0)
    for limit in (30_000_000, 100_000_000):  # in slices, and in one
        places = [tmp_path / name for name in ("c.jsonl", "whole.parquet", "cut.parquet")]
        found = tokenize_corpus(places, tmp_path / str(limit), tokenizer, options=skip, task_bytes=limit)
        assert found["train"].document_counts == {"eng_Latn": 10}
        assert found["train"].index["skipped"] == {
            "empty document": 1, "invalid JSON": 1, "unknown language": 1, "document too long": 1, "not UTF-8": 1,
            "unreadable file": 1,
        }  # fmt: skip


def test_after_a_bad_row_the_run_goes_on_without_it(tokenizer, tmp_path, stop_after):
    rows = [json.dumps({"lang": "eng_Latn", "text": f"the old bridge {n}"}) for n in range(200)]
    rows[150] = "{"
    (tmp_path / "c.jsonl").write_text("\n".join(rows))
    with pytest.raises(ValueError, match="invalid JSON"):
        tokenize_corpus(tmp_path / "c.jsonl", tmp_path / "out", tokenizer, task_bytes=700)
    left, skip = stop_after(100), ReadOptions(on_bad_row="skip")
    found = tokenize_corpus(tmp_path / "c.jsonl", tmp_path / "out", tokenizer, options=skip, task_bytes=700)
    assert sum(found["train"].index["skipped"].values()) == 1 and 100 - left[0] < 10
    with pytest.raises(ValueError, match="invalid JSON"):  # nothing was finished, so nothing is left behind
        tokenize_corpus(tmp_path / "c.jsonl", tmp_path / "other", tokenizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.jsonl", "out"]


def test_a_row_of_a_slice_is_named_by_its_number_in_the_file(tokenizer, tmp_path):
    rows = [json.dumps({"lang": "eng_Latn", "text": f"the old bridge {n}"}) for n in range(200)]
    rows[150] = "{"
    (tmp_path / "c.jsonl").write_text("\n".join(rows))
    with pytest.raises(ValueError, match=r"c\.jsonl, row 151: invalid JSON"):
        tokenize_corpus(tmp_path / "c.jsonl", tmp_path / "out", tokenizer, task_bytes=700)
    table = pa.table({"lang": ["eng_Latn"] * 200, "text": [f"the bridge {n}" if n != 150 else "" for n in range(200)]})
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=20)
    with pytest.raises(ValueError, match=r"c\.parquet, row 151: empty document"):
        tokenize_corpus(tmp_path / "c.parquet", tmp_path / "out2", tokenizer, task_bytes=700)


@pytest.mark.parametrize("size", [3, 7, 64, 1000])
def test_slices_of_any_size_read_every_line_once(tokenizer, tmp_path, size):
    lines = [f"line {n} " + "x" * (n % 37) for n in range(20)]
    (tmp_path / "eng_Latn.txt").write_bytes("\ufeff".encode() + "\r\n".join(lines).encode())
    options = ReadOptions(heldout_fraction=0.0, text_unit="line")
    keep = ShardOptions(deduplicate=False)
    found = tokenize_corpus(
        tmp_path / "eng_Latn.txt", tmp_path / "out", tokenizer, options=options, shard_options=keep, task_bytes=size
    )
    assert texts_of(found["train"], tokenizer, "eng_Latn") == [line.strip() for line in lines]


def test_missing_languages_places_and_texts(corpus, tokenizer, tmp_path):
    with pytest.raises(ValueError, match="holds no document in fra_Latn"):
        tokenize_corpus(corpus, tmp_path / "o", tokenizer, options=ReadOptions(languages=("fra_Latn", "ell_Grek")))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        tokenize_corpus(tmp_path / "nowhere.jsonl", tmp_path / "o2", tokenizer)
    with pytest.raises(ValueError, match="part is 4/3"):
        tokenize_corpus(corpus, tmp_path / "o3", tokenizer, part=(4, 3))


def test_finished_shards_are_sources_and_keep_their_sides(corpus, tokenizer, options, unbroken, tmp_path):
    again = tokenize_corpus([unbroken, unbroken], tmp_path / "again", tokenizer, options=options, task_bytes=UNIT)
    for split, shards in again.items():
        before = TokenShards(unbroken / split)
        assert shards.index["languages"] == before.index["languages"]
        assert shards.index["skipped"] == {"exact copy": sum(before.document_counts.values())}
    other = mmbert.train_tokenizer(["a b c"] * 3, 300)
    with pytest.raises(ValueError, match="were made by another tokenizer"):
        tokenize_corpus(unbroken, tmp_path / "other", other)


def test_special_tokens_in_a_text_are_text(tokenizer, tmp_path):
    before = (tokenizer.backend_tokenizer.padding, tokenizer.backend_tokenizer.truncation)
    tokenizer(["a", "a b c"], padding=True, truncation=True, max_length=3)
    document = Document("eng_Latn", "the <mask> house <eos> stands", "x")
    found = write_shards([document], tokenizer, tmp_path / "s").tokens("eng_Latn").tolist()
    assert min(found) > 4 and tokenizer.decode(found).strip() == document.text
    assert found == tokenizer(document.text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    if before == (None, None):
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()


def test_the_same_function_maps_a_dataset(tokenizer, tmp_path):
    from datasets import Dataset
    from mmbert.data import DocumentTokenizer

    texts = [d.text for d in documents()][:50]
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    function = DocumentTokenizer(tmp_path / "tokenizer")
    mapped = Dataset.from_dict({"text": texts}).map(function, batched=True, batch_size=7)
    assert mapped["input_ids"][:] == [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    with pytest.raises(ValueError, match="no column 'text'; there are 'body'"):
        function({"body": ["a"]})
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json is missing"):
        DocumentTokenizer(tmp_path)


def test_streamed_datasets_are_cut_by_their_files(tokenizer, tmp_path):
    lines = ["- config_name: swh_Latn\n  data_files:\n  - split: train\n    path: swh/*.jsonl"]
    (tmp_path / "set" / "swh").mkdir(parents=True)
    (tmp_path / "set" / "README.md").write_text("---\nlicense: odc-by\nconfigs:\n" + "\n".join(lines) + "\n---\n")
    for number in range(3):
        rows = [json.dumps({"text": f"habari {number} {n}"}) for n in range(20)]
        (tmp_path / "set" / "swh" / f"{number}.jsonl").write_text("\n".join(rows) + "\n")
    options = ReadOptions(heldout_fraction=0.0)
    source = HubRowSource(HubCorpus(str(tmp_path / "set"), options))
    assert [task.part for task in source.tasks(0)] == [(0, 3), (1, 3), (2, 3)]
    found = tokenize_sources([source], tmp_path / "out", tokenizer, options=options)["train"]
    expected = [f"habari {number} {n}" for number in range(3) for n in range(20)]
    assert texts_of(found, tokenizer, "swh_Latn") == expected
    assert found.index["sources"][0]["licence"] == "odc-by"
    before = source.listing()
    (tmp_path / "set" / "swh" / "1.jsonl").write_text(json.dumps({"text": "jioni"}) + "\n")
    assert [a == b for a, b in zip(before, source.listing(), strict=True)] == [True, False, True]


def test_the_progress_line_tells_speed_and_time_left(monkeypatch, caplog):
    now = [0.0]
    with caplog.at_level("INFO"):
        progress = TokenizeProgress(10, 1000, clock=lambda: now[0])
        progress.resume(2, 200)
        now[0] = 4.0
        progress.add(10, 400)
        progress.finish(100)
        now[0] = 8.0
        progress.add(10, 400)
    # 300 of 1,000 bytes are finished, as much again as the last unit is under way: 200 in 8 s, 600 to go.
    assert [record.getMessage() for record in caplog.records] == [
        "tokenized  40.0%  20 documents, 800 tokens, 100 tokens/s, 24 s left"
    ]
    unknown = TokenizeProgress(4, 0, clock=lambda: now[0])
    unknown.finish(0)
    now[0] += 1000
    assert unknown.line().startswith("tokenized  25.0%") and unknown.line().endswith("50 min left")


SCRIPT = """
import sys
from pathlib import Path
from mmbert.data import ReadOptions, tokenize_corpus
from transformers import AutoTokenizer

if __name__ == "__main__":
    corpus, output, tokenizer, processes = sys.argv[1:]
    try:
        words = AutoTokenizer.from_pretrained(tokenizer)
        options = ReadOptions(heldout_fraction=0.1)
        tokenize_corpus(corpus, output, words, options=options, task_bytes=8000, processes=int(processes))
    except (ValueError, OSError) as error:
        sys.exit(str(error))
"""


@pytest.fixture
def start(tmp_path, corpus, tokenizer):
    """Return a function that starts a tokenisation in a process of its own."""
    (tmp_path / "run.py").write_text(SCRIPT)
    save_tokenizer(tokenizer, tmp_path / "tok")

    def begin(output, processes):
        command = [sys.executable, tmp_path / "run.py", corpus, output, tmp_path / "tok", str(processes)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return begin


@pytest.mark.slow
def test_two_processes_killed_in_the_middle_end_with_the_same_bytes(start, unbroken, tmp_path):
    running = start(tmp_path / "out", 2)
    bundles = tmp_path / ".out.tokenizing" / "bundles"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(bundles.glob("*.json"))) < 2:
        time.sleep(0.005)
    running.kill()
    running.wait()
    assert not (tmp_path / "out").exists()
    time.sleep(1)  # its workers end by themselves; nobody writes any more
    left = {path.name for path in bundles.iterdir()}
    time.sleep(0.5)
    assert {path.name for path in bundles.iterdir()} == left
    done = start(tmp_path / "out", 2)
    assert done.wait(timeout=180) == 0, done.stderr.read()
    assert shard_contents(tmp_path / "out") == shard_contents(unbroken)
    assert not (tmp_path / ".out.tokenizing").exists()


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(start, unbroken, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    small = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=150k", "tmpfs", disk], capture_output=True, check=False)
    if small.returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        failed = start(disk / "out", 1)
        assert failed.wait(timeout=120) == 1
        message = failed.stderr.read().strip().splitlines()[-1]
        assert "cannot write" in message and "No space left on device" in message and "Traceback" not in message
        assert not (disk / "out").exists()
        subprocess.run(["mount", "-o", "remount,size=5m", disk], check=True)
        done = start(disk / "out", 1)
        assert done.wait(timeout=120) == 0, done.stderr.read()
        assert shard_contents(disk / "out") == shard_contents(unbroken)
    finally:
        subprocess.run(["umount", disk], check=False)

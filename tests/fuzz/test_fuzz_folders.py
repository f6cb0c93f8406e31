"""Settings of checkpoints, search indexes and command lines with something odd in one place: one line, no traceback."""

import json
import shutil
import sqlite3
import subprocess
import sys

import pytest
import torch
from fuzz_support import CASES, fuzz, mutated, read, spoilt
from hypothesis import example, given
from hypothesis import strategies as st
from mmbert import MmBertConfig, MmBertForMaskedLM, load_embedder
from mmbert.embeddings import SearchIndex, save_embedder
from mmbert.modeling.tokenization_mmbert import save_tokenizer

TEXTS = ["the old bridge", "the river"]


@pytest.fixture(scope="module")
def home(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    torch.manual_seed(0)
    shape = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    MmBertForMaskedLM(MmBertConfig.small(**shape, vocab_size=len(tokenizer))).save_pretrained(folder / "plain")
    save_tokenizer(tokenizer, folder / "plain")
    embedder = load_embedder(folder / "plain", dtype="float32", device="cpu")
    save_embedder(embedder, folder / "embedder")
    SearchIndex.build(folder / "index", TEXTS, embedder)
    return folder


FILES = ["config.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json",
         "config_sentence_transformers.json", "sentence_bert_config.json"]  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_settings_of_an_embedder(home, tmp_path, name):
    if not (home / "embedder" / name).is_file():
        pytest.skip(f"no {name} is written")
    folder = shutil.copytree(home / "embedder", tmp_path / "embedder")
    (folder / "SHA256SUMS").unlink()

    whole = json.loads((folder / name).read_text())

    @fuzz(0.25)
    @given(tree=mutated(whole))
    @example(tree=whole | {"architectures": 1} if isinstance(whole, dict) else whole)
    def check(tree):
        (folder / name).write_text(json.dumps(tree))
        read(lambda: load_embedder(folder, dtype="float32", device="cpu").encode(TEXTS), "embedder")

    check()


@pytest.mark.parametrize("name", ["index.db", "vectors-0001.npy"])
def test_a_search_index_byte_by_byte(home, tmp_path, name):
    folder = shutil.copytree(home / "index", tmp_path / "index")
    embedder = load_embedder(home / "embedder", dtype="float32", device="cpu")
    whole = (folder / name).read_bytes()

    @fuzz(0.5)
    @given(raw=spoilt(whole))
    def check(raw):
        for path in folder.iterdir():
            path.unlink(missing_ok=True)  # SQLite takes its own files away
        shutil.copytree(home / "index", folder, dirs_exist_ok=True)
        (folder / name).write_bytes(raw)
        read(lambda: SearchIndex.open(folder, embedder).search("bridge"), "index")

    check()


def test_settings_in_a_search_index(home, tmp_path):
    folder = shutil.copytree(home / "index", tmp_path / "index")
    embedder = load_embedder(home / "embedder", dtype="float32", device="cpu")
    with sqlite3.connect(folder / "index.db") as database:
        settings = dict(database.execute("SELECT name, value FROM settings").fetchall())

    @fuzz(0.5)
    @given(tree=mutated({name: json.loads(value) for name, value in settings.items()}))
    def check(tree):
        with sqlite3.connect(folder / "index.db") as database:
            database.execute("DELETE FROM settings")
            database.executemany("INSERT INTO settings VALUES (?, ?)", [(k, json.dumps(v)) for k, v in tree.items()])
        read(lambda: SearchIndex.open(folder, embedder).search("bridge"), "index")

    check()


LINES = [
    "trim nowhere out --texts a.txt --max-tokens 300",
    "export nowhere out --format onnx --quantize int8",
    "merge nowhere one two --output out --density 0.2 --weights 1,2",
    "embed a.txt --model nowhere --output out.npy --dims 64 --batch-size 8",
    "search index a.txt --output out --model nowhere",
    "search query nowhere bridge --top-k 3 --where lang=eng",
    "push nowhere owner/name --tag a",
    "tokenize nowhere.jsonl out --tokenizer nowhere --processes 1",
    "finetune classification --model nowhere --train a.csv --output_dir out --epochs 1 --lr 2e-5",
    "finetune tagging --model nowhere --train a.conll --output_dir out --seeds 1,2",
    "pretrain --recipe nowhere --output_dir out --save_steps 10",
    "continue --checkpoint nowhere --new a.jsonl --output_dir out",
    "train embedder --model nowhere --pairs a.jsonl --output out",
    "evaluate nowhere --tasks sib200 --output out --seeds 0",
    "predict nowhere a.csv --output out.csv",
    "inspect nowhere.csv --task classification",
    "recipe nowhere --variant x",
    "languages nowhere.txt",
    "doctor nowhere",
    "bench nowhere --lengths 64",
    "card nowhere",
]
WORDS = st.sampled_from(
    ["", "-", "--", "-1", "0", "nan", "1e999", "a=b=c", "=", "[", "{}", "é", "x" * 300, "--dims",
     "--no-such", "/dev/null", "../..", "true", "None", "1,2,", "--output=", "--config", "%s", "$HOME", "*"]
)  # fmt: skip
RUN = """
import contextlib, io, json, os, sys
from mmbert.cli import main
for line in json.loads(sys.stdin.read()):
    said, sys.argv = io.StringIO(), ["mmbert", *line]
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as end:
        if end.code not in (0, 1, 2, None):
            print(json.dumps([line, f"status {end.code}"]))
    except BaseException as error:
        print(json.dumps([line, f"{type(error).__name__}: {error}"[:300]]))
"""


@st.composite
def command_lines(draw):
    line = draw(st.sampled_from(LINES)).split()
    for _ in range(draw(st.integers(1, 3))):
        at, what = draw(st.integers(1, len(line))), draw(st.sampled_from(["add", "drop", "change", "double"]))
        if what == "drop":
            del line[at : at + 1]
        else:
            line[at : at + (what == "change")] = [line[at - 1]] if what == "double" else [draw(WORDS)]
    return line


@pytest.mark.slow
def test_command_lines(tmp_path):
    """In one process of its own, in an empty folder: no line of these names anything that is there."""
    lines = []

    @fuzz()
    @given(line=command_lines())
    def collect(line):
        lines.append(line)

    collect()
    done = subprocess.run([sys.executable, "-c", RUN], input=json.dumps(lines), capture_output=True, text=True,
                          cwd=tmp_path, timeout=30 + 5 * CASES)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "" and len(lines) >= CASES // 2

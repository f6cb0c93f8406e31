"""Valid files with something odd in one place: refused in one line that names the file, or read. Never a traceback.

These read formats of our own and of checkpoints; `test_fuzz_rows.py` what users bring, `test_fuzz_search.py` an index.
"""

import json
import struct

import pytest
import yaml
from fuzz_support import fuzz, mutated, read
from hypothesis import example, given
from hypothesis import strategies as st
from mmbert import Recipe
from mmbert.common.checkpoints import verify_checksums
from mmbert.common.checkpoints.format import read_header
from mmbert.common.checkpoints.integrity import loaded_folders
from mmbert.data import TokenShards
from mmbert.recipes import shipped_recipes

RECIPE = {
    "name": "tiny",
    "seed": 7,
    "model": {"size": "small", "hidden_size": 32},
    "data": {"corpus": "text.jsonl", "vocabulary_size": 400, "heldout_fraction": 0.1},
    "optimizer": {"weight_decay": 0.1},
    "phases": [
        {
            "name": "pretrain", "languages": ["eng_Latn", "deu_Latn"], "temperature": 0.7, "masking_ratio": 0.3,
            "context_length": 32, "rope_theta": 10000, "tokens": 3072, "batch_rows": 8, "learning_rate": 0.002,
        }
    ],
    "variants": {"short": {"tokens": 1024}},
}  # fmt: skip


@fuzz()
@given(tree=mutated(RECIPE))
def test_recipes(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "r.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    read(lambda: Recipe.load(path), "r.yaml")


@fuzz()
@given(text=st.text(alphabet="&*[]{}:,-?!|>%@`'\"\n #<~=.0aé\t", max_size=60))
def test_recipes_that_are_hardly_yaml(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "r.yaml"
    path.write_text(f"extends: {shipped_recipes()[0]}\n{text}", encoding="utf-8")
    read(lambda: Recipe.load(path), "r.yaml")


@pytest.mark.parametrize("place", [RECIPE, RECIPE["phases"][0]])
def test_a_key_with_a_line_break_is_told_in_one_line(tmp_path, place):
    path = tmp_path / "r.yaml"
    odd = {**place, "\n": 3}
    path.write_text(yaml.safe_dump(odd if place is RECIPE else RECIPE | {"phases": [odd]}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"^r\.yaml line \d+, [^\n]*unknown key[^\n]*$"):
        Recipe.load(path)


def test_nested_aliases_are_bounded(tmp_path):
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    (tmp_path / "r.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"r\.yaml"):
        Recipe.load(tmp_path / "r.yaml")


HEADER = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "BF16", "shape": [4], "data_offsets": [16, 24]},
}


@fuzz()
@given(tree=mutated(HEADER), more=st.integers(-3, 3))
def test_safetensors_headers(tmp_path_factory, tree, more):
    path = tmp_path_factory.getbasetemp() / "w.safetensors"
    raw = json.dumps(tree).encode()
    path.write_bytes(struct.pack("<Q", max(len(raw) + more, 0)) + raw + bytes(24))
    read(lambda: read_header(path), "w.safetensors")


INDEX = {
    "format": 1, "tokenizer": "0" * 64, "sources": [], "skipped": {},
    "languages": {"eng_Latn": {"tokens": 3, "documents": 1, "tokens_sha256": "0" * 64, "offsets_sha256": "0" * 64}},
}  # fmt: skip


@fuzz()
@given(tree=mutated(INDEX))
@example(tree=INDEX | {"languages": {"\n": None}})
def test_shard_indexes(tmp_path_factory, tree):
    folder = tmp_path_factory.getbasetemp() / "shards"
    folder.mkdir(exist_ok=True)
    (folder / "index.json").write_text(json.dumps(tree))
    read(lambda: TokenShards(folder), "index.json")


@fuzz()
@given(tree=mutated([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}] * 2))
@example(tree=[{"idx": 0, "name": "0", "path": "", "type": "\n"}])
def test_modules_of_a_sentence_transformer(tmp_path_factory, tree):
    folder = tmp_path_factory.getbasetemp() / "st"
    folder.mkdir(exist_ok=True)
    (folder / "modules.json").write_text(json.dumps(tree))
    read(lambda: list(loaded_folders(folder)), "modules.json")


@fuzz()
@given(
    lines=st.lists(st.one_of(st.just(f"{'0' * 64}  a.json"), st.just("# 2 a.json"), st.text(max_size=80)), max_size=4)
)
def test_checksum_lists(tmp_path_factory, lines):
    folder = tmp_path_factory.getbasetemp() / "sums"
    folder.mkdir(exist_ok=True)
    (folder / "a.json").write_text("{}")
    (folder / "SHA256SUMS").write_text("\n".join(lines), encoding="utf-8", errors="ignore")
    with pytest.raises(ValueError, match=r"sums"):
        verify_checksums(folder)

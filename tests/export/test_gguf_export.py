"""GGUF files: read back with the gguf package, and served by a real llama.cpp where one is named."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import mmbert
import numpy as np
import pytest
import torch
from mmbert.export import export_gguf, trim_vocabulary
from tests_support import run_verb

gguf = pytest.importorskip("gguf")
TEXTS = ["a small house by the river", "old", "we cross the old bridge every morning, 早上 ñ", "the river " * 40]
# Interpreter of an environment with xllamacpp, if this one has none.
LLAMA_CPP = sys.executable if importlib.util.find_spec("xllamacpp") else os.environ.get("MMBERT_LLAMA_CPP_PYTHON")


@pytest.fixture(scope="module")
def make(make, tokenizer):
    """Save a tiny checkpoint of widths that quantise, with three rows that no token has."""
    ours = {"intermediate_size": 96, "num_labels": 1, "vocab_size": len(tokenizer) + 3, "norm_eps": 1e-5}
    return lambda head="Model", **fields: make(head, **{**ours, **fields})


@pytest.fixture(scope="module")
def plain(make):
    return make()


def fields_of(file):
    reader = gguf.GGUFReader(file)
    return reader, {name: field.contents() for name, field in reader.fields.items()}


@pytest.mark.parametrize("dtype, error", [("f32", 0.0), ("f16", 1e-3), ("bf16", 1e-2), ("q8_0", 1e-2), ("q4_0", 0.15)])
def test_the_file_holds_the_network(plain, tmp_path, dtype, error):
    done = export_gguf(plain, tmp_path / "out", dtype=dtype)
    reader, fields = fields_of(done.output / done.file)
    assert fields["general.architecture"] == "modern-bert" and done.pooling == "mean"
    said = {
        "context_length": 8192,
        "attention.sliding_window": 8,
        "attention.sliding_window_pattern": 3,
        "rope.freq_base": 5e4,
        "rope.freq_base_swa": 70.0,
        "attention.causal": False,
        "pooling_type": 1,
    }
    assert {key: fields[f"modern-bert.{key}"] for key in said} == said
    network = mmbert.MmBertModel.from_pretrained(plain).state_dict()
    names = {"token_embd.weight": "embeddings.tok_embeddings.weight", "blk.1.ffn_up.weight": "layers.1.mlp.Wi.weight"}
    stored = {tensor.name: tensor for tensor in reader.tensors}
    assert len(stored) == len(network) and "blk.0.attn_norm.weight" not in stored
    for name, ours in names.items():
        found = gguf.quants.dequantize(stored[name].data, stored[name].tensor_type)
        wanted = network[ours].numpy()
        assert np.linalg.norm(found - wanted) <= error * np.linalg.norm(wanted)
    assert (done.output / "Modelfile").read_text() == f"FROM ./{done.file}\n"


def test_the_file_holds_the_tokenizer(plain, tokenizer, tmp_path):
    done = export_gguf(plain, tmp_path / "out")
    _, fields = fields_of(done.output / done.file)
    tokens, scores, types = (fields[f"tokenizer.ggml.{name}"] for name in ("tokens", "scores", "token_type"))
    assert len(tokens) == len(scores) == len(tokenizer) + 3 and types[-3:] == [5, 5, 5]
    assert tokens[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    merges = json.loads((plain / "tokenizer.json").read_text())["model"]["merges"]
    assert scores[tokens.index("".join(merges[7]))] == -7.0
    assert [types[0], types[3], types[tokens.index("<0x41>")]] == [3, 2, 6]
    assert [fields[f"tokenizer.ggml.{n}"] for n in ("bos_token_id", "eos_token_id", "mask_token_id")] == [2, 1, 4]
    assert fields["tokenizer.ggml.add_bos_token"] and fields["tokenizer.ggml.add_eos_token"]


def test_what_llama_cpp_cannot_compute_is_refused(make, plain, tmp_path, monkeypatch):
    for head, fields, options, match in (
        ("ForTokenClassification", {}, {}, "serves embeddings and sequence classification, not token-classification"),
        ("ForSequenceClassification", {"classifier_pooling": "cls"}, {}, "pools by cls"),
        ("Model", {"norm_bias": True}, {}, "norm_bias is on"),
        ("Model", {"hidden_activation": "silu"}, {}, "hidden_activation is silu"),
        ("Model", {"intermediate_size": 50}, {"dtype": "q8_0"}, "intermediate_size is 50, q8_0 wants a multiple of 32"),
        ("Model", {}, {"dtype": "q4_k"}, "dtype='q4_k' is none of f32, f16, .*; did you mean q4_"),
    ):
        with pytest.raises(ValueError, match=match):
            export_gguf(make(head, **fields), tmp_path / "out", **options)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r'pip install "mmbert\[gguf\]"'):
        export_gguf(plain, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def served(file, texts, tmp_path, pooling="mean"):
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    program = Path(__file__).with_name("run_llama_cpp.py")
    command = [LLAMA_CPP, program, file, tmp_path / "texts.json", tmp_path / "out.json", pooling]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((tmp_path / "out.json").read_text())


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.skipif(LLAMA_CPP is None, reason="needs xllamacpp here or MMBERT_LLAMA_CPP_PYTHON")
@pytest.mark.parametrize("dtype, cosine", [("f32", 0.99999), ("q8_0", 0.999)])
def test_llama_cpp_gives_our_ids_and_vectors(make, tokenizer, tmp_path, dtype, cosine):
    plain = make("ForMaskedLM")
    trim_vocabulary(plain, TEXTS, tmp_path / "trimmed", max_tokens=320)
    for number, folder in enumerate((plain, tmp_path / "trimmed")):
        done = export_gguf(folder, tmp_path / str(number), dtype=dtype)
        found = served(done.output / done.file, TEXTS, tmp_path)
        embedder = mmbert.load_embedder(folder, dtype="float32", device="cpu")
        assert found["ids"] == [embedder.tokenizer(text)["input_ids"] for text in TEXTS]
        assert (np.array(found["vectors"]) * embedder.encode(TEXTS)).sum(1).min() > cosine


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.skipif(LLAMA_CPP is None, reason="needs xllamacpp here or MMBERT_LLAMA_CPP_PYTHON")
def test_doctor_runs_llama_cpp_in_another_environment(make, tmp_path):
    done = export_gguf(make("ForMaskedLM"), tmp_path / "out", dtype="f32")
    report = json.loads(run_verb("doctor", done.output, "--json", "--python", LLAMA_CPP).stdout)
    [row] = [row for row in report["engines"] if row["engine"].startswith("llama.cpp")]
    assert report["sound"] and (row["loads"], row["basis"]) == ("yes", "ran") and "<= 0.001" in row["why"]
    record = json.loads((done.output / "export.json").read_text())
    for change in ({"input_ids": [2, 1]}, {"values": [0.0, 1.0]}):
        (done.output / "SHA256SUMS").unlink(missing_ok=True)
        (done.output / "export.json").write_text(json.dumps(record | {"self_test": record["self_test"] | change}))
        told = run_verb("doctor", done.output, "--json", "--python", LLAMA_CPP)
        rows = json.loads(told.stdout)["engines"]
        assert told.exit_code == 1 and [r["loads"] for r in rows if r["engine"].startswith("llama.cpp")] == ["wrong"]


@pytest.mark.slow
@pytest.mark.engines
@pytest.mark.skipif(LLAMA_CPP is None, reason="needs xllamacpp here or MMBERT_LLAMA_CPP_PYTHON")
def test_llama_cpp_scores_pairs_as_the_reranker_does(make, tokenizer, tmp_path):
    folder = make("ForSequenceClassification")
    done = export_gguf(folder, tmp_path / "out", dtype="f32")
    assert done.task == "text-classification" and done.pooling == "rank"
    model = mmbert.MmBertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        wanted = [model(**tokenizer(TEXTS[0], text, return_tensors="pt")).logits.item() for text in TEXTS[1:]]
    found = served(done.output / done.file, TEXTS, tmp_path, "rank")["scores"]
    np.testing.assert_allclose(found, wanted, atol=2e-3)

"""load_embedder against pooling by hand, against stock classes, and against bad input.

Numbers are compared in fp32; test_dtype.py asks in which dtype an embedder runs.
"""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from mmbert import MmBertForSequenceClassification, MmBertModel, load_embedder
from mmbert.embeddings import save_embedder
from transformers import AutoTokenizer, ModernBertModel

LONG = " ".join(["red river stone"] * 60)
TEXTS = ["red", "old house", LONG, "", "   "]


def stock_copy(encoder, folder):
    """The same weights as a checkpoint of type modernbert, written by hand."""
    shutil.copytree(encoder, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "modernbert", "architectures": ["ModernBertModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def pooled_by_hand(encoder, text, pooling):
    """One text alone, through stock ModernBERT, mean or first token; no batch, no padding, no sentence-transformers."""
    network = ModernBertModel.from_pretrained(encoder, attn_implementation="eager").eval()
    ids = AutoTokenizer.from_pretrained(encoder)(text)["input_ids"]
    with torch.no_grad():
        states = network(input_ids=torch.tensor([ids])).last_hidden_state[0].numpy()
    return states.mean(axis=0) if pooling == "mean" else states[0]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_equal_pooling_by_hand(encoder, tmp_path, pooling):
    stock = stock_copy(encoder, tmp_path / "stock")
    vectors = load_embedder(encoder, pooling=pooling, normalize=False, dtype="float32", device="cpu").encode(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        np.testing.assert_allclose(vector, pooled_by_hand(stock, text, pooling), atol=1e-5)


def test_a_fine_tuned_head_is_told(encoder, tmp_path, caplog):
    load_embedder(encoder)
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
    MmBertForSequenceClassification.from_pretrained(encoder).save_pretrained(tmp_path / "classifier")
    AutoTokenizer.from_pretrained(encoder).save_pretrained(tmp_path / "classifier")
    load_embedder(tmp_path / "classifier")
    assert "classifier is a MmBertForSequenceClassification: its head is left out" in caplog.text


def test_a_text_has_one_vector_whatever_its_neighbours(encoder):
    embedder = load_embedder(encoder, dtype="float32", device="cpu")
    alone, together = embedder.encode(["red"]), embedder.encode(["red", LONG])
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)
    np.testing.assert_allclose(embedder.encode("red"), alone[0], atol=1e-5)


def test_vectors_have_length_one_also_when_cut(encoder):
    full = load_embedder(encoder, dtype="float32", device="cpu").encode(TEXTS)
    cut = load_embedder(encoder, dims=16, dtype="float32", device="cpu").encode(TEXTS)
    np.testing.assert_allclose(np.linalg.norm(full, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(cut, full[:, :16] / np.linalg.norm(full[:, :16], axis=1, keepdims=True), atol=1e-5)


def test_a_modernbert_checkpoint_runs_on_our_network_with_the_same_vectors(encoder, tmp_path):
    embedder = load_embedder(stock_copy(encoder, tmp_path / "stock"), dtype="float32", device="cpu")
    assert isinstance(embedder[0].model, MmBertModel)
    np.testing.assert_allclose(
        embedder.encode(TEXTS), load_embedder(encoder, dtype="float32", device="cpu").encode(TEXTS), atol=1e-6
    )


def test_settings_that_give_no_vector_or_no_network_are_refused(encoder, tmp_path):
    whole = load_embedder(stock_copy(encoder, tmp_path / "stock"), dtype="float32", device="cpu")
    save_embedder(whole, tmp_path / "saved")
    (tmp_path / "saved" / "SHA256SUMS").unlink()
    modules = json.loads((tmp_path / "saved" / "modules.json").read_text())
    (tmp_path / "saved" / "modules.json").write_text(json.dumps([modules[0], modules[-1]]))
    with pytest.raises(ValueError, match=r"modules\.json of .*saved names no pooling"):
        load_embedder(tmp_path / "saved", device="cpu")
    config = json.loads((tmp_path / "stock" / "config.json").read_text())
    (tmp_path / "stock" / "config.json").write_text(json.dumps(config | {"global_attn_every_n_layers": None}))
    with pytest.raises(ValueError, match=r"cannot load .*stock: .*global_attn_every_n_layers") as refusal:
        load_embedder(tmp_path / "stock", device="cpu")
    assert "\n" not in str(refusal.value)


def test_empty_and_blank_texts_have_finite_vectors(encoder):
    vectors = load_embedder(encoder, device="cpu").encode(["", "   ", "\n\n"])
    assert np.isfinite(vectors).all() and vectors.shape == (3, 48)


@pytest.mark.parametrize("number", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(encoder, tmp_path, number):
    model = MmBertModel.from_pretrained(encoder)
    with torch.no_grad():
        model.embeddings.tok_embeddings.weight[7, 3] = number
    model.to(torch.bfloat16).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"tensor 'embeddings.tok_embeddings.weight' holds NaN or infinity"):
        load_embedder(tmp_path, device="cpu")


def test_long_texts_are_cut_at_the_limit(encoder, toy_tokenizer):
    embedder = load_embedder(encoder, max_seq_length=16, dtype="float32", device="cpu")
    head = toy_tokenizer.decode(toy_tokenizer(LONG)["input_ids"][1:15])
    np.testing.assert_allclose(embedder.encode(LONG), embedder.encode(head.strip()), atol=1e-5)
    assert load_embedder(encoder, device="cpu").max_seq_length == 512


@pytest.mark.parametrize(
    "options, message",
    [
        ({"dims": 49}, "dims must lie between 1 and the model's 48"),
        ({"dims": 0}, "dims must lie between 1"),
        ({"max_seq_length": 513}, "max_seq_length must lie between 3 and the model's 512"),
        ({"max_seq_length": 2}, "max_seq_length must lie between 3"),  # no room for a token between <bos> and <eos>
        ({"pooling": "max"}, "pooling='max' is none of mean, cls"),
        ({"dtype": "int4"}, "dtype='int4' is none of auto, float32, bfloat16, float16, int8"),
        ({"dtype": "int8", "compile": True}, "int8 is for the CPU and not compiled"),
    ],
)
def test_options_outside_the_model_are_refused(encoder, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_embedder(encoder, device="cpu", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "texts, message",
    [
        (["red", 7], "row 1: expected text, got int"),
        (["red", None], "row 1: expected text, got NoneType"),
        ([float("nan")], "row 0: expected text, got float"),
        (12, "row 0: expected text, got int"),
        ({"text": "red"}, "row 0: expected text, got dict"),
        (["red", "\ud83d"], r"row 1: character 0 is half a surrogate pair \(U\+D83D\)"),
    ],
)
def test_what_is_not_text_is_refused_by_row(encoder, texts, message):
    with pytest.raises(ValueError, match=message):
        load_embedder(encoder, device="cpu").encode(texts)


def test_a_retriever_is_told_to_be_one(encoder, tmp_path, caplog):
    load_embedder(encoder, dtype="float32").save_pretrained(str(tmp_path / "model"))
    load_embedder(tmp_path / "model")
    assert "not trained to be compared" not in caplog.text
    path = tmp_path / "model" / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "SparseEncoder"}))
    load_embedder(tmp_path / "model")
    assert "is a SparseEncoder: the mean over its encoder's tokens was not trained to be compared" in caplog.text


def test_missing_checkpoints_are_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    for path, message in [
        (tmp_path / "nowhere", "no folder of a saved model"),
        (tmp_path / "empty", "neither config.json nor modules.json"),
        ("someone/never-published", "checkpoint someone/never-published is no folder here"),
    ]:
        with pytest.raises(FileNotFoundError, match=message) as caught:
            load_embedder(path)
        assert "\n" not in str(caught.value)


def test_another_architecture_is_refused(toy_tokenizer, tmp_path):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertModel(config).save_pretrained(tmp_path)
    toy_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a bert checkpoint; give one of mmBERT or ModernBERT"):
        load_embedder(tmp_path, device="cpu")


def test_without_sentence_transformers_the_error_names_the_extra(encoder, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("sentence_transformers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.delitem(sys.modules, "mmbert.embeddings.encoding.sentence_transformers_model", raising=False)
    with pytest.raises(ImportError, match=r'pip install "mmbert\[embeddings\]"'):
        load_embedder(encoder)

"""A query is answered without torch where NumPy gives the model's vectors, and by a running server of the index."""

import json
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from mmbert import MmBertConfig, MmBertModel, load_embedder
from mmbert.embeddings import SearchIndex, save_embedder
from mmbert.embeddings.encoding.numpy_encoder import NumpyEncoder, files_stamp, proven_encoder
from mmbert.embeddings.search.served import announced, find_server
from mmbert.modeling.tokenization_mmbert import save_tokenizer

TEXTS = ["red", "", "big river house " * 40, "unseen ที่นี่ 大きい \n\t"]


@pytest.mark.parametrize("options", [{}, {"pooling": "cls"}, {"dims": 17, "max_seq_length": 30}])
def test_vectors_are_those_of_the_embedder(encoder, options):
    embedder = load_embedder(encoder, dtype="float32", **options)
    expected = embedder.encode(TEXTS, prompt="query: ")
    quick = NumpyEncoder(encoder, options.get("pooling", "mean"), options.get("dims", 48), embedder.max_seq_length)
    np.testing.assert_allclose(quick.encode(TEXTS, prompt="query: "), expected, atol=2e-6)
    assert proven_encoder(embedder, encoder, None) == files_stamp(encoder)


@pytest.mark.parametrize(
    "fields", [{"norm_bias": True, "attention_bias": True, "mlp_bias": True}, {"global_attn_every_n_layers": 2}]
)
def test_other_networks_and_saved_embedders(toy_tokenizer, tmp_path, fields):
    torch.manual_seed(1)
    sizes = {"vocab_size": len(toy_tokenizer), "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 5}
    config = MmBertConfig(**sizes, num_attention_heads=2, local_attention=6, global_rope_theta=9_000.0, **fields)
    network = MmBertModel(config)
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    network.to(torch.bfloat16).save_pretrained(tmp_path / "encoder")
    save_tokenizer(toy_tokenizer, tmp_path / "encoder")
    embedder = load_embedder(tmp_path / "encoder", dtype="float32")
    save_embedder(embedder, tmp_path / "saved")
    for folder in (tmp_path / "encoder", tmp_path / "saved"):
        vectors = NumpyEncoder(folder, "mean", 32, 512).encode(TEXTS)
        np.testing.assert_allclose(vectors, embedder.encode(TEXTS), atol=5e-6)


@pytest.mark.parametrize("activation, quick", [("Identity", True), ("Tanh", True), ("ReLU", False)])
def test_dense_layers_behind_the_pooling(encoder, tmp_path, activation, quick):
    from sentence_transformers.sentence_transformer.modules import Dense

    torch.manual_seed(2)
    embedder = load_embedder(encoder, dtype="float32")
    for place, (wide, out, bias) in enumerate([(48, 20, True), (20, 24, False)], start=2):
        embedder.insert(place, Dense(wide, out, bias=bias, activation_function=getattr(torch.nn, activation)()))
    save_embedder(embedder, tmp_path / "saved")
    embedder = load_embedder(tmp_path / "saved", dtype="float32")
    stamp = proven_encoder(embedder, tmp_path / "saved", None)
    assert (stamp is not None) == quick
    if quick:
        vectors = NumpyEncoder(tmp_path / "saved", "mean", 24, 512).encode(TEXTS)
        np.testing.assert_allclose(vectors, embedder.encode(TEXTS), atol=5e-6)
        (weights,) = (tmp_path / "saved").glob("2_Dense/*.safetensors")
        weights.write_bytes(weights.read_bytes())
        assert files_stamp(tmp_path / "saved") != stamp, "written since"


def test_what_differs_is_not_proven(encoder, tmp_path):
    assert proven_encoder(load_embedder(encoder, dtype="int8"), encoder, None) is None
    scaled = shutil.copytree(encoder, tmp_path / "scaled")
    fields = json.loads((scaled / "config.json").read_text())
    fields["rope_parameters"]["full_attention"] |= {"rope_type": "linear", "factor": 4.0}
    (scaled / "config.json").write_text(json.dumps(fields))
    assert proven_encoder(load_embedder(scaled, dtype="float32"), scaled, None) is None


@pytest.fixture(scope="module")
def made(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    model = shutil.copytree(encoder, folder / "model")
    return SearchIndex.build(folder / "index", [("a", "red house"), ("b", "snow night stone")], model).folder, model


def test_a_query_imports_no_torch(made):
    script = (
        "import sys; from mmbert.cli import main\n"
        "index = sys.argv[1]\n"
        "for mode in ('words', 'vectors', 'hybrid'):\n"
        "    sys.argv[1:] = ['search', 'query', index, 'red house', '--top', '1', '--mode', mode]\n"
        "    try: main()\n"
        "    except SystemExit as ended: assert not ended.code\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, made[0]], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("red house") == 3, done.stderr


def test_a_changed_model_is_looked_at_whole(made, tmp_path):
    index = SearchIndex.open(made[0], load_model=False)
    assert isinstance(index.model.query_encoder(made[0]), NumpyEncoder)
    expected = SearchIndex.open(made[0]).search("red")
    assert [hit.score for hit in index.search("red")] == pytest.approx([hit.score for hit in expected], abs=0.02)
    other = shutil.copytree(made[1], tmp_path / "other")
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-400:] = content[-800:-400]
    weights.write_bytes(bytes(content))
    (other / "SHA256SUMS").unlink(missing_ok=True)
    assert index.model.query_encoder(made[0], other) is None
    with pytest.raises(ValueError, match="is the index of another model"):
        SearchIndex.open(made[0], other, load_model=False).search("red")


def test_a_running_server_computes_the_vector(made, monkeypatch):
    uvicorn = pytest.importorskip("uvicorn")
    from mmbert.embeddings.search.serve import make_app

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    index, token = SearchIndex.open(made[0]), "se cret"
    app = make_app(index, token=token)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        with announced(made[0], "127.0.0.1", port, token, "another"):
            assert find_server(made[0]) is None  # somebody else's address
        with announced(made[0], "127.0.0.1", port, token, app.state.instance):
            assert (made[0] / "server.json").stat().st_mode & 0o077 == 0
            served = find_server(made[0])
            np.testing.assert_array_equal(served.encode(["red", "dog"]), index.embedder.encode(["red", "dog"]))
            quick = SearchIndex.open(made[0], load_model=False)
            monkeypatch.setattr(NumpyEncoder, "__init__", None)  # not asked
            assert [hit.document for hit in quick.search("red")] == [hit.document for hit in index.search("red")]
        assert not (made[0] / "server.json").exists()
    finally:
        server.should_exit = True
        thread.join(10)
    with announced(made[0], "127.0.0.1", port, token, app.state.instance):
        assert find_server(made[0]) is None  # what a killed server left

"""Exported folders as embedders: the vectors of torch, from ONNX Runtime and OpenVINO, in bounded batches."""

import importlib.util

import numpy as np
import pytest
from mmbert import MmBertModel, load_embedder
from mmbert.embeddings import model_fingerprint, save_embedder
from mmbert.export import export_onnx, export_openvino

from .test_token_budget import TEXTS

ENGINES = {"onnx": ("onnxruntime", "onnx", "onnxscript"), "openvino": ("openvino",)}


def needs(backend):
    missing = [name for name in ENGINES[backend] if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed")


BACKENDS = [pytest.param(name, marks=needs(name)) for name in ENGINES]


@pytest.fixture(scope="module")
def exported(encoder, tmp_path_factory):
    """Export once for each engine, task and dtype."""
    folder, made = tmp_path_factory.mktemp("exported"), {}

    def export(backend, task="embedding", quantize="none"):
        if (backend, task, quantize) not in made:
            output = folder / f"{backend}-{task}-{quantize}"
            write = export_onnx if backend == "onnx" else export_openvino
            write(encoder, output, task=task, quantize=quantize)
            made[backend, task, quantize] = output
        return made[backend, task, quantize]

    return export


@pytest.fixture(scope="module")
def expected(encoder):
    return load_embedder(encoder, dtype="float32", device="cpu").encode(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", ["embedding", "feature-extraction"])
def test_vectors_are_those_of_torch(exported, expected, backend, task):
    embedder = load_embedder(exported(backend, task), backend=backend, token_budget=200)
    np.testing.assert_allclose(embedder.encode(TEXTS), expected, atol=1e-5)
    cut = expected[:, :16] / np.linalg.norm(expected[:, :16], axis=1, keepdims=True)
    embedder = load_embedder(exported(backend, task), backend=backend, dims=16, max_seq_length=512)
    np.testing.assert_allclose(embedder.encode(TEXTS), cut, atol=1e-5)
    assert embedder.encode("red").shape == (16,) and embedder.last_encoding.tokens > 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_torch_is_told_which_backend_reads_a_graph(exported, backend):
    kind = {"onnx": "ONNX", "openvino": "OpenVINO"}[backend]
    told = f"is a model for {kind}, for running only; load it with backend='{backend}', or give the one it is made of"
    with pytest.raises(ValueError, match=told):
        load_embedder(exported(backend))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_prompts_and_pooling_follow_in_torch(encoder, exported, backend):
    folder = exported(backend, "feature-extraction")
    for options in ({"pooling": "cls"}, {"pooling": "mean"}):
        torch_one = load_embedder(encoder, dtype="float32", device="cpu", **options)
        engine = load_embedder(folder, backend=backend, **options)
        for one in (torch_one, engine):
            one.set_pooling_include_prompt(False)
        np.testing.assert_allclose(
            engine.encode(TEXTS[2:9], prompt="old dog "), torch_one.encode(TEXTS[2:9], prompt="old dog "), atol=1e-5
        )


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_int8_is_asked_for_by_name_and_near(exported, expected, backend):
    folder = exported(backend, quantize="int8")
    embedder = load_embedder(folder, backend=backend, dtype="int8")
    assert ((embedder.encode(TEXTS) * expected).sum(axis=1) > 0.95).all()
    with pytest.raises(ValueError, match="was exported in int8, got dtype 'float32'"):
        load_embedder(folder, backend=backend, dtype="float32")
    with pytest.raises(ValueError, match="was exported in float32, got dtype 'int8'"):
        load_embedder(exported(backend), backend=backend, dtype="int8")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_an_exported_embedder_cannot_do_is_refused(exported, backend, tmp_path):
    folder = exported(backend)
    with pytest.raises(ValueError, match="pools inside its graph with 'mean', got pooling='cls'; leave it out"):
        load_embedder(folder, backend=backend, pooling="cls")
    with pytest.raises(ValueError, match="gives vectors of length 1, got normalize=False; export it with"):
        load_embedder(folder, backend=backend, normalize=False)
    embedder = load_embedder(folder, backend=backend, pooling="mean")
    with pytest.raises(ValueError, match="an exported embedder is not saved"):
        embedder.save_pretrained(str(tmp_path / "saved"))
    with pytest.raises(ValueError, match="dims must lie between 1 and the model's 48"):
        load_embedder(folder, backend=backend, dims=49)
    with pytest.raises(ValueError, match="max_seq_length must lie between 3 and the model's 512"):
        load_embedder(folder, backend=backend, max_seq_length=513)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pool_opens_the_engine_in_each_process(exported, expected, backend):
    embedder = load_embedder(exported(backend), backend=backend)
    assert model_fingerprint(embedder) != model_fingerprint(
        load_embedder(exported(backend, "feature-extraction"), backend=backend)
    )
    pool = embedder.start_multi_process_pool(["cpu", "cpu"])
    try:
        np.testing.assert_allclose(embedder.encode(TEXTS, pool=pool), expected, atol=1e-5)
    finally:
        embedder.stop_multi_process_pool(pool)


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("task", ["embedding", "feature-extraction"])
def test_prompts_limit_and_pooling_of_a_saved_embedder_come_along(encoder, tmp_path, backend, task):
    options = {"max_seq_length": 32, "prompts": {"question": "old house "}, "default_prompt": "question"}
    torch_one = load_embedder(encoder, pooling="cls", dtype="float32", device="cpu", **options)
    if task == "feature-extraction":
        torch_one.set_pooling_include_prompt(False)
    save_embedder(torch_one, tmp_path / "saved")
    write = export_onnx if backend == "onnx" else export_openvino
    engine = load_embedder(write(tmp_path / "saved", tmp_path / "out", task=task).output, backend=backend)
    assert engine.max_seq_length == 32
    np.testing.assert_allclose(engine.encode(TEXTS), torch_one.encode(TEXTS), atol=1e-5)
    plain = [one.encode(TEXTS[:9], prompt="") for one in (engine, torch_one)]
    np.testing.assert_allclose(*plain, atol=1e-5)
    assert engine.last_encoding.cut == torch_one.last_encoding.cut
    if task == "feature-extraction":
        with pytest.raises(ValueError, match="leaves prompts out, which a graph cannot; export it for feature-extr"):
            write(tmp_path / "saved", tmp_path / "other", task="embedding")


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_exports_of_two_models_have_two_fingerprints(encoder, exported, tmp_path, backend):
    other = MmBertModel.from_pretrained(encoder)
    other.final_norm.weight.data[0] += 1
    other.save_pretrained(tmp_path / "other")
    load_embedder(encoder, device="cpu").tokenizer.save_pretrained(tmp_path / "other")
    write = export_onnx if backend == "onnx" else export_openvino
    folders = [exported(backend), write(tmp_path / "other", tmp_path / "out", task="embedding").output]
    prints = [model_fingerprint(load_embedder(folder, backend=backend)) for folder in (*folders, folders[0])]
    assert prints[0] == prints[2] != prints[1]
    if backend == "openvino":
        rounded = load_embedder(folders[0], backend=backend, dtype="bfloat16")
        assert model_fingerprint(rounded) != prints[0]


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_a_folder_that_was_not_exported_is_refused(encoder, backend):
    with pytest.raises(
        FileNotFoundError, match=r"holds no export\.json: .* mmbert export, or leave backend out"
    ) as caught:
        load_embedder(encoder, backend=backend)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"backend": "tensorrt"}, "backend='tensorrt' is none of torch, onnx, openvino"),
        ({"backend": "onnx", "compile": True}, "runs on the CPU and is not compiled"),
        ({"backend": "onnx", "device": "cuda"}, "runs on the CPU and is not compiled"),
        ({"backend": "onnx", "dtype": "float16"}, "dtype='float16' is none of auto, float32, int8"),
        ({"backend": "onnx", "dtype": "bfloat16"}, "dtype='bfloat16' is none of auto, float32, int8"),
        ({"backend": "openvino", "dtype": "float16"}, "dtype='float16' is none of auto, float32, bfloat16, int8"),
    ],
)
def test_options_that_no_engine_has_are_refused(encoder, options, message):
    with pytest.raises(ValueError, match=message):
        load_embedder(encoder, **options)

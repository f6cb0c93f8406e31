"""In which dtype an embedder runs when nobody says so, what is said about it, and what must not happen to it."""

import copy
import logging

import numpy as np
import pytest
import torch
from mmbert import MmBertModel, load_embedder
from mmbert.embeddings import model_fingerprint, save_embedder
from mmbert.embeddings.encoding import load as loader
from mmbert.modeling import hardware
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer.modules import Dense
from transformers import AutoTokenizer

TEXTS = ["red", "old house", " ".join(["red river stone"] * 60), ""]


@pytest.fixture
def with_bf16(monkeypatch):
    """A processor with bf16 instructions, on which nothing was said yet."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(hardware, "usable_cores", lambda: torch.get_num_threads() + 1)
    monkeypatch.setattr(loader, "_announced", set())


@pytest.fixture
def without_bf16(monkeypatch):
    """A processor without, on which nothing was said yet."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False}, raising=False)
    monkeypatch.setattr(loader, "_announced", set())


@pytest.fixture(scope="module")
def half_encoder(encoder, tmp_path_factory):
    """The same encoder as a checkpoint in bf16."""
    folder = tmp_path_factory.mktemp("half")
    MmBertModel.from_pretrained(encoder, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(encoder).save_pretrained(folder)
    return folder


def announcements(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("mmbert")]


def dtype_of(checkpoint, **options):
    return load_embedder(checkpoint, device="cpu", **options)[0].model.dtype


def test_a_processor_with_bf16_instructions_embeds_in_bf16(with_bf16, encoder, half_encoder):
    assert dtype_of(encoder) == dtype_of(half_encoder) == torch.bfloat16


def test_a_table_in_bf16_stays_in_its_file_and_gives_the_same_numbers(without_bf16, half_encoder, tmp_path):
    lazy, wide = (load_embedder(half_encoder, device="cpu", dtype=dtype) for dtype in (None, "float32"))
    dtypes = {name: parameter.dtype for name, parameter in lazy.named_parameters()}
    assert dtypes.pop("0.model.embeddings.tok_embeddings.weight") == torch.bfloat16
    assert set(dtypes.values()) == {torch.float32} and lazy[0].model.dtype == torch.float32
    np.testing.assert_array_equal(lazy.encode(TEXTS), wide.encode(TEXTS))
    assert model_fingerprint(lazy) == model_fingerprint(wide)
    for embedder in (copy.deepcopy(lazy), lazy):
        optimizer = torch.optim.SGD(embedder.parameters(), lr=0.1)  # made before training begins, as Trainer does
        features = embedder.train().preprocess(TEXTS[:2])
        embedder(features)["sentence_embedding"][:, 0].sum().backward()
        optimizer.step()
        assert embedder[0].model.get_input_embeddings().weight.dtype == torch.float32
    wide.train()(wide.preprocess(TEXTS[:2]))["sentence_embedding"][:, 0].sum().backward()
    torch.optim.SGD(wide.parameters(), lr=0.1).step()
    for name, tensor in wide.state_dict().items():
        assert torch.equal(tensor, lazy.state_dict()[name]), name
    lazy.eval().save(str(tmp_path / "saved"))
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}


def test_weights_put_over_a_table_in_its_file_keep_their_precision(without_bf16, encoder, half_encoder):
    lazy, wide = load_embedder(half_encoder, device="cpu"), load_embedder(encoder, device="cpu", dtype="float32")
    lazy.load_state_dict(wide.state_dict())
    np.testing.assert_array_equal(lazy.encode(TEXTS), wide.encode(TEXTS))
    assert lazy.to(torch.bfloat16).encode(TEXTS).shape == (4, 48)


def test_a_processor_without_them_embeds_in_fp32(without_bf16, encoder, half_encoder):
    assert dtype_of(encoder) == dtype_of(half_encoder) == torch.float32


@pytest.mark.parametrize("machine", ["with_bf16", "without_bf16"])
def test_the_users_choice_wins(machine, request, encoder, half_encoder):
    request.getfixturevalue(machine)
    for name in ("float32", "bfloat16", "float16"):
        assert dtype_of(encoder, dtype=name) == dtype_of(half_encoder, dtype=name) == getattr(torch, name)
    assert dtype_of(encoder, dtype="auto") == torch.float32
    assert dtype_of(half_encoder, dtype="auto") == torch.bfloat16


def test_from_pretrained_keeps_the_checkpoints_dtype(with_bf16, encoder):
    assert MmBertModel.from_pretrained(encoder).dtype == torch.float32


@pytest.mark.parametrize("options", [{}, {"dtype": "bfloat16"}], ids=["unasked", "asked"])
def test_vectors_of_bf16_are_fp32_of_length_one_and_close_to_those_of_fp32(with_bf16, encoder, options):
    exact = load_embedder(encoder, dtype="float32", device="cpu").encode(TEXTS)
    embedder = load_embedder(encoder, device="cpu", **options)
    vectors = embedder.encode(TEXTS)
    assert vectors.dtype == np.float32 and embedder.encode(TEXTS, convert_to_tensor=True).dtype == torch.float32
    # Pooled or normalised in bf16, lengths would be off by up to 2**-9.
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # Weights and states are rounded to 8 bits. Measured: 1 - cosine is 6e-6 to 1.4e-5.
    assert ((vectors * exact).sum(axis=1) > 1 - 1e-4).all()
    assert np.abs(vectors - exact).max() > 1e-5  # it did run in bf16


def test_modules_after_the_network_run_in_fp32(with_bf16, encoder, tmp_path):
    embedder = load_embedder(encoder, dtype="float32", normalize=False, device="cpu")
    torch.manual_seed(0)
    embedder.append(Dense(48, 8))
    embedder.save_pretrained(str(tmp_path / "dense"))
    exact = load_embedder(tmp_path / "dense", dtype="float32", device="cpu").encode(TEXTS)
    vectors = load_embedder(tmp_path / "dense", device="cpu").encode(TEXTS)
    assert vectors.shape == (4, 8) and ((vectors * exact).sum(axis=1) > 1 - 1e-3).all()


def test_what_runs_is_said_once(with_bf16, encoder, caplog):
    caplog.set_level(logging.INFO)
    for _ in range(3):
        load_embedder(encoder, device="cpu")
    (line,) = announcements(caplog)
    assert line.startswith("embedding in bfloat16, sdpa (sliding layers in blocks), ") and "on cpu" in line
    assert f"faster: OMP_NUM_THREADS={torch.get_num_threads() + 1}; " in line
    assert line.endswith('rounded from float32, which dtype="auto" keeps')


def test_the_attention_that_the_device_is_fast_with_is_taken(encoder, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(loader, "_announced", set())
    monkeypatch.setattr(loader, "preferred_attention", lambda device, dtype: "eager")  # flash needs a GPU
    plain = load_embedder(encoder, dtype="float32", device="cpu")
    assert plain[0].model.config._attn_implementation == "eager" and "float32, eager" in announcements(caplog)[0]
    monkeypatch.undo()
    expected = load_embedder(encoder, dtype="float32", device="cpu").encode(TEXTS)
    np.testing.assert_allclose(plain.encode(TEXTS), expected, atol=1e-5)


def test_who_chose_is_told_what_runs_and_no_more(with_bf16, encoder, caplog):
    caplog.set_level(logging.INFO)
    load_embedder(encoder, dtype="float32", device="cpu")
    (line,) = announcements(caplog)
    assert line.startswith("embedding in float32, sdpa ") and "faster" not in line and "rounded" not in line


def test_nothing_was_rounded_where_the_checkpoint_is_bf16(with_bf16, half_encoder, caplog, tmp_path):
    caplog.set_level(logging.INFO)
    embedder = load_embedder(half_encoder, device="cpu")
    assert not any("rounded" in line for line in announcements(caplog))
    embedder.save_pretrained(str(tmp_path / "saved"))


def test_weights_rounded_unasked_are_not_saved(with_bf16, encoder, tmp_path):
    embedder = load_embedder(encoder, device="cpu")
    for save in (embedder.save, embedder.save_pretrained, lambda path: save_embedder(embedder, path)):
        with pytest.raises(ValueError, match=r'rounded from float32 .* saved .*dtype="float32"') as caught:
            save(str(tmp_path / "saved"))
        assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, stored", [("float32", torch.float32), ("auto", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_weights_are_saved_in_the_dtype_that_was_asked_for(with_bf16, encoder, tmp_path, name, stored):
    save_embedder(load_embedder(encoder, dtype=name, device="cpu"), tmp_path / "saved")
    assert {tensor.dtype for tensor in load_file(tmp_path / "saved" / "model.safetensors").values()} == {stored}


def test_weights_rounded_unasked_are_not_trained(with_bf16, encoder):
    with pytest.raises(ValueError, match=r'rounded from float32 .* trained .*dtype="float32"'):
        load_embedder(encoder, device="cpu").train()
    embedder = load_embedder(encoder, dtype="float32", device="cpu").train()
    assert embedder.training and not embedder.eval().training


def test_a_copy_of_an_embedder_in_bf16_gives_the_same_vectors(with_bf16, encoder):
    embedder = load_embedder(encoder, device="cpu")
    np.testing.assert_array_equal(copy.deepcopy(embedder).encode(TEXTS), embedder.encode(TEXTS))


def test_int8_embeds_close_to_fp32_and_is_copied_but_neither_saved_nor_trained(encoder, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(loader, "_announced", set())
    exact = load_embedder(encoder, dtype="float32", device="cpu")
    embedder = load_embedder(encoder, dtype="int8", device="cpu", dims=16, prompts={"query": "old "})
    expected = exact.encode(TEXTS, prompt="old ")[:, :16]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    vectors = embedder.encode(TEXTS, prompt_name="query")
    assert (vectors * expected).sum(axis=1).min() > 0.999 and np.abs(vectors - expected).max() > 1e-6
    assert sum("linear layers in int8" in line for line in announcements(caplog)) == 1
    np.testing.assert_array_equal(copy.deepcopy(embedder).encode(TEXTS, prompt_name="query"), vectors)
    for refused in (lambda: save_embedder(embedder, tmp_path / "saved"), embedder.train):
        with pytest.raises(ValueError, match=r'rounded from float32 .*dtype="float32"'):
            refused()
    assert not list(tmp_path.iterdir())
    prints = [model_fingerprint(one) for one in (embedder, load_embedder(encoder, dtype="int8", device="cpu"), exact)]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.slow
def test_a_pool_of_processes_embeds_in_int8(encoder):
    embedder = load_embedder(encoder, dtype="int8", device="cpu")
    pool = embedder.start_multi_process_pool(["cpu", "cpu"])
    try:
        np.testing.assert_allclose(embedder.encode(TEXTS, pool=pool), embedder.encode(TEXTS), atol=1e-5)
    finally:
        embedder.stop_multi_process_pool(pool)


@pytest.mark.parametrize(
    "name, message",
    [("gpu", "device='gpu' is none that torch knows"), ("cuda:99", "device='cuda:99' is not here, torch")],
)
def test_an_unknown_device_is_refused_in_one_line(encoder, name, message):
    embedder = load_embedder(encoder, dtype="float32", device="cpu")
    for use in (lambda: load_embedder(encoder, device=name), lambda: embedder.start_multi_process_pool(["cpu", name])):
        with pytest.raises(ValueError, match=message) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_without_a_compiler_compiling_is_refused_before_anything_is_loaded(encoder):
    with torch._inductor.config.patch({"cpp.cxx": (None, "no-such-compiler")}):
        with pytest.raises(ValueError, match=r"needs a C\+\+ compiler .* install g\+\+ .* leave compile out") as caught:
            load_embedder(encoder, compile=True, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 5e-3)])
def test_compiled_vectors_are_the_same(encoder, dtype, tolerance):
    plain = load_embedder(encoder, dtype=dtype, device="cpu").encode(TEXTS)
    compiled = load_embedder(encoder, dtype=dtype, compile=True, device="cpu").encode(TEXTS)
    np.testing.assert_allclose(compiled, plain, atol=tolerance)

"""Exported graphs against the checkpoint in torch: other batches and lengths, every task, int8, adapters; refusals."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap

import mmbert
import numpy as np
import pytest
import torch
import typer
from mmbert.cli.checkpoints.export import export
from mmbert.export import export_gguf, export_onnx, export_openvino, open_runtime
from mmbert.export.graphs.noise import output_into
from safetensors.torch import load_file, save_file
from tests_support import run_forked, run_verb
from transformers import ModernBertModel
from typer.testing import CliRunner

TEXTS = ["el sol sale", "the sun rises", "das Licht", "太陽が昇る"]
FORMATS = {"onnx": export_onnx, "openvino": export_openvino}
if not importlib.util.find_spec("onnxscript") or not importlib.util.find_spec("openvino"):
    pytest.skip("needs the extras onnx and openvino", allow_module_level=True)


@pytest.fixture(scope="module")
def exported(plain, tmp_path_factory):
    return export_onnx(plain, tmp_path_factory.mktemp("onnx") / "out", task="embedding", dims=20).output


def batch(rows, length, vocabulary=60):
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(5, vocabulary, (rows, length), generator=generator)
    mask = torch.ones_like(ids)
    if rows > 1:
        mask[1, length // 2 :] = 0
        mask[-1, : length // 3] = 0
    return ids, mask


def stock_vectors(folder, ids, mask, dims=20):
    """Mean over real tokens, cut, length 1: on stock ModernBERT, eager, by hand."""
    network = mmbert.MmBertModel.from_pretrained(folder)
    fields = network.config.to_dict() | {"model_type": "modernbert"}
    from transformers import ModernBertConfig

    stock = ModernBertModel(ModernBertConfig(**fields)).eval()
    stock.set_attn_implementation("eager")
    stock.load_state_dict(network.state_dict())
    with torch.no_grad():
        states = stock(ids, mask).last_hidden_state.numpy()
    mean = np.stack([row[keep.astype(bool)].mean(0) for row, keep in zip(states, mask.numpy(), strict=True)])[:, :dims]
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


def test_one_graph_serves_every_batch_and_length(plain, exported):
    runtime = open_runtime(exported)
    for rows, length in ((1, 1), (1, 3), (3, 16), (2, 37), (5, 130)):
        ids, mask = batch(rows, length)
        if length < 3:
            mask[:] = 1
        np.testing.assert_allclose(runtime.encode_batch(ids, mask), stock_vectors(plain, ids, mask), atol=1e-5)


@pytest.mark.parametrize("export", FORMATS.values(), ids=FORMATS)
def test_linear_layers_behind_the_pooling_are_in_the_graph(plain, tmp_path, export):
    from sentence_transformers.sentence_transformer.modules import Dense

    embedder = mmbert.load_embedder(plain, dtype="float32", device="cpu")
    tail = embedder.pop(len(embedder) - 1)
    width = embedder[1].get_embedding_dimension()
    embedder.append(Dense(width, 24))  # tanh, with a bias
    embedder.append(Dense(24, 12, bias=False, activation_function=torch.nn.Identity()))
    embedder.append(tail)
    embedder.save(str(tmp_path / "saved"))
    out = export(tmp_path / "saved", tmp_path / "out").output
    wanted = mmbert.load_embedder(tmp_path / "saved", dtype="float32", device="cpu").encode(TEXTS)
    assert wanted.shape == (len(TEXTS), 12)
    found = mmbert.load_embedder(out, backend=json.loads((out / "parity.json").read_text())["format"]).encode(TEXTS)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    kinds = [module["type"].rsplit(".", 1)[-1] for module in json.loads((out / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Dense", "Dense", "Normalize"], "for those who pool by themselves"
    with pytest.raises(ValueError, match="runs no linear layer behind the pooling"):
        export_gguf(tmp_path / "saved", tmp_path / "gguf")


def test_the_folder_tells_what_it_is(exported):
    record = json.loads((exported / "export.json").read_text())
    assert record["task"] == "embedding" and record["dimensions"] == record["dims"] == 20 and record["normalized"]
    parity = json.loads((exported / "parity.json").read_text())
    assert parity["format"] == "onnx" and parity["cosine"] > 0.99999 and parity["max_difference"] < 1e-5
    assert json.loads((exported / "config.json").read_text())["model_type"] == "modernbert"
    assert [module["path"] for module in json.loads((exported / "modules.json").read_text())][1] == "1_Pooling"
    assert sorted(p.name for p in (exported / "onnx").iterdir()) == ["model.onnx"]
    assert "transformers.js_config" not in json.loads((exported / "config.json").read_text())


def test_axes_have_names_and_operators_are_standard(exported):
    import onnx

    model = onnx.load(exported / "onnx" / "model.onnx")
    assert [d.dim_param for d in model.graph.input[0].type.tensor_type.shape.dim] == ["batch", "length"]
    assert {node.domain for node in model.graph.node} == {""}
    onnx.checker.check_model(model)


def test_input_that_the_graph_cannot_read_is_refused_in_one_line(exported):
    runtime = open_runtime(exported, threads=1)
    ids, mask = batch(2, 5)
    for wrong, match in (
        ((ids, mask[:, :3]), r"one shape \(batch, length\), got \(2, 5\) and \(2, 3\)"),
        ((ids[:, :0], mask[:, :0]), r"got \(2, 0\)"),
        ((ids + 10_000, mask), "ONNX Runtime refuses the batch: .*ndices"),
        ((np.ones((1, 9000)), np.ones((1, 9000))), "9000 tokens, the model reads at most 8192"),
    ):
        with pytest.raises(ValueError, match=match) as caught:
            runtime.encode_batch(*wrong)
        assert "\n" not in str(caught.value)


def test_token_vectors_come_first_and_converters_print_into_a_file(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported / "onnx" / "model.onnx"))
    assert [output.name for output in session.get_outputs()] == ["last_hidden_state", "sentence_embedding"]
    assert (exported / "export.log").is_file() and str(exported.parent) not in (exported / "export.log").read_text()


def test_the_terminal_has_our_lines_and_the_file_those_of_converters(plain, tmp_path):
    done = run_forked("mmbert", "export", plain, "out", "--format", "onnx", "--task", "embedding", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d  ", line)], done.stderr
    exported, compared = done.stdout.splitlines()
    assert exported.startswith("exported embedding: out/onnx/model.onnx") and compared.startswith(
        "onnx float32 against"
    )
    theirs = (tmp_path / "out" / "export.log").read_text(encoding="utf-8")
    assert "onnx" in theirs and theirs.count("\n") >= 10
    assert "exported embedding" not in theirs


def test_the_log_of_a_conversion_that_failed_is_kept_and_named(tmp_path, capfd):
    (tmp_path / "partial").mkdir()
    with pytest.raises(ValueError, match=r"out was not written: no such operator; .* is in .*out\.export\.log$"):
        with output_into(tmp_path / "partial", tmp_path / "out"):
            print("a library")  # noqa: T201
            os.write(2, b"native code\n")
            raise RuntimeError("no such operator\nand forty more lines")
    assert set((tmp_path / "out.export.log").read_text().splitlines()) == {"a library", "native code"}
    assert capfd.readouterr() == ("", "") and not (tmp_path / "out").exists()
    with pytest.raises(OSError, match="No space left"), output_into(tmp_path / "partial", tmp_path / "full"):
        raise OSError(28, "No space left on device")
    assert not (tmp_path / "full.export.log").exists()


def test_doctor_runs_an_export(exported, tmp_path):
    found = json.loads(run_verb("doctor", exported, "--json").stdout)
    ran = found["engines"][0]
    assert (
        found["sound"] and ran["engine"].startswith("ONNX Runtime") and (ran["loads"], ran["basis"]) == ("yes", "ran")
    )
    assert "checksums agree" in found["export"]
    damaged = shutil.copytree(exported, tmp_path / "damaged")
    (damaged / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match=r"damaged/tokenizer.json is missing, though SHA256SUMS names it"):
        run_verb("doctor", damaged)
    (damaged / "SHA256SUMS").unlink()
    rows = json.loads(run_verb("doctor", damaged, "--no-run", "--json").stdout)["engines"]
    assert [row["loads"] for row in rows][:2] == ["unknown", "no"] and rows[1]["why"] == "there is no tokenizer.json"
    with pytest.raises(ValueError, match=r"/false: no message; give a Python with onnxruntime"):
        run_verb("doctor", damaged, "--python", "/bin/false")
    record = json.loads((damaged / "export.json").read_text())
    record["self_test"]["values"][0] += 1.0
    (damaged / "export.json").write_text(json.dumps(record))
    done = run_verb("doctor", damaged, "--json")
    assert done.exit_code == 1 and json.loads(done.stdout)["engines"][0]["loads"] == "wrong"


@pytest.mark.slow
def test_retrievers_and_readers_of_answers_keep_their_heads(make, tokenizer, tmp_path):
    """Against sentence-transformers' own scores; no task is named."""
    pytest.importorskip("sentence_transformers")
    from mmbert.embeddings import load_multi_vector, load_reranker, load_sparse_encoder

    texts = ["el sol sale", "das"]
    inputs = tokenizer(texts, padding=True, return_tensors="np")
    sparse = load_sparse_encoder(make("ForMaskedLM"), device="cpu")
    colbert = load_multi_vector(make(), dims=16, device="cpu")
    reranker = load_reranker(make("ForSequenceClassification", num_labels=1), device="cpu")
    found = {}
    for name, model in (("sparse", sparse), ("colbert", colbert), ("reranker", reranker)):
        model.save_pretrained(str(tmp_path / name))
        saved = "".join((tmp_path / name / file).read_text() for file in ("config.json", "modules.json"))
        assert "mmbert" not in saved.lower() and "ModernBert" in saved  # plain sentence-transformers reads it
        found[name] = export_onnx(tmp_path / name, tmp_path / f"{name}-onnx")
    tasks = ["sparse-embedding", "token-embedding", "text-classification"]
    assert [done.task for done in found.values()] == tasks
    run = {name: open_runtime(done.output).encode_batch for name, done in found.items()}
    wanted = sparse.encode(texts).to_dense().numpy()
    np.testing.assert_allclose(run["sparse"](inputs["input_ids"], inputs["attention_mask"]), wanted, atol=1e-5)
    rows = run["colbert"](inputs["input_ids"], inputs["attention_mask"])
    for row, vectors in zip(rows, colbert.encode(texts), strict=True):
        np.testing.assert_allclose(row[: len(vectors)], np.asarray(vectors), atol=1e-5)
    pair = tokenizer("el sol", "das Licht", return_tensors="np")
    score = reranker.predict([("el sol", "das Licht")], activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(run["reranker"](pair["input_ids"], pair["attention_mask"])[0], score, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "head, task",
    [
        ("Model", "feature-extraction"),
        ("ForMaskedLM", "fill-mask"),
        ("ForSequenceClassification", "text-classification"),
        ("ForTokenClassification", "token-classification"),
        ("ForQuestionAnswering", "question-answering"),
    ],
)
def test_every_task_gives_the_numbers_of_its_class(make, tmp_path, kind, head, task):
    pytest.importorskip("openvino" if kind == "openvino" else "onnxscript")
    folder = make(head, classifier_pooling="cls")
    done = FORMATS[kind](folder, tmp_path / "out")
    assert done.task == task
    runtime, model = open_runtime(done.output), getattr(mmbert, f"MmBert{head}").from_pretrained(folder)
    for rows, length in ((1, 5), (3, 40)):
        ids, mask = batch(rows, length)
        with torch.no_grad():
            outputs = model(ids, mask)
        ours = outputs[0].numpy() if task != "question-answering" else np.stack((outputs[0], outputs[1]), -1)
        theirs = runtime.encode_batch(ids, mask)
        real = mask.numpy().astype(bool) if ours.ndim == 3 else slice(None)
        np.testing.assert_allclose(theirs[real], ours[real], atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0, 2, 3])
def test_levels_of_optimisation_give_the_same_numbers(plain, tmp_path, level):
    done = export_onnx(plain, tmp_path / "out", optimize=level)
    assert done.parity.max_difference < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, quantize, file, cosine, share",
    [
        ("onnx", "fp16", "onnx/model_fp16.onnx", 0.9999, 0.75),
        ("onnx", "int8", "onnx/model_quantized.onnx", 0.99, 0.6),
        ("onnx", "int8-static", "onnx/model_qint8_static.onnx", 0.98, 0.6),
        ("onnx", "q4", "onnx/model_q4.onnx", 0.95, 0.6),
        ("openvino", "int8", "openvino/openvino_model_qint8.xml", 0.99, 0.6),
        ("openvino", "int8-static", "openvino/openvino_model_qint8_static.xml", 0.98, 0.6),
    ],
)
def test_fewer_bits_are_small_and_near(plain, exported, tmp_path, kind, quantize, file, cosine, share):
    if kind == "openvino":
        pytest.importorskip("nncf")
    texts = TEXTS * 4 if quantize == "int8-static" else None
    done = FORMATS[kind](plain, tmp_path / "out", task="embedding", dims=20, quantize=quantize, calibration=texts)
    assert (done.file, done.parity.dtype) == (file, quantize) and done.parity.cosine > cosine
    ids, mask = batch(3, 40)
    near = (open_runtime(done.output).encode_batch(ids, mask) * open_runtime(exported).encode_batch(ids, mask)).sum(1)
    assert near.min() > cosine - 0.01
    weights = [file.stat().st_size for file in (done.output / done.file).parent.iterdir() if file.suffix != ".xml"]
    assert sum(weights) < share * (exported / "onnx" / "model.onnx").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("quantize, level", [("none", 0), ("none", 2), ("fp16", 1), ("int8", 1), ("q4", 1)])
def test_weights_beyond_the_limit_lie_where_browsers_look(plain, tmp_path, quantize, level):
    """transformers.js 4.3.2 fetches NAME.onnx_data if config.json counts it, and gives it that name to the runtime."""
    import onnx

    done = export_onnx(plain, tmp_path / "out", task="embedding", quantize=quantize, optimize=level, weights_limit=1000)
    name = (done.output / done.file).name
    assert sorted(file.name for file in (done.output / "onnx").iterdir()) == [name, f"{name}_data"]
    tensors = onnx.load(done.output / done.file, load_external_data=False).graph.initializer
    assert {entry.value for one in tensors for entry in one.external_data if entry.key == "location"} == {
        f"{name}_data"
    }
    config = json.loads((done.output / "config.json").read_text())
    assert config["transformers.js_config"] == {"use_external_data_format": {name: 1}}
    ids, mask = batch(2, 12)
    near = (open_runtime(done.output).encode_batch(ids, mask) * stock_vectors(plain, ids, mask, None)).sum(1)
    assert near.min() > {"none": 0.99999, "fp16": 0.999, "int8": 0.98, "q4": 0.94}[quantize]


@pytest.mark.slow
def test_half_numbers_reach_as_far_as_the_model_reads(plain, tmp_path):
    """Whole numbers above 2,048 have no fp16: positions and sums over tokens must not be in it."""
    export_onnx(plain, tmp_path / "fp16", task="embedding", quantize="fp16")
    ids, mask = batch(1, 3000)
    [found], [expected] = open_runtime(tmp_path / "fp16").encode_batch(ids, mask), stock_vectors(plain, ids, mask, None)
    length = float(np.linalg.norm(found))  # 1 but for the rounding of fp16
    assert abs(length - 1) < 1e-3 and found @ expected / length > 0.9999


@pytest.mark.slow
def test_weights_that_rounding_destroys_are_refused(plain, tmp_path, monkeypatch):
    from mmbert.export.graphs import parity

    monkeypatch.setitem(parity._MEAN, "q4", 0.9999999)
    with pytest.raises(ValueError, match=r"not written: mean cosine 0\.\d+, q4 wants 0.9999999; choose more bits"):
        export_onnx(plain, tmp_path / "out", quantize="q4")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_an_exported_embedder_gives_vectors_of_tokens_too(plain, tmp_path, kind):
    embedder = mmbert.load_embedder(plain, dtype="float32", device="cpu", max_seq_length=24)
    embedder.save(str(tmp_path / "embedder"))
    FORMATS[kind](tmp_path / "embedder", tmp_path / "out")
    served = mmbert.load_embedder(tmp_path / "out", backend=kind)
    assert json.loads((tmp_path / "out" / "sentence_bert_config.json").read_text())["max_seq_length"] == 24
    for ours, theirs in zip(
        embedder.encode(TEXTS, output_value="token_embeddings"),
        served.encode(TEXTS, output_value="token_embeddings"),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    np.testing.assert_allclose(embedder.encode(sentences=TEXTS), served.encode(TEXTS), atol=1e-5)


@pytest.mark.slow
def test_an_adapter_trained_with_a_head_reaches_the_encoder(make, tmp_path):
    """peft leaves an adapter whose names do not fit untrained, with a warning only."""
    peft = pytest.importorskip("peft")
    ids, mask = batch(2, 12)
    for head, options in (
        ("ForMaskedLM", {"target_modules": "all-linear"}),
        ("ForMaskedLM", {"target_modules": ["Wqkv"], "trainable_token_indices": {"tok_embeddings": [7, 8]}}),
        ("ForMaskedLM", {"target_modules": ["tok_embeddings"]}),
        ("Model", {"target_modules": ["Wqkv"]}),
    ):
        model = getattr(mmbert, f"MmBert{head}").from_pretrained(make(head))
        adapted = peft.get_peft_model(model, peft.LoraConfig(**options)).eval()
        for name, parameter in adapted.named_parameters():
            if any(part in name for part in ("lora_B", "lora_embedding_B", "trainable_tokens_delta")):
                torch.nn.init.normal_(parameter, std=0.1)
        folder, out = (tmp_path / f"{head}-{'-'.join(options)}-{len(options['target_modules'])}{kind}" for kind in "ao")
        adapted.save_pretrained(folder)
        with torch.no_grad():
            encoder = adapted.base_model.model
            states = getattr(encoder, "model", encoder)(ids, mask).last_hidden_state.numpy()
        served = open_runtime(export_onnx(folder, out, task="feature-extraction").output).encode_batch(ids, mask)
        np.testing.assert_allclose(served[mask.bool()], states[mask.bool()], atol=5e-5)
    names = load_file(folder / "adapter_model.safetensors")
    save_file(dict(list(names.items())[1:]), folder / "adapter_model.safetensors")
    with pytest.raises(ValueError, match=r"does not fit its base: .*it has no base_model"):
        export_onnx(folder, tmp_path / "none")


@pytest.mark.slow
def test_an_adapter_is_merged_and_keeps_its_head(make, tmp_path):
    peft = pytest.importorskip("peft")
    base = make()
    model = mmbert.MmBertForSequenceClassification.from_pretrained(base, num_labels=5)
    settings = peft.LoraConfig(
        task_type="SEQ_CLS", target_modules=["Wqkv", "Wo"], modules_to_save=["head", "classifier"]
    )
    adapted = peft.get_peft_model(model, settings).eval()
    torch.manual_seed(1)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(tmp_path / "adapter")
    done = export_onnx(tmp_path / "adapter", tmp_path / "out")
    ids, mask = batch(3, 40)
    with torch.no_grad():
        expected = adapted(input_ids=ids, attention_mask=mask).logits.numpy()
    np.testing.assert_allclose(open_runtime(done.output).encode_batch(ids, mask), expected, atol=2e-5)
    with pytest.raises(ValueError, match="adapter for text-classification, not for embedding"):
        export_onnx(tmp_path / "adapter", tmp_path / "other", task="embedding")


def test_adapters_of_the_table_that_a_decoder_is_tied_to_are_refused(make, tmp_path):
    """peft leaves the decoder's bias out of the logits of one, and merges the other into the decoder."""
    peft = pytest.importorskip("peft")
    base = make("ForMaskedLM")
    for name, options in (
        ("tokens", {"target_modules": ["Wqkv"], "trainable_token_indices": {"tok_embeddings": [7, 8]}}),
        ("table", {"target_modules": ["tok_embeddings"]}),
    ):
        model = mmbert.MmBertForMaskedLM.from_pretrained(base)
        torch.nn.init.normal_(model.decoder.bias)
        peft.get_peft_model(model, peft.LoraConfig(**options)).save_pretrained(tmp_path / name)
        with pytest.raises(ValueError, match="adapts the embedding table or the decoder, which are one in a masked LM"):
            export_onnx(tmp_path / name, tmp_path / "out", task="fill-mask")


@pytest.mark.parametrize(
    "options, match",
    [
        ({"task": "poetry"}, "task='poetry' is none of feature-extraction, embedding, fill-mask"),
        ({"task": "fill-mask"}, "has no head for fill-mask; export it for one of feature-extraction, embedding"),
        ({"optimize": 4}, "optimize=4 is none of 0, 1, 2, 3"),
        ({"quantize": "int4"}, "quantize='int4' is none of none, fp16, int8, int8-static, q4; did you mean int8?"),
        ({"quantize": "fp16", "optimize": 2}, "optimize 2 would write fp16 back into fp32"),
        ({"quantize": "int8-static"}, "int8-static needs calibration texts"),
        ({"quantize": "int8-static", "calibration": [" "]}, "int8-static needs calibration texts"),
        ({"calibration": ["a text"]}, "calibration texts are for quantize='int8-static'"),
        ({"task": "embedding", "dims": 33}, "dims must lie between 1 and the model's 32 dimensions, got 33"),
        ({"task": "embedding", "pooling": "max"}, "pooling='max' is none of mean, cls"),
        ({"pooling": "cls"}, "pooling is for task embedding, the task is feature-extraction"),
    ],
)
def test_options_that_do_not_fit(plain, tmp_path, options, match):
    with pytest.raises(ValueError, match=match) as caught:
        export_onnx(plain, tmp_path / "out", **options)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_damaged_input_and_an_output_in_use(plain, tmp_path):
    broken = shutil.copytree(plain, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes((plain / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ValueError, match="truncated or damaged"):
        export_onnx(broken, tmp_path / "out")
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickle"):
        export_onnx(broken, tmp_path / "out")
    with pytest.raises(ValueError, match="exists and is not empty"):
        export_onnx(plain, plain)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        export_openvino(tmp_path / "nowhere", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_adapters_that_cannot_be_read(plain, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "elsewhere/base"}))
    with pytest.raises(FileNotFoundError, match=r"adapter_model\.safetensors does not exist"):
        export_onnx(adapter, tmp_path / "out")
    (adapter / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(ValueError, match=r"adapter_model\.bin is a pickle"):
        export_onnx(adapter, tmp_path / "out")
    (adapter / "adapter_model.bin").unlink()
    save_file({"a": torch.zeros(1)}, adapter / "adapter_model.safetensors")
    with pytest.raises(FileNotFoundError, match="its base 'elsewhere/base' is no folder here"):
        export_onnx(adapter, tmp_path / "out")


@pytest.mark.slow
def test_a_file_with_other_numbers_is_not_written(plain, tmp_path, monkeypatch):
    """The weights change between the comparison's two sides, as a wrong converter would have it."""
    from mmbert.export.graphs import onnx as exporter

    right = exporter._write_graph

    def wrong(plan, path, *settings):
        plan.network.encoder.final_norm.weight.data[:16] *= -1
        return right(plan, path, *settings)

    monkeypatch.setattr(exporter, "_write_graph", wrong)
    with pytest.raises(ValueError, match="does not give the numbers of the checkpoint and was not written"):
        export_onnx(plain, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out.export.log"])


COME_AND_GO = """
import gc, os, signal, sys
from mmbert.export import open_runtime

signal.signal(signal.SIGUSR1, lambda *_: print("handled", flush=True))
first, second = (open_runtime(sys.argv[1]) for _ in range(2))
del first
gc.collect()
del second
gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
print("alive")
"""


@pytest.mark.slow
def test_a_signal_is_handled_after_models_of_openvino_have_gone(plain, tmp_path):
    """Each of its Cores lays a signal stack under the others', and takes it away from under them when it goes."""
    folder = export_openvino(plain, tmp_path / "out").output
    command = [sys.executable, "-c", COME_AND_GO, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout.split()) == (0, ["handled", "alive"]), done.stderr[-2000:]


@pytest.mark.parametrize("package, extra", [("onnxruntime", "onnx"), ("onnxscript", "onnx"), ("openvino", "openvino")])
def test_a_missing_package_names_its_extra(plain, tmp_path, monkeypatch, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'pip install "mmbert\[{extra}\]"'):
        FORMATS[extra](plain, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_leaves_nothing(plain, tmp_path, kind):
    script = textwrap.dedent(f"""
        import resource, signal, sys
        from mmbert.export import export_{kind}
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            export_{kind}(*sys.argv[1:])
        except ValueError as error:
            sys.exit(str(error))
    """)
    arguments = [str(plain), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, env=environment
    )
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] in ([], ["out.export.log"])  # what the converter had said


@pytest.mark.slow
def test_command(plain, tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    app = typer.Typer()
    app.command()(export)
    options = ["--format", "onnx", "--task", "embedding", "--quantize", "int8-static", "--no-normalize"]
    options += ["--calibration", str(tmp_path / "texts.txt"), "--optimize", "2", "--dims", "8"]
    result = CliRunner().invoke(app, [str(plain), str(tmp_path / "out"), *options])
    assert result.exit_code == 0, result.output
    assert "model_qint8_static.onnx" in result.output and "against torch float32" in result.output
    assert open_runtime(tmp_path / "out").encode_batch(*batch(2, 9)).shape == (2, 8)


def test_options_of_one_format_are_refused_for_another(plain, tmp_path):
    app = typer.Typer()
    app.command()(export)
    for options, match in (
        (["--optimize", "2"], "--optimize is for --format onnx, openvino or gguf"),
        (["--format", "openvino", "--optimize", "2"], "--optimize is for --format onnx; OpenVINO"),
        (["--format", "coreml"], "is none of modernbert, onnx, openvino, gguf"),
        (["--format", "onnx", "--calibration", "nowhere.txt"], "nowhere.txt is no file"),
    ):
        result = CliRunner().invoke(app, [str(plain), str(tmp_path / "out"), *options])
        assert match in str(result.exception)

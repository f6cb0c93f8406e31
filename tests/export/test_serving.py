"""Who will serve it: readings of the files against what the engines' own configurations say, and real runs."""

import json
import os
import sys

import mmbert
import pytest
import torch
import transformers
import typer
from mmbert.cli.checkpoints.doctor import doctor
from mmbert.common.checkpoints.reader import open_checkpoint
from mmbert.export import Verdict, put_together, read_verdicts, run_verdicts
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from .conftest import tiny


def loads(folder):
    return {verdict.engine: verdict.loads for verdict in read_verdicts(open_checkpoint(folder))}


def why(folder, engine):
    return next(verdict.why for verdict in read_verdicts(open_checkpoint(folder)) if verdict.engine == engine)


def edit(path, **fields):
    values = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not ...}))


HEADED = {
    "transformers 4": "yes",
    "transformers 5": "yes",
    "sentence-transformers": "yes",
    "transformers.js, openvino-tokenizers": "yes",
}


@pytest.mark.parametrize(
    "head, tei, vllm",
    [
        ("Model", "yes", "yes"),
        ("ForMaskedLM", "yes", "no"),
        ("ForSequenceClassification", "yes", "yes"),
        ("ForTokenClassification", "no", "yes"),
        ("ForQuestionAnswering", "no", "no"),
    ],
)
def test_an_export_is_served_by_all_that_have_its_head(exported, head, tei, vllm):
    expected = {**HEADED, "text-embeddings-inference": tei, "vLLM": vllm, "llama.cpp": "no", "ONNX Runtime": "no"}
    assert loads(exported / head) == expected
    assert why(exported / "Model", "llama.cpp") == (
        "its converter stops at this tokenizer: mmbert export --format gguf writes the file"
    )


def test_llama_cpp_takes_a_byte_level_tokenizer(saved, tmp_path):
    out = mmbert.export_modernbert(saved, tmp_path / "out")
    (out / "tokenizer.json").write_text(json.dumps({"pre_tokenizer": {"type": "ByteLevel"}}))
    assert loads(out)["llama.cpp"] == "yes"
    edit(out / "config.json", layer_norm_eps=...)
    assert why(out, "llama.cpp") == "config.json lacks layer_norm_eps: mmbert export writes it"


def test_a_save_of_stock_transformers_keeps_auto_map_without_its_files(exported, tmp_path):
    transformers.AutoModel.from_pretrained(exported / "Model").save_pretrained(tmp_path / "saved")
    told = "auto_map names mmbert_auto.py, which is absent: trust_remote_code=True fails; mmbert export writes it"
    assert told in why(tmp_path / "saved", "transformers 5") and loads(tmp_path / "saved")["transformers 5"] == "yes"
    out = mmbert.export_modernbert(tmp_path / "saved", tmp_path / "out")
    assert "auto_map" not in why(out, "transformers 5")


def test_a_local_save_is_for_us_alone(saved):
    found = loads(saved)
    assert set(found.values()) == {"no"}
    assert why(saved, "transformers 4").startswith("model_type is 'mmbert', not 'modernbert': mmbert export writes it")


def test_a_save_of_stock_version_5_runs_wrongly_elsewhere(tmp_path, tokenizer):
    """The silent failure that the flat keys are written for: version 5 leaves them out, version 4 takes its default."""
    rope = {kind: {"rope_type": "default", "rope_theta": 160_000.0} for kind in ("full_attention", "sliding_attention")}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    special = dict.fromkeys(("pad_token_id", "eos_token_id", "bos_token_id", "cls_token_id", "sep_token_id"), 0)
    config = transformers.ModernBertConfig(vocab_size=300, rope_parameters=rope, **sizes, **special)
    transformers.ModernBertForMaskedLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert loads(tmp_path)["transformers 5"] == "yes"
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", extra_special_tokens=...)
    assert loads(tmp_path)["transformers 4"] == "wrong"
    assert (
        why(tmp_path, "transformers 4") == "reads local_rope_theta as 10000 instead of 160000: mmbert export writes it"
    )
    assert why(tmp_path, "text-embeddings-inference").startswith("config.json lacks global_rope_theta, ")
    edit(tmp_path / "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    assert loads(tmp_path)["transformers 4"] == "no"


@pytest.mark.parametrize(
    "fields, engine, kind, reason",
    [
        ({"cls_token_id": ...}, "text-embeddings-inference", "no", "config.json lacks cls_token_id"),
        ({"eos_token_id": [1, 2]}, "text-embeddings-inference", "no", "eos_token_id is a list"),
        ({"norm_bias": True}, "text-embeddings-inference", "wrong", "leaves out the biases of norm_bias"),
        ({"hidden_activation": "silu"}, "vLLM", "wrong", "runs gelu in place of hidden_activation 'silu'"),
        ({"layer_types": ["full_attention"] * 5}, "transformers 4", "wrong", "takes one layer in 3 for global"),
    ],
)
def test_what_an_engine_stumbles_on(exported, tmp_path, fields, engine, kind, reason):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((exported / "Model" / name).read_bytes())
    edit(folder / "config.json", **fields)
    assert loads(folder)[engine] == kind and reason in why(folder, engine)


def test_pooling_and_prefixes(exported, tmp_path):
    assert "--pooling mean" in why(exported / "Model", "text-embeddings-inference")
    out = mmbert.export_modernbert(exported / "Model", tmp_path / "out", code=False)
    tensors = {f"model.{name}": tensor for name, tensor in load_file(out / "model.safetensors").items()}
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    assert why(out, "vLLM") == "tensors of a bare encoder must not begin with 'model.'"
    (out / "1_Pooling").mkdir()
    (out / "1_Pooling" / "config.json").write_text("{}")
    assert why(out, "text-embeddings-inference") == ""


def test_runs_here_without_mmbert(saved, tmp_path):
    folder = mmbert.export_modernbert(saved, tmp_path / "out", code=True)
    ran = run_verdicts(folder, sys.executable)
    version = transformers.__version__
    assert [(one.engine, one.loads, one.basis) for one in ran] == [
        (f"transformers {version}", "yes", "ran"),
        (f"transformers {version}, trust_remote_code", "yes", "ran"),
    ]
    assert ran[0].why.startswith("ModernBertModel, self-test: relative error ") and "MmBertModel" in ran[1].why
    table = put_together(read_verdicts(open_checkpoint(folder)), ran)
    assert [one.basis for one in table][:4] == ["read in 4.57.6", "ran", "ran", "read in 6.2.0"]


@pytest.mark.slow
def test_runs_sentence_transformers(exported):
    ran = run_verdicts(exported / "ForMaskedLM", sys.executable)
    assert ran[2].engine.startswith("sentence-transformers ") and ran[2].why == "vectors of 32"
    table = put_together(read_verdicts(open_checkpoint(exported / "ForMaskedLM")), ran)
    assert table[3].why == "vectors of 32; no modules.json: it adds mean pooling and says so"


@pytest.mark.slow
def test_runs_elsewhere_and_finds_the_wrong_theta(exported, tmp_path):
    if not (python := os.environ.get("MMBERT_TRANSFORMERS4_PYTHON")):
        pytest.skip("MMBERT_TRANSFORMERS4_PYTHON names no interpreter with torch and transformers 4")
    found = run_verdicts(exported / "Model", python)
    assert found[0].engine.startswith("transformers 4.") and found[0].loads == "yes"
    out = mmbert.export_modernbert(exported / "Model", tmp_path / "out", code=False)
    edit(out / "config.json", local_rope_theta=...)  # as transformers 5 saves it
    assert loads(out)["transformers 4"] == "wrong"
    [verdict] = run_verdicts(out, python)
    assert verdict.loads == "wrong" and "> 1e-04 in float32" in verdict.why


def test_a_python_that_cannot_is_one_line(exported, tmp_path):
    with pytest.raises(ValueError, match="give a Python with torch and transformers"):
        run_verdicts(exported / "Model", tmp_path / "python")
    with pytest.raises(ValueError, match=r"/false: no message; give a Python"):
        run_verdicts(exported / "Model", "/bin/false")


def test_a_run_stands_in_for_the_reading_of_its_version():
    read = [Verdict(name, "yes", "", "read") for name in ("transformers 4", "transformers 5", "vLLM")]
    ran = [Verdict("transformers 5.23.0", "no", "broken", "ran"), Verdict("transformers 4.57.6", "yes", "", "ran")]
    assert put_together(read, ran) == [ran[1], ran[0], read[2]]


@pytest.fixture
def command():
    app = typer.Typer()
    app.command()(doctor)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_doctor_prints_a_table(exported, command):
    result = command(exported / "Model", "--no-run")
    assert result.exit_code == 0, result.output
    assert "checksums agree" in result.output and "self-test: not run" in result.output
    assert "will it serve?" in result.output and "vLLM" in result.output and "read at" in result.output


def test_doctor_speaks_json_and_fails_where_the_numbers_are_others(exported, tmp_path, command, monkeypatch):
    monkeypatch.setattr("mmbert.export.run_verdicts", lambda checkpoint, python: [])  # the real one has its own test
    report = json.loads(command(exported / "Model", "--json").stdout)
    assert report["sound"] and report["self_test"]["error"] <= 1e-5
    assert {engine["engine"] for engine in report["engines"]} >= {"vLLM", "llama.cpp", "ONNX Runtime"}
    out = mmbert.export_modernbert(exported / "Model", tmp_path / "out", code=False)
    (out / "SHA256SUMS").unlink()
    tensors = load_file(out / "model.safetensors")
    tensors["layers.2.mlp.Wo.weight"] = torch.zeros_like(tensors["layers.2.mlp.Wo.weight"])
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    result = command(out)
    assert result.exit_code == 1 and "these are not the numbers it was exported with" in result.output
    assert json.loads(command(out, "--json").stdout)["sound"] is False
    assert json.loads(command("--json").stdout)["packages"]["torch"] == torch.__version__


def test_doctor_without_self_test(saved, command):
    result = command(saved, "--no-run")
    assert result.exit_code == 0 and "self-test: none, mmbert export writes one" in result.output
    assert tiny().config.model_type == "mmbert" and "not 'modernbert'" in " ".join(result.output.split())

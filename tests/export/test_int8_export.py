"""int8 weights on disk against the fp32 that they were rounded from: size, numbers, memory, and who may read them."""

import importlib.util
import json
import shutil
import subprocess
import sys

import mmbert
import pytest
import torch
import transformers
from mmbert.export import export_onnx, read_self_test
from mmbert.modeling import int8_weights
from safetensors.torch import load_file, save_file
from tests_support import run_verb

from .conftest import tiny

IDS = torch.arange(5, 45)[None]
pytestmark = pytest.mark.skipif(
    int8_weights.integer_obstacle() is not None, reason=f"int8: {int8_weights.integer_obstacle()}"
)


@pytest.fixture(scope="module")
def rounded(plain, tmp_path_factory):
    return mmbert.export_modernbert(plain, tmp_path_factory.mktemp("int8") / "out", quantize="int8")


@pytest.mark.parametrize("head", ["Model", "ForMaskedLM", "ForSequenceClassification"])
def test_matrices_are_int8_with_a_scale_a_row_and_give_close_numbers(head, tmp_path):
    model = tiny(head)
    model.save_pretrained(tmp_path / "ours")
    out = mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out", quantize="int8")
    before, after = load_file(tmp_path / "ours" / "model.safetensors"), load_file(out / "model.safetensors")
    whole = {"decoder.weight", "model.embeddings.tok_embeddings.weight"} if head == "ForMaskedLM" else set()
    for name, weight in before.items():
        if weight.dim() == 2 and name not in whole:
            scale = after[name.replace("weight", "weight_scale")]
            assert after[name].dtype == torch.int8 and scale.shape == (len(weight), 1)
            assert ((after[name] * scale - weight).abs() <= scale * 0.501).all()
        else:
            assert torch.equal(after[name], weight)
    read = type(model).from_pretrained(out)
    with torch.no_grad():
        cosine = torch.nn.functional.cosine_similarity(read(IDS)[0], model(IDS)[0], dim=-1)
    assert cosine.min() > 0.999


def test_nothing_is_widened_on_the_way_in(tmp_path):
    config = mmbert.MmBertConfig(vocab_size=60_000, hidden_size=256, intermediate_size=512, num_hidden_layers=8,
                                 num_attention_heads=4)  # fmt: skip
    mmbert.MmBertModel(config).save_pretrained(tmp_path / "ours")
    mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out", quantize="int8")
    files = [tmp_path / kind / "model.safetensors" for kind in ("ours", "out")]
    assert files[0].stat().st_size > 3.7 * files[1].stat().st_size
    script = (
        "import mmbert, sys, torch; from mmbert.evaluation.efficiency.memory import measure_peak, print_peak\n"
        "mmbert.MmBertModel(mmbert.MmBertConfig(vocab_size=9, num_hidden_layers=1))(torch.ones(1, 2, dtype=int))\n"
        "def work(): mmbert.MmBertModel.from_pretrained(sys.argv[1])(torch.ones(1, 40, dtype=int))\n"
        "with torch.no_grad(): print_peak(measure_peak(work))"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "out"], capture_output=True, text=True, check=True)
    peak = json.loads(done.stdout.splitlines()[-1])
    assert peak["total"] - peak["before"] < 0.6 * files[0].stat().st_size


def test_an_embedder_runs_them_and_neither_trains_nor_saves(plain, tmp_path):
    texts = ["the sun rises", "el sol sale", ""]
    embedder = mmbert.load_embedder(plain, dtype="float32")
    embedder.save(str(tmp_path / "saved"))
    for name, source in (("one", plain), ("two", tmp_path / "saved")):
        assert run_verb("export", source, tmp_path / name, "--quantize", "int8").exit_code == 0
        for dtype in ("float32", None):
            found = mmbert.load_embedder(tmp_path / name, dtype=dtype)
            assert (found.encode(texts) * embedder.encode(texts)).sum(1).min() > 0.999
            assert isinstance(found[0].model.layers[0].mlp.Wi, int8_weights.Int8Linear)
    with pytest.raises(ValueError, match="for running only and cannot be saved"):
        found.save(str(tmp_path / "again"))
    with pytest.raises(ValueError, match="for running only and cannot be trained"):
        found.train()


def test_a_copy_of_our_network_in_a_checkpoint_does_not_read_them_for_us(plain, rounded, tmp_path):
    mmbert.export_modernbert(plain, tmp_path / "copy", code=True)
    copy = transformers.AutoModel.from_pretrained(tmp_path / "copy", trust_remote_code=True)
    assert type(copy).__module__.startswith("transformers_modules")
    found = mmbert.load_embedder(rounded, dtype="float32")
    assert isinstance(found[0].model.layers[0].mlp.Wi, int8_weights.Int8Linear)


def test_a_processor_without_integer_instructions_is_told(rounded, monkeypatch):
    monkeypatch.setattr(int8_weights, "integer_obstacle", lambda: "this processor has no VNNI or AMX instructions")
    for load in (mmbert.MmBertModel.from_pretrained, mmbert.load_embedder):
        with pytest.raises(ValueError, match=r"^the checkpoint's weights are in int8, and this processor has no VNNI"):
            load(rounded)


def test_what_wants_whole_weights_refuses(rounded, tmp_path):
    out = tmp_path / "out"
    for work in (
        lambda: mmbert.export_modernbert(rounded, out),
        lambda: export_onnx(rounded, out),
        lambda: mmbert.trim_vocabulary(rounded, ["the sun"], out),
        lambda: mmbert.merge_weighted_average([rounded, rounded], out),
    ):
        with pytest.raises(ValueError, match="the weights are in int8, for running only; give the checkpoint they are"):
            work()
    assert not out.exists()
    with pytest.raises(ValueError, match="quantize='int4' is none of none, int8"):
        mmbert.export_modernbert(rounded, out, quantize="int4")


def test_a_lost_scale_is_refused(rounded, tmp_path):
    shutil.copytree(rounded, tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if k != "layers.0.attn.Wo.weight_scale"}, file)
    with pytest.raises(ValueError, match="the int8 checkpoint lacks weight_scale of Linear"):
        mmbert.MmBertModel.from_pretrained(tmp_path / "out")


def test_doctor_and_self_test_know_them(rounded):
    told = read_self_test(rounded).compare(rounded)
    assert told.agrees and told.dtype == "int8" and told.error > 0
    assert "parameters in int8, tensors fit" in run_verb("doctor", rounded, "--no-run").output


def test_stock_transformers_widens_them_or_names_the_package(rounded, plain):
    if importlib.util.find_spec("compressed_tensors") is None:
        with pytest.raises(ImportError, match="compressed-tensors"):
            transformers.ModernBertModel.from_pretrained(rounded)
        return
    stock, ours = transformers.ModernBertModel.from_pretrained(rounded), mmbert.MmBertModel.from_pretrained(plain)
    with torch.no_grad():
        cosine = torch.nn.functional.cosine_similarity(stock(IDS)[0], ours(IDS)[0], dim=-1)
    assert cosine.min() > 0.999

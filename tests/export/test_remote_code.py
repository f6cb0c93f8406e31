"""The published checkpoint where mmbert cannot be imported: transformers 4 and 5, with and without its own code.

The interpreters of other environments are named by MMBERT_TRANSFORMERS4_PYTHON and MMBERT_TRANSFORMERS5_PYTHON; each
needs torch and transformers, and no mmbert.
"""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mmbert
import pytest
import torch
from mmbert.export.modernbert import remote_code
from transformers.dynamic_module_utils import check_imports

from .conftest import HEADS, TEXTS, VOCABULARY, forget_remote_code, tiny

PROGRAM = Path(__file__).with_name("read_back.py")


def run_isolated(python, arguments, home):
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, "-I", *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, cwd=home
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def check_report(report, tokenizer):
    for mode, prefix in (("plain", "ModernBert"), ("remote", "MmBert")):
        read = report[mode]
        for head, found in read["heads"].items():
            assert found["class"] == prefix + head and found["config"] == prefix + "Config"
            assert found["keys"] == []
            assert found["size"] > 0.1 and found["difference"] <= 1e-5, (mode, head, found)
        assert set(read["heads"]) == set(HEADS)
        assert read["tokens"] == tokenizer(TEXTS)["input_ids"]
        assert read["names"] == ["attention_mask", "input_ids"]
        assert read["mask"] == tokenizer.mask_token_id and read["length"] == 8192
        assert read["decoded"] == tokenizer.decode(read["tokens"][0], skip_special_tokens=True)


def test_here_without_mmbert(exported, tokenizer, tmp_path):
    report = json.loads(run_isolated(sys.executable, [PROGRAM, exported], tmp_path))
    check_report(report, tokenizer)
    for mode, ours in (("plain", False), ("remote", True)):
        assert all(found["ours"] is ours for found in report[mode]["heads"].values())


@pytest.mark.slow
@pytest.mark.parametrize("version", ["4", "5"])
def test_in_another_environment(exported, tokenizer, tmp_path, version):
    variable = f"MMBERT_TRANSFORMERS{version}_PYTHON"
    if not (python := os.environ.get(variable)):
        pytest.skip(f"{variable} names no interpreter with torch and transformers {version}")
    report = json.loads(run_isolated(python, [PROGRAM, exported], tmp_path))
    assert report["transformers"].startswith(f"{version}.")
    check_report(report, tokenizer)


@pytest.mark.parametrize("trust", [None, True])
def test_with_mmbert_imported_both_networks_load(exported, monkeypatch, tmp_path, trust):
    """In this process `mmbert` is registered; the flag then runs the checkpoint's copy, and nothing else changes."""
    import transformers

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    model = transformers.AutoModelForMaskedLM.from_pretrained(exported / "ForMaskedLM", trust_remote_code=trust)
    assert type(model).__name__ == ("MmBertForMaskedLM" if trust else "ModernBertForMaskedLM")
    assert type(model) is not mmbert.MmBertForMaskedLM
    reference = torch.load(exported / "reference.pt", weights_only=True)
    with torch.no_grad():
        found = model.eval()(reference["ids"][:1]).logits
    torch.testing.assert_close(found, reference["expected"]["ForMaskedLM"][:1], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_what_remote_code_saves_loads_again(exported, tmp_path):
    """A user without mmbert trains our network by remote code, saves it, and loads that, code included."""
    program = tmp_path / "program.py"
    program.write_text("""
import sys
sys.modules["mmbert"] = None
import torch
from transformers import AutoModelForMaskedLM
first = AutoModelForMaskedLM.from_pretrained(sys.argv[1], trust_remote_code=True).eval()
first.save_pretrained("saved")
second = AutoModelForMaskedLM.from_pretrained("saved", trust_remote_code=True).eval()
ids = torch.arange(5, 45)[None]
print(type(second).__name__, (first(ids).logits - second(ids).logits).abs().max().item())
""")
    assert run_isolated(sys.executable, [program, exported / "ForMaskedLM"], tmp_path) == "MmBertForMaskedLM 0.0"


def test_copies_are_the_import_closure_and_need_nothing_else(exported):
    folder = exported / "Model"
    written = {path.stem for path in folder.glob("*.py")}
    reached, waiting = set(), [remote_code.ENTRY]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += re.findall(r"^\s*from\s+\.(\w+)\s+import", (folder / f"{name}.py").read_text(), re.MULTILINE)
    assert written == reached
    assert not written & {"tokenizer", "checkpoint", "warm_start", "flops", "__init__"}
    for name in written:
        check_imports(folder / f"{name}.py")  # raises where a package is missing
    modeling = Path(mmbert.modeling.__file__).parent
    assert all(
        (folder / f"{n}.py").read_text() == (modeling / f"{n}.py").read_text() for n in written - {"mmbert_auto"}
    )


def test_auto_map_names_every_class(exported):
    found = json.loads((exported / "ForMaskedLM" / "config.json").read_text())["auto_map"]
    assert set(found) == {"AutoConfig", *(f"AutoModel{head.removeprefix('Model')}" for head in HEADS)}
    assert all(re.fullmatch(r"mmbert_auto\.MmBert(Config|Model|For\w+)", place) for place in found.values())


def test_without_code_no_python_file_is_written(saved, tmp_path):
    out = mmbert.export_modernbert(saved, tmp_path / "plain")
    assert not list(out.glob("*.py")) and "auto_map" not in json.loads((out / "config.json").read_text())
    again = mmbert.export_modernbert(mmbert.export_modernbert(saved, tmp_path / "code", code=True), tmp_path / "again")
    assert not list(again.glob("*.py")) and "auto_map" not in json.loads((again / "config.json").read_text())


@pytest.mark.parametrize(
    "line, match",
    [
        ("import flash_attn", "heads.py imports flash_attn, which transformers does not bring along"),
        ("from mmbert.data import shards", "heads.py imports mmbert.data"),
        ("from ..data import shards", r"heads.py imports \.\.data, which no copy of it can"),
        ("from . import layers", r"heads.py imports \., which no copy of it can"),
    ],
)
def test_a_network_that_reaches_further_is_refused(line, match):
    with pytest.raises(ValueError, match=match):
        remote_code._neighbours("heads", f"def late():\n    {line}\n")


def test_stock_and_ours_agree_before_anything_is_written(tmp_path, monkeypatch):
    model = tiny()
    model.save_pretrained(tmp_path / "ours")
    forward = type(model.model).forward

    def bent(self, *arguments, **options):
        output = forward(self, *arguments, **options)
        output.last_hidden_state *= 1.01
        return output

    monkeypatch.setattr(type(model.model), "forward", bent)
    with pytest.raises(ValueError, match=r"the exported files give other numbers .*9\.9e-03 > 1e-04"):
        mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_copy_takes_no_operator_of_the_installed_package(exported, monkeypatch, tmp_path):
    """Both define operators for attention in bf16; when the copy is forgotten, ours still learns."""
    import transformers

    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    ids = torch.randint(5, VOCABULARY, (2, 40), generator=torch.Generator().manual_seed(1))
    copy = transformers.AutoModelForMaskedLM.from_pretrained(exported / "ForMaskedLM", trust_remote_code=True)
    copy.to(torch.bfloat16)(input_ids=ids).logits.sum().backward()
    del copy
    forget_remote_code()
    gc.collect()
    ours = tiny().to(torch.bfloat16)
    ours(input_ids=ids).logits.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())

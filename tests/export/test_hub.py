"""Publishing to a Hub on this machine that speaks the Hub's protocol, and loading back from it."""

import json
import os
import subprocess
import sys
import textwrap

import huggingface_hub.constants
import mmbert
import pytest
import torch
import typer
from hub_server import serving
from huggingface_hub import ModelCard
from mmbert.cli.checkpoints.push import push as push_command
from mmbert.export import push
from typer.testing import CliRunner

SIZES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def tokenizer():
    return mmbert.train_tokenizer(["el sol sale", "the sun rises", "das Licht"] * 20, 300)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving(monkeypatch, tmp_path / "token") as hub:
        yield hub


def tiny(head="ForMaskedLM", seed=0, **fields):
    torch.manual_seed(seed)
    return getattr(mmbert, f"MmBert{head}")(mmbert.MmBertConfig(vocab_size=300, **SIZES, **fields)).eval()


@pytest.fixture
def saved(tmp_path, tokenizer):
    tiny().save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_one_commit_of_the_export_format_with_card_reports_pictures_and_tag(hub, saved):
    (saved / "scores.json").write_text('{"sib200": 0.5}')
    (saved / "optimizer.safetensors").write_bytes(b"not a model")
    (saved / "run.yaml").write_text("command: finetune qa\ndata: /home/jane/secret/rows.jsonl\n", encoding="utf-8")
    (saved / "agreement.png").write_bytes(b"\x89PNG")
    (saved / "pictures").mkdir()
    (saved / "pictures" / "loss.png").write_bytes(b"\x89PNG")
    done = push(saved, "you/tiny", tag="decay-all/step30", private=True)
    repository = hub.repositories["you/tiny"]
    assert len(repository.commits) == 2 and repository.private  # the Hub's first one, and ours
    assert repository.tags == {"decay-all/step30": done.commit} and done.commit == repository.branches["main"]
    files = repository.files("decay-all/step30")
    assert json.loads(files["config.json"])["model_type"] == "modernbert"
    assert {"model.safetensors", "tokenizer.json", "scores.json", "agreement.png", "pictures/loss.png"} <= set(files)
    assert files["run.yaml"].decode() == "command: finetune qa\ndata: rows.jsonl\n"
    assert "optimizer.safetensors" not in files and not any(name.endswith(".bin") for name in files)
    card = ModelCard(files["README.md"].decode())
    assert card.data.pipeline_tag == "fill-mask" and card.data.library_name == "transformers"


def test_a_card_that_is_there_stays(hub, saved):
    (saved / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n")
    push(saved, "you/tiny")
    assert hub.repositories["you/tiny"].files()["README.md"].decode().endswith("# Mine\n")


@pytest.mark.parametrize(("text", "title"), [("## Vocabulary\n\nTrimmed.\n", "# model\n"), ("# Mine\n\nText.\n", "")])
def test_a_card_without_metadata_gets_them(hub, saved, text, title):
    (saved / "README.md").write_text(text)
    push(saved, "you/tiny")
    card = ModelCard(hub.repositories["you/tiny"].files()["README.md"].decode())
    assert card.data.pipeline_tag == "fill-mask" and card.data.license == "apache-2.0"
    assert card.text.strip() == f"{title}\n{text}".strip()


def test_old_shards_leave_with_the_commit_that_replaces_them(hub, saved, tmp_path, tokenizer):
    tiny().save_pretrained(tmp_path / "sharded", max_shard_size="5KB")
    tokenizer.save_pretrained(tmp_path / "sharded")
    push(tmp_path / "sharded", "you/tiny")
    assert "model.safetensors.index.json" in hub.repositories["you/tiny"].files()
    push(saved, "you/tiny")
    weights = [name for name in hub.repositories["you/tiny"].files() if "safetensors" in name]
    assert weights == ["model.safetensors"]


def test_parts_of_another_model_leave_and_what_is_no_model_stays(hub, saved):
    push(saved, "you/tiny")
    files = hub.repositories["you/tiny"].files()
    old = ["adapter_config.json", "adapter/adapter_model.safetensors", "modules.json", "1_Pooling/config.json"]
    old += ["openvino/openvino_model.xml", "openvino/openvino_model.bin", "onnx/model.onnx", "trim.json"]
    stays = ["LICENSE", "parity.md", "pictures/loss.png"]
    hub.repositories["you/tiny"].add("main", files | dict.fromkeys([*old, *stays], b"{}"), "by hand")
    push(saved, "you/tiny")
    assert set(hub.repositories["you/tiny"].files()) == set(files) | set(stays)


def test_a_name_alone_is_a_repository_of_your_own(hub, saved):
    push(saved, "tiny", tag="first")
    assert list(hub.repositories) == ["you/tiny"] and set(hub.repositories["you/tiny"].tags) == {"first"}


def test_tags_name_versions_and_are_not_moved_unasked(hub, saved, tmp_path, tokenizer):
    first = push(saved, "you/tiny", tag="merged")
    tiny(seed=1).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    before = dict(hub.repositories["you/tiny"].commits)
    with pytest.raises(ValueError, match="has a tag 'merged' already"):
        push(tmp_path / "other", "you/tiny", tag="merged")
    assert hub.repositories["you/tiny"].commits == before
    second = push(tmp_path / "other", "you/tiny", tag="merged", replace_tag=True)
    assert hub.repositories["you/tiny"].tags == {"merged": second.commit} and second.commit != first.commit


@pytest.mark.parametrize("fault", [403, 500, "cut"])
def test_a_refused_or_interrupted_upload_changes_nothing(hub, saved, tmp_path, tokenizer, monkeypatch, fault):
    push(saved, "you/tiny", tag="first")
    before = dict(hub.repositories["you/tiny"].files())
    tiny(seed=1).save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    hub.faults["POST", "/commit/"] = fault
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries again a few times
    kind, words = (ConnectionError, "broke") if fault == "cut" else (ValueError, f"refused you/tiny \\({fault}")
    with pytest.raises(kind, match=f"{words}.*the repository is as it was"):
        push(tmp_path / "other", "you/tiny", tag="second")
    assert hub.repositories["you/tiny"].files() == before and set(hub.repositories["you/tiny"].tags) == {"first"}
    hub.faults.clear()
    push(tmp_path / "other", "you/tiny", tag="second")
    assert hub.repositories["you/tiny"].files()["model.safetensors"] != before["model.safetensors"]


def test_a_tag_that_is_refused_names_the_commit_that_is_whole(hub, saved):
    hub.faults["POST", "/tag/"] = 403
    with pytest.raises(ValueError, match=r"commit \w{40} is whole but has no tag first"):
        push(saved, "you/tiny", tag="first")


def test_no_right_to_write_is_one_line_with_a_remedy(hub, saved):
    hub.faults["POST", "/repos/create"] = 401
    with pytest.raises(ValueError, match="nothing was uploaded; log in by `hf auth login`"):
        push(saved, "you/tiny")
    assert not hub.repositories


def test_offline(hub, saved, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match="HF_HUB_OFFLINE is set; unset it"):
        push(saved, "you/tiny")


def test_what_is_damaged_never_leaves(hub, saved, tmp_path):
    with pytest.raises(ValueError, match=r"^repository 'you/tiny/model' is no Hub id"):
        push(saved, "you/tiny/model")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        push(tmp_path / "absent", "you/tiny")
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        push(saved, "you/tiny")
    weights.unlink()
    (saved / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="pickle"):
        push(saved, "you/tiny")
    assert hub.requests == []


def test_an_adapter_needs_a_base_that_others_have(hub, saved, tmp_path):
    peft = pytest.importorskip("peft", reason="peft is in the extra finetune")
    model = peft.get_peft_model(tiny("ForSequenceClassification"), peft.LoraConfig(target_modules=["Wqkv"]))
    model.save_pretrained(tmp_path / "adapter")
    fields = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps({**fields, "base_model_name_or_path": str(saved)})
    )
    with pytest.raises(ValueError, match="which nobody else has; push the base first"):
        push(tmp_path / "adapter", "you/adapter")
    push(tmp_path / "adapter", "you/adapter", base_model="you/tiny")
    files = hub.repositories["you/adapter"].files()
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "you/tiny"
    assert "adapter_model.safetensors" in files and "base_model_relation: adapter" in files["README.md"].decode()


def test_command_publishes_the_history_of_a_run(hub, tmp_path, tokenizer):
    part = tmp_path / "run" / "stable"
    for seed, name in enumerate(("checkpoint-10", "checkpoint-20", "final")):
        tiny(seed=seed).save_pretrained(part / name)
        tokenizer.save_pretrained(part / name)
    (part / "tags.json").write_text(json.dumps({"pretrain/10": "checkpoint-10", "midtrain/20": "checkpoint-20"}))
    app = typer.Typer()
    app.command()(push_command)
    result = CliRunner().invoke(app, [str(part), "you/run", "--history", "--tag", "last"], catch_exceptions=False)
    assert result.exit_code == 0 and "published:" in result.output
    repository = hub.repositories["you/run"]
    assert list(repository.tags) == ["pretrain/step10", "midtrain/step20", "last"]
    assert len({repository.files(tag)["model.safetensors"] for tag in repository.tags}) == 3
    assert repository.tags["last"] == repository.branches["main"]
    # after a push that broke, the same command goes on with what is not there yet
    del repository.tags["midtrain/step20"]
    before = len(repository.commits)
    result = CliRunner().invoke(app, [str(part), "you/run", "--history"], catch_exceptions=False)
    assert "pretrain/step10: there already" in result.output and len(repository.commits) == before + 2
    assert repository.files("midtrain/step20")["model.safetensors"] != repository.files()["model.safetensors"]


LOAD = """
import json, os, sys
if {blocked!r}:
    sys.modules["mmbert"] = None
else:
    import mmbert
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("you/tiny")
batch = tokenizer(["the sun rises", "el sol"], padding=True, return_tensors="pt")
told = {{}}
for name, options in {{
    "plain": {{}}, "tag": {{"revision": "pretrain/step10"}}, "remote": {{"trust_remote_code": True}},
}}.items():
    with torch.no_grad():
        model = AutoModelForMaskedLM.from_pretrained("you/tiny", **options).eval()
        told[name] = [type(model).__name__, model(**batch).logits[0, :3].tolist()]
told["base"] = type(AutoModel.from_pretrained("you/tiny")).__name__
from sentence_transformers import SentenceTransformer
told["vectors"] = SentenceTransformer("you/embedder").encode(["the sun rises"]).tolist()
from peft import AutoPeftModelForSequenceClassification
adapted = AutoPeftModelForSequenceClassification.from_pretrained("you/adapter").eval()
with torch.no_grad():
    told["adapter"] = adapted(**batch).logits.tolist()
print("RESULT" + json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [False, True], ids=["with our package", "without our package"])
def test_loads_back(hub, saved, tmp_path, tokenizer, blocked):
    peft = pytest.importorskip("peft", reason="peft is in the extra finetune")
    pytest.importorskip("sentence_transformers", reason="sentence-transformers is in the extra embeddings")
    tiny(seed=1).save_pretrained(tmp_path / "older")
    tokenizer.save_pretrained(tmp_path / "older")
    push(tmp_path / "older", "you/tiny", tag="pretrain/step10")
    push(saved, "you/tiny", tag="merged")
    embedder = mmbert.load_embedder(saved, dtype="float32")
    embedder.save_pretrained(str(tmp_path / "embedder"))
    push(tmp_path / "embedder", "you/embedder")
    base = mmbert.MmBertForSequenceClassification.from_pretrained(saved)
    adapted = peft.get_peft_model(base, peft.LoraConfig(target_modules=["Wqkv"], task_type="SEQ_CLS")).eval()
    adapted.save_pretrained(tmp_path / "adapter")
    push(tmp_path / "adapter", "you/adapter", base_model="you/tiny")
    environment = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    environment |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "hf_token"}
    code = textwrap.dedent(LOAD.format(blocked=blocked))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.partition("RESULT")[2])
    batch = tokenizer(["the sun rises", "el sol"], padding=True, return_tensors="pt")
    with torch.no_grad():
        now, then = (tiny(seed=seed)(**batch).logits[0, :3].tolist() for seed in (0, 1))
        logits = adapted(**batch).logits
    for name, expected in (("plain", now), ("tag", then), ("remote", now)):
        torch.testing.assert_close(told[name][1], expected, rtol=0, atol=1e-5)
    assert told["plain"][0] == "ModernBertForMaskedLM" and told["base"] == "ModernBertModel"
    torch.testing.assert_close(
        torch.tensor(told["vectors"]), torch.tensor(embedder.encode(["the sun rises"])), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(torch.tensor(told["adapter"]), logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("record", [{}, {"recipe": []}, {"recipe": {"name": "a"}, "steps": 3}], ids=str)
def test_a_record_of_another_shape_is_refused_in_one_line(saved, tmp_path, record):
    from mmbert.export.hub.assemble import assemble

    (saved / "run_record.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"model is damaged or of another version \(\w+Error") as refused:
        assemble(saved, tmp_path / "published")
    assert "\n" not in str(refused.value)


def test_records_name_no_folder_of_this_machine(saved, tmp_path):
    from mmbert.export.hub.assemble import assemble

    record = {"checkpoint": str(saved), "arguments": [f"--data={tmp_path}/jane/rows.csv"], "base": "owner/name"}
    (saved / "scores.json").write_text(json.dumps(record))
    (saved / "README.md").write_text(f"---\nlicense: apache-2.0\n---\n\nMade from `{saved}`.\n")
    assemble(saved, tmp_path / "published")
    told = json.loads((tmp_path / "published" / "scores.json").read_text())
    assert told == {"checkpoint": "model", "arguments": ["--data=rows.csv"], "base": "owner/name"}
    for path in (tmp_path / "published").rglob("*"):
        assert not path.is_file() or str(tmp_path).encode() not in path.read_bytes(), path

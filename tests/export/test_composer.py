"""Composer checkpoints against FlexBERT, written out here densely: padded, one mask a layer, no library's model."""

import json
import math
import pickle

import mmbert
import pytest
import torch
import transformers
import yaml
from mmbert.cli.checkpoints.export import export
from mmbert.export import convert_composer
from safetensors.torch import load_file, save_file
from tests_support import files_no_larger_than
from torch import nn
from torch.nn import functional
from typer.testing import CliRunner

CONFIG = {
    "num_hidden_layers": 4,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "vocab_size": 301,  # FlexBERT pads it to 304
    "mlp_layer": "glu",
    "bert_layer": "prenorm",
    "embed_norm": True,
    "final_norm": True,
    "hidden_act": "gelu",
    "mlp_in_bias": False,
    "mlp_out_bias": False,
    "attn_out_bias": False,
    "attn_qkv_bias": False,
    "head_pred_act": "gelu",
    "normalization": "layernorm",
    "rotary_emb_dim": None,
    "sliding_window": 8,
    "attention_layer": "rope",
    "embedding_layer": "sans_pos",
    "rotary_emb_base": 20000.0,
    "local_attn_rotary_emb_base": 90.0,
    "skip_first_prenorm": True,
    "rotary_emb_scale_base": None,
    "rotary_emb_interleaved": False,
    "global_attn_every_n_layers": 3,
    "norm_kwargs": {"eps": 1e-3, "bias": False},
}
LOADER = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0, "sep_token_id": 1, "mask_token_id": 4}


class FlexBertLayer(nn.Module):
    def __init__(self, config, number):
        super().__init__()
        width, biased, norm = config["hidden_size"], config["attn_qkv_bias"], config["norm_kwargs"]
        self.attn_norm = nn.LayerNorm(width, **norm) if number else nn.Identity()
        self.attn = nn.ModuleDict({"Wqkv": nn.Linear(width, 3 * width, biased), "Wo": nn.Linear(width, width, biased)})
        self.mlp_norm = nn.LayerNorm(width, **norm)
        inner = config["intermediate_size"]
        self.mlp = nn.ModuleDict(
            {
                "Wi": nn.Linear(width, 2 * inner, config["mlp_in_bias"]),
                "Wo": nn.Linear(inner, width, config["mlp_in_bias"]),
            }
        )

    def forward(self, hidden, heads, theta, allowed):
        batch, length, width = hidden.shape
        qkv = self.attn["Wqkv"](self.attn_norm(hidden)).view(batch, length, 3, heads, width // heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        scores = turn(query, theta) @ turn(key, theta).mT / math.sqrt(width // heads)
        mixed = scores.masked_fill(~allowed[:, None], -math.inf).softmax(-1) @ value
        hidden = hidden + self.attn["Wo"](mixed.transpose(1, 2).reshape(batch, length, width))
        entry, gate = self.mlp["Wi"](self.mlp_norm(hidden)).chunk(2, dim=-1)
        return hidden + self.mlp["Wo"](functional.gelu(entry) * gate)


def turn(vectors, theta):
    """Rotate each pair (i, i + half) of channels as a complex number by position * theta^(-2i / channels)."""
    length, channels = vectors.shape[-2:]
    speed = theta ** (-torch.arange(0, channels, 2, dtype=torch.float64) / channels)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * speed
    pairs = torch.complex(*vectors.double().chunk(2, dim=-1)) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([pairs.real, pairs.imag], dim=-1).to(vectors.dtype)


class FlexBert(nn.Module):
    """`state_dict` has the names of a FlexBertForMaskedLM under Composer's HuggingFaceModel."""

    def __init__(self, config):
        super().__init__()
        self.config, width, norm = config, config["hidden_size"], config["norm_kwargs"]
        rows = -(-config["vocab_size"] // 8) * 8
        layers = nn.ModuleList(FlexBertLayer(config, number) for number in range(config["num_hidden_layers"]))
        embeddings = {"tok_embeddings": nn.Embedding(rows, width), "norm": nn.LayerNorm(width, **norm)}
        bert = {
            "embeddings": nn.ModuleDict(embeddings),
            "encoder": nn.ModuleDict({"layers": layers}),
            "final_norm": nn.LayerNorm(width, **norm),
        }
        head = {"dense": nn.Linear(width, width, False), "norm": nn.LayerNorm(width, **norm)}
        decoder = nn.Linear(width, rows)
        decoder.weight = embeddings["tok_embeddings"].weight
        self.model = nn.ModuleDict({"bert": nn.ModuleDict(bert), "head": nn.ModuleDict(head), "decoder": decoder})
        for parameter in self.parameters():
            nn.init.normal_(parameter, 1.0 if parameter.dim() == 1 else 0.0, 0.2)

    def forward(self, ids, mask):
        bert, config = self.model["bert"], self.config
        places = torch.arange(ids.shape[1])
        near = (places[:, None] - places).abs() <= config["sliding_window"] // 2
        hidden = bert["embeddings"]["norm"](bert["embeddings"]["tok_embeddings"](ids))
        for number, layer in enumerate(bert["encoder"]["layers"]):
            is_global = number % config["global_attn_every_n_layers"] == 0
            theta = config["rotary_emb_base"] if is_global else config["local_attn_rotary_emb_base"]
            allowed = (
                mask[:, None].bool() & (torch.ones_like(near) if is_global else near) | torch.eye(len(places)).bool()
            )
            hidden = layer(hidden, config["num_attention_heads"], theta, allowed)
        head = self.model["head"]
        return self.model["decoder"](head["norm"](functional.gelu(head["dense"](bert["final_norm"](hidden)))))


def write_run(folder, changes=None, drop=(), **tensors):
    """Write state.safetensors and run.yaml of a FlexBERT; return the network."""
    torch.manual_seed(0)
    config = {**CONFIG, **(changes or {})}
    network = FlexBert(config).eval()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items() if name not in drop}
    save_file({**state, **tensors}, folder / "state.safetensors")
    loader = {**LOADER, "dataset": {"max_seq_len": 512}}
    run = {"model": {"name": "flex_bert", "model_config": config}, "train_loader": loader}
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    return network


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attn_qkv_bias": True, "attn_out_bias": True, "mlp_in_bias": True, "mlp_out_bias": True},
        {"norm_kwargs": {"eps": 1e-3, "bias": True}, "vocab_size": 304},
        {"local_attn_rotary_emb_base": None, "global_attn_every_n_layers": 2},
    ],
)
def test_logits_are_flex_berts(tmp_path, changes):
    network = write_run(tmp_path, changes)
    if network.config["local_attn_rotary_emb_base"] is None:
        network.config = {**network.config, "local_attn_rotary_emb_base": 20000.0}
    out = convert_composer(tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "out")
    ids = torch.randint(5, 301, (2, 40), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 25:] = 0
    with torch.no_grad():
        expected = network(ids, mask)
        for found in (transformers.AutoModelForMaskedLM, mmbert.MmBertForMaskedLM):
            logits = found.from_pretrained(out).eval()(ids, attention_mask=mask).logits
            assert logits.shape == expected.shape == (2, 40, 304)
            torch.testing.assert_close(logits[mask.bool()], expected[mask.bool()], rtol=1e-5, atol=1e-5)


def test_config_and_tensors_have_modernberts_names(tmp_path):
    write_run(tmp_path)
    mmbert.train_tokenizer(["the sun rises"] * 20, 290).save_pretrained(tmp_path / "words")
    paths = (tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "out")
    out = convert_composer(*paths, tokenizer=tmp_path / "words")
    config = json.loads((out / "config.json").read_text())
    assert config["vocab_size"] == 304 and config["max_position_embeddings"] == 512
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (20000.0, 90.0)
    assert [config[f"{name}_token_id"] for name in ("pad", "eos", "bos", "cls", "sep", "mask")] == [0, 1, 2, 2, 1, 4]
    tensors = load_file(out / "model.safetensors")
    source = load_file(tmp_path / "state.safetensors")
    assert torch.equal(
        tensors["model.layers.1.attn.Wqkv.weight"], source["model.bert.encoder.layers.1.attn.Wqkv.weight"]
    )
    assert "decoder.weight" not in tensors and "model.layers.0.attn_norm.weight" not in tensors
    assert (out / "tokenizer.json").is_file() and not list(out.glob("*.py"))


def test_names_without_composers_prefix_compiled_and_rotary_tables(tmp_path):
    write_run(tmp_path)
    state = load_file(tmp_path / "state.safetensors")
    other = {name.removeprefix("model.").replace("mlp.Wi", "mlp._orig_mod.Wi"): t for name, t in state.items()}
    other["bert.encoder.layers.0.attn.rotary_emb.inv_freq"] = torch.ones(4)
    save_file(other, tmp_path / "other.safetensors")
    first = convert_composer(tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "first")
    second = convert_composer(tmp_path / "other.safetensors", tmp_path / "run.yaml", tmp_path / "second")
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    "changes, match",
    [
        (
            {"bert_layer": "parallel_prenorm"},
            r"run\.yaml: bert_layer is 'parallel_prenorm'; ModernBERT is built with 'prenorm'",
        ),
        ({"skip_first_prenorm": False}, "skip_first_prenorm is False"),
        ({"embed_norm": False}, "embed_norm is False"),
        ({"mlp_layer": "mlp"}, "mlp_layer is 'mlp'"),
        ({"attention_layer": "base"}, "attention_layer is 'base'"),
        ({"embedding_layer": "absolute_pos"}, "embedding_layer is 'absolute_pos'"),
        ({"normalization": "rmsnorm"}, "normalization is 'rmsnorm'; .* 'layernorm' or 'triton_layernorm'"),
        ({"rotary_emb_interleaved": True}, "rotary_emb_interleaved is True"),
        ({"head_pred_norm": False}, "head_pred_norm is False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"attn_out_bias": True}, "attn_qkv_bias is False and attn_out_bias is not; ModernBERT has both or neither"),
        ({"global_attn_every_n_layers": -1}, "no layer is global"),
        ({"vocab_size": 50}, "vocab_size is 50, the embedding has 304 rows"),
        ({"sliding_window": None}, r"lacks sliding_window; give the YAML"),
        ({"sliding_window": "128"}, r"sliding_window is '128'; write a number"),
        ({"norm_kwargs": 1e-5}, r"norm_kwargs is 1e-05; write a "),
        ({"hidden_size": "${nowhere.size}"}, r"\$\{nowhere\.size\} leads nowhere"),
    ],
)
def test_other_bricks_are_refused(tmp_path, changes, match):
    write_run(tmp_path)
    run = yaml.safe_load((tmp_path / "run.yaml").read_text())
    run["model"]["model_config"] |= changes
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    with pytest.raises(ValueError, match=match) as caught:
        convert_composer(tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.yaml", "state.safetensors"]


def test_values_that_the_yaml_repeats_are_looked_up(tmp_path):
    write_run(tmp_path)
    run = yaml.safe_load((tmp_path / "run.yaml").read_text())
    width = run["model"]["model_config"]["hidden_size"]
    run["model"]["model_config"]["hidden_size"] = "${sizes.width}"
    run |= {"sizes": {"width": "${width}"}, "width": width, "max_seq_len": 96}
    run["train_loader"] = {
        **(run.get("train_loader") or {}),
        "dataset": {"max_seq_len": "${max_seq_len}", "remote": "${r}"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    out = convert_composer(tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "out")
    config = json.loads((out / "config.json").read_text())
    assert (config["hidden_size"], config["max_position_embeddings"]) == (width, 96)


WQKV = "model.bert.encoder.layers.1.attn.Wqkv.weight"


@pytest.mark.parametrize(
    "drop, tensors, match",
    [
        ((WQKV,), {}, r"state\.safetensors does not fit the model: missing: model\.layers\.1\.attn\.Wqkv\.weight"),
        ((), {"model.bert.pooler.weight": torch.ones(2)}, r"extra: model\.pooler\.weight"),
        ((), {WQKV: torch.ones(9, 9)}, r"Wqkv\.weight \[9, 9\] instead of \[96, 32\]"),
        ((), {"model.decoder.weight": torch.ones(304, 32)}, "model.decoder.weight differs from .*ties them"),
    ],
)
def test_tensors_that_do_not_fit(tmp_path, drop, tensors, match):
    write_run(tmp_path, drop=drop, **tensors)
    with pytest.raises(ValueError, match=match):
        convert_composer(tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


class Trap:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was loaded')",)


def test_pickles_are_refused_unopened_with_the_way_out(tmp_path):
    write_run(tmp_path)
    (tmp_path / "ep0-ba4000-rank0.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"rank0\.pt is a pickle, .*save_file.* .*ep0-ba4000-rank0\.safetensors$"):
        convert_composer(tmp_path / "ep0-ba4000-rank0.pt", tmp_path / "run.yaml", tmp_path / "out")


@pytest.mark.slow
def test_the_way_out_works(tmp_path):
    """The command of the message, as the message says it, on a file as Composer writes it."""
    import shlex
    import subprocess
    import sys

    network = write_run(tmp_path)
    torch.save({"state": {"model": network.state_dict(), "run_name": "x"}, "rng": [{"a": 1}]}, tmp_path / "latest.pt")
    with pytest.raises(ValueError, match="run: python") as caught:
        convert_composer(tmp_path / "latest.pt", tmp_path / "run.yaml", tmp_path / "out")
    command = shlex.split(str(caught.value).partition("run: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    assert convert_composer(tmp_path / "latest.safetensors", tmp_path / "run.yaml", tmp_path / "out").is_dir()


def test_truncated_absent_and_converted_already(tmp_path):
    write_run(tmp_path)
    state, run = tmp_path / "state.safetensors", tmp_path / "run.yaml"
    out = convert_composer(state, run, tmp_path / "out")
    with pytest.raises(ValueError, match="has ModernBERT's names already"):
        convert_composer(out / "model.safetensors", run, tmp_path / "again")
    with pytest.raises(ValueError, match="out exists and is not empty"):
        convert_composer(state, run, out)
    with pytest.raises(FileNotFoundError, match=r"run\.yml does not exist; give the YAML"):
        convert_composer(state, tmp_path / "run.yml", tmp_path / "again")
    with pytest.raises(FileNotFoundError, match=r"words/tokenizer\.json does not exist"):
        convert_composer(state, run, tmp_path / "again", tokenizer=tmp_path / "words")
    mmbert.train_tokenizer(["the sun rises and sets " * 9] * 20, 320).save_pretrained(tmp_path / "words")
    edited = json.loads((tmp_path / "words" / "tokenizer.json").read_text())
    edited["added_tokens"].append({**edited["added_tokens"][0], "id": 304, "content": "<more>"})
    (tmp_path / "words" / "tokenizer.json").write_text(json.dumps(edited))
    with pytest.raises(ValueError, match=r"words/tokenizer\.json: gives ids up to 304, the model has 304 embeddings"):
        convert_composer(state, run, tmp_path / "again", tokenizer=tmp_path / "words")
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(ValueError, match="the file is truncated"):
        convert_composer(state, run, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_full_disk_leaves_nothing(tmp_path):
    write_run(tmp_path)
    with (
        files_no_larger_than(20_000),
        pytest.raises(ValueError, match=r"cannot write .*out: File too large; nothing was left there"),
    ):
        convert_composer(tmp_path / "state.safetensors", tmp_path / "run.yaml", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.yaml", "state.safetensors"]


def test_command(tmp_path):
    import typer

    write_run(tmp_path)
    app = typer.Typer()
    app.command()(export)
    state, run, out = (str(tmp_path / name) for name in ("state.safetensors", "run.yaml", "out"))
    result = CliRunner().invoke(app, [state, out, "--from", "composer", "--composer-config", run])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "config.json").is_file() and not list((tmp_path / "out").glob("*.py"))
    result = CliRunner().invoke(app, [state, out, "--from", "composer"])
    assert result.exit_code and "needs --composer-config" in str(result.exception)

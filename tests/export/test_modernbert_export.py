"""What the export writes, and every input refused; test_remote_code.py reads it back where mmbert is shut out."""

import json
import textwrap

import mmbert
import pytest
import torch
import typer
from mmbert.cli.checkpoints.export import export
from safetensors.torch import load_file, save_file
from tests_support import run_forked
from typer.testing import CliRunner

from .conftest import HEADS, tiny

# What text-embeddings-inference's ModernBertConfig cannot do without (its struct, fields that are not Option) ...
TEI_KEYS = """vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads hidden_activation
max_position_embeddings initializer_range initializer_cutoff_factor norm_eps norm_bias pad_token_id eos_token_id
bos_token_id cls_token_id sep_token_id global_rope_theta attention_bias attention_dropout global_attn_every_n_layers
local_attention local_rope_theta classifier_activation""".split()
# ... and what it would silently replace.
FLAT_KEYS = ["global_rope_theta", "local_rope_theta", "global_attn_every_n_layers"]
OTHER_KEYS = ["classifier_pooling", "decoder_bias", "layer_types", "rope_parameters", "tie_word_embeddings"]


def edit(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("head", HEADS)
def test_config_has_what_every_reader_needs(tmp_path, head):
    tiny(head).save_pretrained(tmp_path / "ours")
    config = json.loads((mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out") / "config.json").read_text())
    assert config["model_type"] == "modernbert" and config["architectures"] == [f"ModernBert{head}"]
    assert not [key for key in (*TEI_KEYS, *OTHER_KEYS) if config.get(key) is None]
    assert [config[key] for key in FLAT_KEYS] == [5e4, 70.0, 3]
    assert config["rope_parameters"]["sliding_attention"]["rope_theta"] == 70.0
    assert config["sparse_prediction"] is False  # stock code drops logits otherwise
    assert config.get("num_labels") == (3 if head == "ForSequenceClassification" else None)


def test_weights_are_copied_bit_for_bit_and_read_back_by_us(saved, tmp_path):
    out = mmbert.export_modernbert(saved, tmp_path / "out")
    assert (out / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    ids = torch.arange(5, 45)[None]
    model = mmbert.MmBertForMaskedLM.from_pretrained(out).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(ids).logits, tiny()(ids).logits, rtol=0, atol=1e-6)


def test_shards_and_exports_of_exports(tmp_path):
    tiny().save_pretrained(tmp_path / "ours", max_shard_size="20KB")
    first = mmbert.export_modernbert(tmp_path / "ours", tmp_path / "first")
    second = mmbert.export_modernbert(first, tmp_path / "second")
    assert len(list(first.glob("*.safetensors"))) > 1
    assert sorted(p.name for p in first.iterdir()) == sorted(p.name for p in second.iterdir())
    assert all((first / p.name).read_bytes() == p.read_bytes() for p in second.iterdir())


def test_released_config_with_flat_keys_only(saved, tmp_path):
    """config.json of the published models: transformers 4.47, flat thetas, no layer_types."""
    config = json.loads((saved / "config.json").read_text())
    for key in ("rope_parameters", "layer_types"):
        del config[key]
    config |= {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"], "torch_dtype": "float32"}
    config |= {"position_embedding_type": "sans_pos", "layer_norm_eps": 1e-5, "reference_compile": True}
    (saved / "config.json").write_text(json.dumps(config))
    found = json.loads((mmbert.export_modernbert(saved, tmp_path / "out") / "config.json").read_text())
    assert [found[key] for key in FLAT_KEYS] == [5e4, 70.0, 3]
    assert found["rope_parameters"]["full_attention"]["rope_theta"] == 5e4
    assert [kind[0] for kind in found["layer_types"]] == list("fssfs")


def test_tokenizer_of_version_5_becomes_readable_by_version_4(saved, tmp_path, tokenizer):
    tokenizer.save_pretrained(saved)
    file = saved / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["model_input_names"], config["clean_up_tokenization_spaces"]
    config |= {"tokenizer_class": "TokenizersBackend", "backend": "tokenizers", "is_local": True}
    config |= {"extra_special_tokens": ["<mask>"], "model_max_length": 10**30}
    file.write_text(json.dumps(config))
    found = json.loads((mmbert.export_modernbert(saved, tmp_path / "out") / "tokenizer_config.json").read_text())
    assert found["tokenizer_class"] == "PreTrainedTokenizerFast" and found["model_max_length"] == 8192
    assert found["model_input_names"] == ["input_ids", "attention_mask"]
    assert found["clean_up_tokenization_spaces"] is False
    assert found["additional_special_tokens"] == ["<mask>"]
    assert not found.keys() & {"backend", "is_local", "extra_special_tokens"}


def test_sentence_transformer_keeps_its_modules(saved, tmp_path):
    modules = [{"idx": 0, "path": "", "type": "T"}, {"idx": 1, "path": "1_Pooling", "type": "P"}]
    (saved / "modules.json").write_text(json.dumps(modules))
    (saved / "1_Pooling").mkdir()
    (saved / "1_Pooling" / "config.json").write_text("{}")
    (saved / "optimizer.pt").write_bytes(b"\x80")
    out = mmbert.export_modernbert(saved, tmp_path / "out")
    assert (out / "1_Pooling" / "config.json").is_file() and not (out / "optimizer.pt").exists()
    (saved / "1_Pooling" / "pytorch_model.bin").write_bytes(b"\x80")
    with pytest.raises(ValueError, match=r"1_Pooling/pytorch_model\.bin is a pickle"):
        mmbert.export_modernbert(saved, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "fields, match",
    [
        (
            {"model_type": "bert"},
            r"config\.json: model_type 'bert' cannot be exported; supported are mmbert, modernbert",
        ),
        ({"model_type": None}, "model_type None cannot be exported"),
        ({"architectures": ["MmBertForPoetry"]}, "architecture 'MmBertForPoetry' cannot be exported"),
        ({"architectures": ["MmBertModel"]}, "does not fit the model: missing: .*extra: "),
        ({"architectures": ["MmBertForSequenceClassification"]}, "missing: classifier"),
        ({"hidden_size": "wide"}, r"config\.json: not a valid configuration: .*hidden_size"),
        ({"vocab_size": 301}, r"tok_embeddings\.weight \[300, 32\] instead of \[301, 32\]"),
        ({"layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 3}, "layer_types follow no fixed period"),
        (
            {
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
                    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
                }
            },
            "rope_type 'linear'",
        ),
    ],
)
def test_configs_that_cannot_be_exported(saved, tmp_path, fields, match):
    edit(saved / "config.json", **fields)
    with pytest.raises(ValueError, match=match) as caught:
        mmbert.export_modernbert(saved, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_architecture_is_told_by_the_tensors_if_the_config_is_silent(saved, tmp_path):
    edit(saved / "config.json", architectures=None)
    out = mmbert.export_modernbert(saved, tmp_path / "out")
    assert json.loads((out / "config.json").read_text())["architectures"] == ["ModernBertForMaskedLM"]


def test_tokenizer_of_another_vocabulary_is_refused(tmp_path, tokenizer):
    tiny(vocab_size=280).save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    with pytest.raises(ValueError, match=r"tokenizer\.json: gives ids up to 289, the model has 280 embeddings"):
        mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out")
    (tmp_path / "ours" / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer\.json: not a tokenizer"):
        mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_tensor_is_named(saved, tmp_path):
    tensors = load_file(saved / "model.safetensors")
    del tensors["model.layers.1.attn.Wo.weight"]
    save_file(tensors, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing: model\.layers\.1\.attn\.Wo\.weight"):
        mmbert.export_modernbert(saved, tmp_path / "out")


def test_no_checkpoint_pickle_and_occupied_output(saved, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        mmbert.export_modernbert(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(ValueError, match="ours exists and is not empty"):
        mmbert.export_modernbert(saved, saved)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*: Not a directory"):
        mmbert.export_modernbert(saved, tmp_path / "file" / "out")
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickle"):
        mmbert.export_modernbert(saved, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "ours"]


def test_failing_write_leaves_no_target(saved, tmp_path, tmp_path_factory):
    script = tmp_path_factory.mktemp("script") / "export.py"
    script.write_text(
        textwrap.dedent("""
        import resource, sys
        import mmbert
        sys.dont_write_bytecode = True  # it would be cut off, too
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            mmbert.export_modernbert(*sys.argv[1:])
        except ValueError as error:
            sys.exit(str(error))
    """)
    )
    done = run_forked(script, saved, tmp_path / "out")
    assert "cannot write" in done.stderr and "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["ours"]


def test_command(saved, tmp_path):
    app = typer.Typer()
    app.command()(export)
    result = CliRunner().invoke(app, [str(saved), str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "config.json").is_file()


def test_words_are_cut_so_that_every_engine_can_with_the_same_ids(tmp_path, tokenizer):
    from mmbert.modeling.tokenization_mmbert import tokenizer_fingerprint
    from transformers import AutoTokenizer

    tiny(vocab_size=len(tokenizer)).save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    out = mmbert.export_modernbert(tmp_path / "ours", tmp_path / "out")
    parts = json.loads((out / "tokenizer.json").read_text())["pre_tokenizer"]["pretokenizers"]
    assert [part["type"] for part in parts] == ["Metaspace", "Split"] and parts[0]["split"] is False
    theirs = AutoTokenizer.from_pretrained(out)
    texts = [
        "a  b",
        "  x ",
        "",
        "\n\n a\tb",
        "▁▁",
        "def f():\n        return 1  ",
        "a<mask>  b",
        " <eos>  b",
        "太陽  🌞",
    ]
    assert theirs(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert tokenizer_fingerprint(theirs) == tokenizer_fingerprint(tokenizer)
    again = mmbert.export_modernbert(out, tmp_path / "again")
    assert (again / "tokenizer.json").read_bytes() == (out / "tokenizer.json").read_bytes()


def test_an_embedder_is_written_for_sentence_transformers_5_and_6(tmp_path, tokenizer):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    tiny("Model", vocab_size=len(tokenizer)).save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    embedder = mmbert.load_embedder(tmp_path / "ours", dtype="float32", device="cpu", max_seq_length=77)
    assert "sentence_transformers" in str(type(embedder))  # KeyBERT and BERTopic choose by that
    embedder.save(str(tmp_path / "saved"))
    out = mmbert.export_modernbert(tmp_path / "saved", tmp_path / "out")
    for folder in (tmp_path / "saved", out):
        types = [module["type"] for module in json.loads((folder / "modules.json").read_text())]
        assert types == [f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Normalize")]
        assert json.loads((folder / "1_Pooling" / "config.json").read_text())["pooling_mode_mean_tokens"] is True
        limit = json.loads((folder / "sentence_bert_config.json").read_text())
        assert limit == {"max_seq_length": 77, "do_lower_case": False}
        stock = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
        assert stock.max_seq_length == 77 and abs(stock.encode(["sol"]) - embedder.encode(["sol"])).max() < 1e-5


@pytest.mark.parametrize("name", ["head.dense.weight", "model.embeddings.tok_embeddings.weight"])
def test_weights_that_are_not_finite_are_named_by_every_way_out(tmp_path, tokenizer, name):
    from mmbert.export import trim_vocabulary

    tiny(vocab_size=len(tokenizer)).save_pretrained(tmp_path / "ours")
    tokenizer.save_pretrained(tmp_path / "ours")
    tensors = load_file(tmp_path / "ours" / "model.safetensors")
    tensors[name].view(-1)[-1] = float("nan")
    save_file(tensors, tmp_path / "ours" / "model.safetensors", metadata={"format": "pt"})
    for way in (mmbert.export_modernbert, lambda source, out: trim_vocabulary(source, ["el sol"], out)):
        with pytest.raises(ValueError, match=f"tensor '{name}' holds NaN or infinity"):
            way(tmp_path / "ours", tmp_path / "out")
    assert not (tmp_path / "out").exists()

"""Every bad input of a merge is refused in one line that names tensor, file or option, and leaves nothing behind."""

import json
import shutil
import textwrap

import mmbert
import pytest
import torch
from mmbert.merging import merge_weighted_average
from tests_support import run_forked


@pytest.fixture
def pair(make_models, save_checkpoint, tmp_path):
    base, (variant,) = make_models(count=1)
    words = {"vocab": {"a": 0, "b": 1}, "merges": []}
    for name, tensors in (("base", base), ("variant", variant)):
        directory = save_checkpoint(name, tensors, vocab_size=40, norm_eps=1e-5)
        (directory / "tokenizer.json").write_text(json.dumps({"model": words, "added_tokens": []}))
    return tmp_path / "base", tmp_path / "variant"


def refused(base, variants, output, match, error=ValueError, **options):
    with pytest.raises(error, match=match) as caught:
        mmbert.merge_ties(base, variants, output, **options)
    assert "\n" not in str(caught.value)
    assert not output.exists()
    assert not list(output.parent.glob(".*.partial"))


@pytest.mark.parametrize(
    "options, match",
    [
        ({"density": 0.0}, r"density must lie in \(0, 1\], got 0.0"),
        ({"density": 20}, "got 20"),  # per cent instead of a share
        ({"density": float("nan")}, "got nan"),
        ({"scale": float("inf")}, "scale must be a finite number"),
        ({"weights": [1, 2]}, "2 weights for 1 variants"),
        ({"weights": [-1]}, "not negative"),
        ({"weights": [0]}, "not all zero"),
        ({"weights": [float("nan")]}, "finite"),
        ({"trim": "layer"}, "trim='layer' is none of global, tensor"),
    ],
)
def test_options(pair, tmp_path, options, match):
    refused(pair[0], [pair[1]], tmp_path / "out", match, **options)


def test_no_variant(pair, tmp_path):
    refused(pair[0], [], tmp_path / "out", "no variants given")


def test_absent_checkpoint(pair, tmp_path):
    refused(pair[0], [tmp_path / "nowhere"], tmp_path / "out", "nowhere does not exist", error=FileNotFoundError)


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda t: t.pop("decoder.bias"), "'decoder.bias' is in .*base but not in .*other"),
        (lambda t: t.update(extra=torch.ones(2)), "'extra' is in .*other but not in .*base"),
        (
            lambda t: t.update({"decoder.bias": torch.ones(41)}),
            r"'decoder.bias' has shape \[41\] in .*other but \[40\]",
        ),
        (lambda t: t.update({"decoder.bias": torch.ones(40).bfloat16()}), "'decoder.bias' is BF16 in .*other but F32"),
        (
            lambda t: t["decoder.bias"].__setitem__(3, float("nan")),
            "other: tensor 'decoder.bias' holds NaN or infinity",
        ),
        (
            lambda t: t["decoder.bias"].__setitem__(3, float("-inf")),
            "other: tensor 'decoder.bias' holds NaN or infinity",
        ),
    ],
)
@pytest.mark.parametrize("density", [0.2, 1.0])
def test_tensors(pair, make_models, save_checkpoint, tmp_path, change, match, density):
    _, (variant,) = make_models(count=1)
    change(variant)
    refused(pair[0], [pair[1], save_checkpoint("other", variant)], tmp_path / "out", match, density=density)


def test_integer_tensors_that_differ(make_models, save_checkpoint, tmp_path):
    base, (variant,) = make_models(count=1)
    one = save_checkpoint("base", base | {"ids": torch.arange(3)})
    two = save_checkpoint("other", variant | {"ids": torch.arange(3) + 1})
    refused(one, [two], tmp_path / "out", "tensor 'ids' is no floating-point weight and differs")


@pytest.mark.parametrize(
    "mine, theirs, match",
    [
        ({"norm_eps": 1e-5}, {"norm_eps": 1e-12}, "norm_eps is 1e-12 in .*variant but 1e-05"),
        (
            {"local_rope_theta": 160000.0},
            {"rope_parameters": {"sliding_attention": {"rope_theta": 10000.0}}},
            "local_rope_theta is 10000.0",
        ),
        (
            {"rope_parameters": {"rope_type": "default"}},
            {"rope_parameters": {"rope_type": "yarn"}},
            "rope_parameters is",
        ),
        (
            {"architectures": ["MmBertForSequenceClassification"]},
            {"architectures": ["ModernBertForTokenClassification"]},
            "architectures is .*Token.* in .*variant but .*Sequence.* in .*base",
        ),
        ({"classifier_pooling": "cls"}, {"classifier_pooling": "mean"}, "classifier_pooling is mean"),
        ({"problem_type": "regression"}, {"problem_type": "single_label_classification"}, "problem_type is single"),
        ({"pooling_of_mine": "cls"}, {"pooling_of_mine": "mean"}, "pooling_of_mine is mean"),
        ({"model_type": "bert"}, {"model_type": "roberta"}, "model_type is roberta"),
    ],
)
def test_configs(pair, tmp_path, mine, theirs, match):
    for directory, fields in zip(pair, (mine, theirs), strict=True):
        (directory / "config.json").write_text(json.dumps({"model_type": "modernbert", **fields}))
    refused(pair[0], [pair[1]], tmp_path / "out", match)


def test_two_spellings_of_one_theta_agree(pair, tmp_path):
    nested = {kind: {"rope_theta": 160000, "rope_type": "default"} for kind in ("full_attention", "sliding_attention")}
    flat = {"global_rope_theta": 160000.0, "local_rope_theta": 160000.0}
    for directory, fields in zip(pair, (flat, {"rope_parameters": nested}), strict=True):
        (directory / "config.json").write_text(json.dumps({"model_type": "modernbert", **fields}))
    assert mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    "change, match",
    [
        ({"model": {"vocab": {"a": 0, "c": 1}, "merges": []}}, "its vocabulary differs .*for instance 'b': 1"),
        ({"model": {"vocab": {"a": 0, "b": 1}, "merges": ["a b"]}}, "its merges differs .*a b"),
        ({"added_tokens": [{"id": 7, "content": "<x>"}]}, "its added tokens differs .*'<x>': 7"),
        ({"normalizer": {"type": "NFC"}}, "its normalizer differs"),
        ({"post_processor": {"type": "ByteLevel"}}, "its template differs"),
        ({"model": {"vocab": {"a": 0, "b": 1}, "merges": [], "byte_fallback": True}}, "its model differs"),
    ],
)
def test_tokenizers(pair, tmp_path, change, match):
    file = pair[1] / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    refused(pair[0], [pair[1]], tmp_path / "out", match)


def test_padding_of_the_last_use_is_no_difference_of_tokenizers(pair, tmp_path):
    file = pair[1] / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"padding": {"length": 8}}))
    out = mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "out")
    assert (out / "tokenizer.json").read_bytes() == (pair[0] / "tokenizer.json").read_bytes()


def test_other_kinds_of_vocabulary(pair, tmp_path):
    for directory, words in zip(pair, ("a\nb", "a\nc"), strict=True):
        (directory / "tokenizer.json").unlink()
        (directory / "vocab.txt").write_text(words)
    refused(pair[0], [pair[1]], tmp_path / "out", "vocab.txt differs")


def test_the_first_parent_with_a_tokenizer_gives_it(pair, tmp_path):
    (pair[0] / "tokenizer.json").unlink()
    assert (mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "out") / "tokenizer.json").is_file()


def test_output_that_exists_is_left_alone(pair, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("precious")
    with pytest.raises(ValueError, match="out exists and is not empty"):
        mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "out")
    with pytest.raises(ValueError, match="out exists and is not empty"):
        merge_weighted_average(pair, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "precious"


def test_an_empty_output_directory_is_filled(pair, tmp_path):
    (tmp_path / "out").mkdir()
    assert (mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "out") / "model.safetensors").is_file()


def test_output_below_a_file(pair, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write .*file/out: Not a directory"):
        mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "file" / "out")


def test_half_precision_overflow_names_the_tensor(save_checkpoint, tmp_path):
    base, variant = {"a": torch.zeros(4).half()}, {"a": torch.full((4,), 6e4).half()}
    paths = save_checkpoint("b", base), [save_checkpoint("v", variant)]
    refused(*paths, tmp_path / "out", "'a'.*overflow F16", density=1.0, scale=2.0)


def test_changed_shard_is_found_by_its_checksum(pair, tmp_path):
    merged = mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "merged")
    weights = merged / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    refused(pair[0], [merged], tmp_path / "out", "model.safetensors: its bytes are not those recorded in SHA256SUMS")


@pytest.mark.parametrize("end", ["full disk", "kill"])
def test_a_full_disk_or_a_kill_leaves_no_target(pair, tmp_path, tmp_path_factory, end):
    script = tmp_path_factory.mktemp("script") / "merge.py"
    script.write_text(
        textwrap.dedent("""
        import os, resource, signal, sys
        import mmbert
        from mmbert.common.checkpoints import writer as checkpoint_writer
        base, variant, output, end = sys.argv[1:]
        if end == "kill":
            checkpoint_writer.write_checksums = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        else:
            sys.dont_write_bytecode = True  # it would be cut off, too
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            mmbert.merge_ties(base, [variant], output)
        except ValueError as error:
            sys.exit(str(error))
    """)
    )
    done = run_forked(script, *pair, tmp_path / "out", end)
    assert not (tmp_path / "out").exists()
    if end == "kill":
        assert done.returncode == -9
        for left in tmp_path.glob(".out.*.partial"):
            shutil.rmtree(left)
    else:
        assert "cannot write" in done.stderr and "File too large" in done.stderr
        assert not list(tmp_path.glob(".*.partial"))
    assert mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "out").is_dir()


def embedder(tokenizer, folder, network, prompts, pooling="cls"):
    """Save a network as an embedder, with sentence-transformers' own files."""
    network.save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    made = mmbert.load_embedder(folder / "plain", pooling=pooling, dtype="float32", device="cpu", prompts=prompts)
    made.save(str(folder / "embedder"))
    return folder / "embedder"


def test_embedders_keep_modules_and_prompts_or_are_refused(tmp_path):
    pytest.importorskip("sentence_transformers")
    torch.manual_seed(0)
    tokenizer = mmbert.train_tokenizer(["a small house", "the old bridge"] * 20, 280)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    network = mmbert.MmBertModel(mmbert.MmBertConfig(vocab_size=len(tokenizer), **sizes))
    folders = []
    for name in ("one", "two"):
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(torch.randn_like(weight) * 1e-3)
        folders.append(embedder(tokenizer, tmp_path / name, network, {"query": "search: "}))
    merge_weighted_average(folders, tmp_path / "merged")
    merged, parent = (mmbert.load_embedder(f, dtype="float32", device="cpu") for f in (tmp_path / "merged", folders[0]))
    texts = ["the old bridge", "a house"]
    assert merged.prompts["query"] == "search: " and (merged.encode(texts) * parent.encode(texts)).sum(1).min() > 0.999
    other = embedder(tokenizer, tmp_path / "three", network, {"query": "search: "}, pooling="mean")
    refused(folders[0], [other], tmp_path / "out", r"1_Pooling/config.json differs between")
    other = embedder(tokenizer, tmp_path / "four", network, {"query": "other: "})
    refused(folders[0], [other], tmp_path / "out", "prompts in config_sentence_transformers.json differs between")
    settings = folders[1] / "config_sentence_transformers.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"similarity_fn_name": "dot"}))
    refused(
        folders[0], folders[1:], tmp_path / "out", "similarity_fn_name in config_sentence_transformers.json differs"
    )


def test_what_a_head_means_comes_from_the_parent_that_says_it(make_models, save_checkpoint, tmp_path):
    base, (variant,) = make_models(count=1)
    named = {"vocab_size": 40, "id2label": {0: "a", 1: "b"}, "label2id": {"a": 0, "b": 1}}
    save_checkpoint("silent", base, vocab_size=40, id2label={0: "LABEL_0", 1: "LABEL_1"}, problem_type=None)
    save_checkpoint("one", variant, **named, problem_type="multi_label_classification", classifier_dropout=0.1)
    save_checkpoint("two", base, **named | {"id2label": {0: "b", 1: "a"}}, transformers_version="5.0.0")
    save_checkpoint("three", base, **named, classifier_dropout=0.2, dtype="float32", architectures=None)
    order = "label 0 is b in .*two but a in"
    refused(tmp_path / "one", [tmp_path / "two"], tmp_path / "out", order)
    refused(tmp_path / "silent", [tmp_path / "one", tmp_path / "two"], tmp_path / "out", order)
    merge_weighted_average([tmp_path / name for name in ("silent", "one", "three")], tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["id2label"] == {"0": "a", "1": "b"} and config["label2id"] == {"a": 0, "b": 1}
    assert config["problem_type"] == "multi_label_classification"


def test_what_cannot_be_merged_is_told_before_any_line_of_checksums(pair, save_checkpoint, tmp_path, caplog):
    refused(pair[0], [pair[0], pair[1]], tmp_path / "out", "base is given 2 times; a merge takes each checkpoint once")
    wide = save_checkpoint("wide", {"a": torch.zeros(3)}, vocab_size=40)
    with caplog.at_level("INFO"):
        refused(pair[0], [pair[1], wide], tmp_path / "out", "only models of one architecture and head can be merged")
    assert "SHA256SUMS" not in caplog.text
    (tmp_path / "file").write_text("words")
    with pytest.raises(ValueError, match="file is a file, and a folder is to be made there"):
        mmbert.merge_ties(pair[0], [pair[1]], tmp_path / "file")

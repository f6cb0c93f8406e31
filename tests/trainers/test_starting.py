"""A run that starts from a checkpoint: the weights it gets, and what is refused before a step is trained."""

import json

import mmbert
import pytest
import torch
from mmbert import MmBertForMaskedLM, MmBertModel
from mmbert.modeling.tokenization_mmbert import save_tokenizer
from mmbert.recipes import Recipe
from mmbert.trainers import RecipeRun, training_arguments
from mmbert.trainers.pretraining.run import build_model
from safetensors.torch import load_file, save_file
from tests_support import TINY_RECIPE, documents

SECTION = "model: {size: small, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 2}"


@pytest.fixture
def checkpoint(recipe, tokenizer, tmp_path):
    """A checkpoint of the tiny network with its tokenizer, in bf16."""
    path = tmp_path / "start"
    build_model(recipe, len(tokenizer)).to(torch.bfloat16).save_pretrained(path)
    save_tokenizer(tokenizer, path)
    return path


@pytest.fixture
def continued(checkpoint, tmp_path):
    """The tiny recipe, starting from the checkpoint."""
    path = tmp_path / "continued.yaml"
    path.write_text(TINY_RECIPE.replace(SECTION, f"model: {{checkpoint: {checkpoint}}}"), encoding="utf-8")
    return Recipe.from_yaml(path)


def test_it_starts_with_the_weights_of_the_checkpoint_in_fp32(continued, checkpoint, tokenizer):
    model = build_model(continued, len(tokenizer), tokenizer)
    saved = load_file(checkpoint / "model.safetensors")
    assert len(saved) > 20
    for name, value in saved.items():
        assert model.state_dict()[name].dtype == torch.float32
        assert torch.equal(model.state_dict()[name], value.float()), name


def sampled(checkpoint, tmp_path, more=""):
    path = tmp_path / "sampled.yaml"
    shape = "size: small, hidden_size: 16, intermediate_size: 48, num_hidden_layers: 4, num_attention_heads: 1"
    model = f"model: {{{shape}, initialise_from: {checkpoint}{more}}}"
    path.write_text(TINY_RECIPE.replace(SECTION, model), encoding="utf-8")
    return Recipe.from_yaml(path)


def test_a_smaller_network_takes_its_weights_from_a_trained_one(checkpoint, tokenizer, tmp_path):
    model = build_model(sampled(checkpoint, tmp_path), len(tokenizer), tokenizer)
    table = load_file(checkpoint / "model.safetensors")["model.embeddings.tok_embeddings.weight"].float()
    assert torch.equal(model.model.embeddings.tok_embeddings.weight, table[:, ::2])
    with pytest.raises(ValueError, match=r"checkpoint and initialise_from are two ways to begin"):
        build_model(sampled(checkpoint, tmp_path, f", checkpoint: {checkpoint}"), len(tokenizer), tokenizer)


def test_a_source_with_more_rows_than_the_tokenizer_has_words(recipe, checkpoint, tokenizer, tmp_path):
    """Tables are often padded to a multiple of 64; both ways to begin take them as they are."""
    build_model(recipe, 640).save_pretrained(checkpoint)
    model = build_model(sampled(checkpoint, tmp_path), len(tokenizer), tokenizer)
    table = load_file(checkpoint / "model.safetensors")["model.embeddings.tok_embeddings.weight"]
    assert len(tokenizer) == 600 and model.config.vocab_size == 640
    assert torch.equal(model.model.embeddings.tok_embeddings.weight, table[:, ::2])


def begun(tmp_path, model):
    path = tmp_path / "begun.yaml"
    path.write_text(TINY_RECIPE.replace(SECTION, f"model: {{{model}}}"), encoding="utf-8")
    return Recipe.from_yaml(path)


def test_a_phase_longer_than_the_network_is_refused_at_the_start(checkpoint, tokenizer, tmp_path):
    """The tiny recipe has phases of 32, 64 and 64 tokens."""
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 48}))
    message = (
        r"context_length of 64, but .*start reads at most 48 tokens; write `model: \{max_position_embeddings: 64\}"
    )
    with pytest.raises(ValueError, match=message):
        build_model(begun(tmp_path, f"checkpoint: {checkpoint}"), len(tokenizer), tokenizer)
    longer = begun(tmp_path, f"checkpoint: {checkpoint}, max_position_embeddings: 64")
    assert build_model(longer, len(tokenizer), tokenizer).config.max_position_embeddings == 64
    with pytest.raises(ValueError, match="context_length of 64, but model reads at most 48"):
        build_model(begun(tmp_path, SECTION[8:-1] + ", max_position_embeddings: 48"), len(tokenizer))
    assert build_model(sampled(checkpoint, tmp_path), len(tokenizer)).config.max_position_embeddings == 8192


def test_a_size_that_is_not_the_checkpoints_is_refused(checkpoint, tokenizer, tmp_path):
    for size, width in (("small", 384), ("base", 768)):
        with pytest.raises(
            ValueError, match=rf"model\.size is {size}, with a hidden_size of {width}, but .*start has 32"
        ):
            build_model(begun(tmp_path, f"size: {size}, checkpoint: {checkpoint}"), len(tokenizer), tokenizer)
    for same in (SECTION[8:-1], "size: null"):
        assert build_model(begun(tmp_path, f"{same}, checkpoint: {checkpoint}"), len(tokenizer), tokenizer)


def test_a_size_that_is_the_checkpoints_may_stay(tokenizer, tmp_path):
    MmBertForMaskedLM(mmbert.MmBertConfig.small(vocab_size=600)).save_pretrained(tmp_path / "little")
    inherited = begun(tmp_path, f"size: small, checkpoint: {tmp_path / 'little'}")
    assert build_model(inherited, len(tokenizer)).config.hidden_size == 384


def rewrite(checkpoint, change):
    tensors = load_file(checkpoint / "model.safetensors")
    change(tensors)
    save_file(tensors, checkpoint / "model.safetensors", metadata={"format": "pt"})


def test_a_missing_tensor_is_refused(continued, checkpoint, tokenizer):
    rewrite(checkpoint, lambda tensors: tensors.pop("model.layers.2.mlp.Wo.weight"))
    with pytest.raises(ValueError, match=r"does not fit the model: missing: model\.layers\.2\.mlp\.Wo\.weight"):
        build_model(continued, len(tokenizer), tokenizer)


def test_an_encoder_without_its_head_is_refused(continued, checkpoint, tokenizer):
    MmBertModel.from_pretrained(checkpoint).save_pretrained(checkpoint)
    with pytest.raises(ValueError, match=r"is a MmBertModel without the masked-LM head"):
        build_model(continued, len(tokenizer), tokenizer)


def test_other_shapes_are_refused(continued, checkpoint, tokenizer):
    rewrite(checkpoint, lambda tensors: tensors.update({"head.dense.weight": torch.zeros(16, 16)}))
    with pytest.raises(ValueError, match=r"other shapes: head\.dense\.weight \[16, 16\] instead of \[32, 32\]"):
        build_model(continued, len(tokenizer), tokenizer)


def test_pickles_and_a_tampered_shard_are_refused(continued, checkpoint, tokenizer):
    from mmbert.common.checkpoints import write_checksums

    write_checksums(checkpoint)
    broken = bytearray((checkpoint / "model.safetensors").read_bytes())
    broken[-3] ^= 1
    (checkpoint / "model.safetensors").write_bytes(broken)
    with pytest.raises(ValueError, match=r"model\.safetensors: its bytes are not those recorded in SHA256SUMS"):
        build_model(continued, len(tokenizer), tokenizer)
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin"):
        build_model(continued, len(tokenizer), tokenizer)


def test_another_tokenizer_is_refused(continued, checkpoint, tokenizer):
    other = mmbert.train_tokenizer([d.text for d in documents(seed=9)][:300], 600)
    with pytest.raises(ValueError, match=r"start was trained with another tokenizer .* Write `data: \{tokenizer: "):
        build_model(continued, len(other), other)
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no tokenizer\.json"):
        build_model(continued, len(tokenizer), tokenizer)


def test_a_checkpoint_that_is_nowhere_or_of_another_kind(continued, checkpoint, tokenizer, tmp_path):
    path = tmp_path / "hub.yaml"
    path.write_text(TINY_RECIPE.replace(SECTION, "model: {checkpoint: nobody/nothing}"), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match=r"nobody/nothing is no folder here, and the Hub did not give it"):
        build_model(Recipe.from_yaml(path), len(tokenizer), tokenizer)
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(ValueError, match=r"is a bert checkpoint"):
        build_model(continued, len(tokenizer), tokenizer)


def test_a_run_refuses_before_it_trains(continued, checkpoint, tmp_path):
    corpus = tmp_path / "corpus.jsonl"
    rows = [json.dumps({"lang": d.language, "text": d.text}) for d in documents()]
    corpus.write_text("\n".join(rows), encoding="utf-8")
    text = (tmp_path / "continued.yaml").read_text()
    for tokenizer, fits in (("", False), (f", tokenizer: {checkpoint}", True)):
        (tmp_path / "run.yaml").write_text(
            text + f"data: {{corpus: {corpus}, vocabulary_size: 500, heldout_fraction: 0.1{tokenizer}}}\n"
        )
        run = RecipeRun(Recipe.from_yaml(tmp_path / "run.yaml"), tmp_path / str(fits), arguments={"use_cpu": True})
        if fits:
            assert isinstance(run.trainer().model, MmBertForMaskedLM)
        else:
            with pytest.raises(ValueError, match="another tokenizer"):
                run.run([])
            assert not (run.output_dir / "stable").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"save_steps": 5, "logging_steps": 2}, r"save_steps is 5, no multiple of logging_steps, 2: .*save_steps 4"),
        ({"logging_steps": 20, "save_steps": 3}, r"save_steps is 3, .* Write save_steps 20, or logging_steps 1"),
    ],
)
def test_no_logged_mean_spans_a_checkpoint(recipe, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        training_arguments(recipe, recipe.schedule(), tmp_path, use_cpu=True, **options)


def test_a_checkpoint_interval_alone_chooses_the_log_lines(recipe, tmp_path):
    arguments = training_arguments(recipe, recipe.schedule(), tmp_path, use_cpu=True, save_steps=7)
    assert arguments.save_steps % arguments.logging_steps == 0
    free = training_arguments(recipe, recipe.schedule(), tmp_path, use_cpu=True, save_strategy="no", save_steps=5)
    assert free.save_strategy == "no"


def test_intervals_may_be_shares_of_the_run(recipe, tmp_path):
    options = {"logging_steps": 0.1, "save_steps": 0.25}  # of a variant's 24 steps: 2.4 and 6
    arguments = training_arguments(recipe, recipe.schedule(), tmp_path, use_cpu=True, **options)
    assert (arguments.logging_steps, arguments.save_steps) == (3, 6)
